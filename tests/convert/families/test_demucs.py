"""Packages of HT Demucs: read without running anything of theirs, and separated as their authors' code does it."""

from __future__ import annotations

import json
import os
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from rtsep.bundle import Bundle
from rtsep.convert.dispatch import convert_path
from rtsep.convert.families import demucs as convert_demucs
from rtsep.convert.write import write_conversion
from rtsep.errors import RtsepError
from rtsep.separation.load import load
from tests.conftest import REPOSITORY
from tests.convert.malicious import Malicious

SOURCES = ["drums", "bass", "other", "vocals"]
SMALL: dict[str, Any] = {
    "channels": 8,
    "bottom_channels": 16,
    "dconv_mode": 3,
    "t_layers": 1,
    "t_heads": 2,
    "segment": Fraction(39, 20),
    "use_train_segment": True,
    "t_lr": None,
}


@pytest.fixture
def htdemucs() -> Any:
    """The authors' class."""
    return pytest.importorskip("demucs.htdemucs").HTDemucs


def package(network: Any, **changes: object) -> dict[str, Any]:
    """As `demucs.states.serialize_model` and `tools/export.py` make one: with settings and scores."""
    args, kwargs = network._init_args_kwargs
    state = {name: tensor.half() for name, tensor in network.state_dict().items()}
    made = {"klass": type(network), "args": args, "kwargs": kwargs, "state": state}
    return made | {"training_args": {"seed": 42}, "metrics": ({"nsdr": np.float64(7.5)}, None)} | changes


def made(network_class: Any, seed: int = 0, **options: object) -> Any:
    torch.manual_seed(seed)
    return network_class(sources=options.pop("sources", SOURCES), **{**SMALL, **options}).eval()


def noise(samples: int) -> np.ndarray:
    return (0.02 + 0.1 * np.random.default_rng(samples).standard_normal((2, samples))).astype(np.float32)


def separated(folder: Path, song: np.ndarray) -> np.ndarray:
    separator = load(folder)
    assert separator.learns
    separator.learn([song])
    pieces = [separator.feed(block) for block in np.split(song, range(0, song.shape[1], 30_000), axis=1)]
    pieces.append(separator.flush())
    return np.stack([np.concatenate([piece[stem] for piece in pieces], axis=1) for stem in separator.stems])


def by_the_authors(network: Any, song: np.ndarray) -> np.ndarray:
    """What `demucs.api.Separator` does with one song at its own rate."""
    apply_model = pytest.importorskip("demucs.apply").apply_model
    wav = torch.from_numpy(song)
    reference = wav.mean(0)
    scaled = (wav - reference.mean()) / (reference.std() + 1e-8)
    stems = apply_model(network, scaled[None], shifts=0, split=True, overlap=0.25)[0]
    return (stems * (reference.std() + 1e-8) + reference.mean()).numpy()


@pytest.mark.parametrize("samples", [50_001, 300_003])
def test_a_package_separates_as_its_authors_code_does(htdemucs: Any, samples: int, tmp_path: Path) -> None:
    network = made(htdemucs)
    path = tmp_path / "abcdef12-0123abcd.th"
    torch.save(package(network), path)
    conversion = convert_path(path)
    assert conversion.recipe.stems == tuple(SOURCES)
    bundle = write_conversion(conversion, tmp_path / "bundle")
    assert (bundle.recipe.name, bundle.licence) == ("htdemucs", "MIT")
    network.load_state_dict({name: tensor.half().float() for name, tensor in network.state_dict().items()})
    song = noise(samples)
    expected = by_the_authors(network, song)
    found = separated(bundle.path, song)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


def test_a_bag_is_the_weighted_mean_of_its_members(htdemucs: Any, tmp_path: Path) -> None:
    bag_of_models = pytest.importorskip("demucs.apply").BagOfModels
    networks = [made(htdemucs, seed) for seed in (1, 2)]
    for number, network in enumerate(networks):
        network.half().float()
        torch.save(package(network), tmp_path / f"sig{number}-01234567.th")
    weights = [[1.0, 0.0, 0.5, 1.0], [0.0, 1.0, 1.5, 1.0]]
    (tmp_path / "mine.yaml").write_text(f"models: ['sig0', 'sig1']\nweights: {json.dumps(weights)}\n")
    assert convert_path(tmp_path).recipe.name == "htdemucs-ft", "by the folder, too"
    bundle = write_conversion(convert_path(tmp_path / "mine.yaml"), tmp_path / "bundle")
    assert bundle.recipe.name == "htdemucs-ft"
    song = noise(90_000)
    expected = by_the_authors(bag_of_models(networks, weights), song)
    assert np.abs(separated(bundle.path, song) - expected).max() < 1e-5 * np.abs(expected).max()
    (tmp_path / "sig1-01234567.th").unlink()
    with pytest.raises(RtsepError, match="sig1"):
        convert_path(tmp_path / "mine.yaml")


def test_six_stems_and_safetensors(htdemucs: Any, tmp_path: Path) -> None:
    network = made(htdemucs, sources=[*SOURCES, "guitar", "piano"])
    torch.save(package(network), tmp_path / "a.th")
    segment = {"_type": "fraction", "numerator": 39, "denominator": 20}
    args, kwargs = network._init_args_kwargs
    header = {"klass": "demucs.htdemucs.HTDemucs", "args": json.dumps(args)}
    header["kwargs"] = json.dumps({**kwargs, "segment": segment})
    state = {name: tensor.contiguous() for name, tensor in package(network)["state"].items()}
    safetensors.torch.save_file(state, tmp_path / "b.safetensors", header)
    first, second = (convert_path(tmp_path / name) for name in ("a.th", "b.safetensors"))
    assert first.recipe == second.recipe
    assert (first.recipe.name, first.recipe.stems[4:]) == ("htdemucs-6s", ("guitar", "piano"))
    assert all(torch.equal(tensor, second.tensors[name]) for name, tensor in first.tensors.items())
    safetensors.torch.save_file(state, tmp_path / "c.safetensors", {**header, "klass": "demucs.hdemucs.HDemucs"})
    safetensors.torch.save_file(state, tmp_path / "d.safetensors", {**header, "kwargs": "{"})
    for name in ("c.safetensors", "d.safetensors"):
        with pytest.raises(RtsepError) as caught:
            convert_path(tmp_path / name)
        assert "\n" not in str(caught.value)


class ByName:
    """Pickled as a reference to somebody's function, called with arguments."""

    def __init__(self, function: Any, *args: object) -> None:
        self.parts = (function, args)

    def __reduce__(self) -> tuple[Any, tuple[object, ...]]:
        return self.parts


@pytest.mark.parametrize("where", ["klass", "args", "kwargs", "state", "metrics"])
def test_a_malicious_package_is_refused_and_nothing_runs(where: str, tmp_path: Path) -> None:
    content: dict[str, Any] = {"klass": Fraction, "args": (), "kwargs": {}, "state": {}, "metrics": None}
    content[where] = Malicious(tmp_path / "proof")
    torch.save(content, tmp_path / "bad.th")
    with pytest.raises(RtsepError, match="refused") as caught:
        convert_path(tmp_path / "bad.th")
    assert not (tmp_path / "proof").exists()
    assert "\n" not in str(caught.value)


def test_what_stands_for_something_is_harmless(tmp_path: Path) -> None:
    """A fraction that would take for ever, and the authors' class called by the file itself."""
    torch.save({"kwargs": ByName(Fraction, "1e999999999")}, tmp_path / "slow.th")
    with pytest.raises(RtsepError, match="refused"):
        convert_path(tmp_path / "slow.th")
    assert convert_demucs._fraction("39/5") == convert_demucs._fraction(39, 5) == Fraction(39, 5)


def test_a_class_that_the_file_calls_is_not_made(htdemucs: Any, tmp_path: Path) -> None:
    torch.save({"klass": ByName(htdemucs, SOURCES)}, tmp_path / "called.th")
    with pytest.raises(RtsepError, match="another Demucs"):
        convert_path(tmp_path / "called.th")


def test_packages_that_do_not_fit_are_one_line(htdemucs: Any, tmp_path: Path) -> None:
    network = made(htdemucs)
    good = package(network)
    state = good["state"]
    name = next(iter(state))
    whole = tmp_path / "whole.th"
    torch.save(good, whole)
    cut = tmp_path / "cut.th"
    cut.write_bytes(whole.read_bytes()[:-2000])
    (tmp_path / "text.th").write_text("no package")
    (tmp_path / "bag.yaml").write_text("models: 3")
    earlier = pytest.importorskip("demucs.hdemucs").HDemucs
    for complaint, changes in {
        "another Demucs": {"klass": earlier},
        "quantised": {"state": {"__quantized": True}},
        "1 tensors missing": {"state": {key: tensor for key, tensor in state.items() if key != name}},
        "another shape": {"state": {**state, name: state[name][..., :-1].clone()}},
        "is no tensor": {"state": {**state, "more": 3}},
        "stems": {"kwargs": {**good["kwargs"], "sources": ["kazoo"]}},
        "arguments that do not fit": {"kwargs": {**good["kwargs"], "t_heads": 5}},
        "'depth'": {"kwargs": {**good["kwargs"], "depth": {"deep": 4}}},
        "lacks": {"kwargs": None},
    }.items():
        path = tmp_path / "odd.th"
        torch.save({**good, **changes}, path)
        with pytest.raises(RtsepError, match=complaint) as caught:
            convert_path(path)
        assert "\n" not in str(caught.value)
    for path in (cut, tmp_path / "text.th", tmp_path / "none.th", tmp_path / "bag.yaml"):
        with pytest.raises(RtsepError) as caught:
            convert_path(path)
        assert "\n" not in str(caught.value)


def test_without_the_package_a_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "demucs.htdemucs", None)
    folder = REPOSITORY / "models" / "htdemucs"
    with pytest.raises(RtsepError, match=r"pip install 'rtsep\[demucs\]'") as caught:
        Bundle(folder).load_segment_network()
    assert "\n" not in str(caught.value) and os.linesep not in str(caught.value)
