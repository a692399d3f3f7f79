"""Spleeter's weights and configurations: what they are here is what they are there."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from rtsep.convert.converter import Checkpoint
from rtsep.convert.dispatch import convert
from rtsep.convert.families import spleeter
from rtsep.convert.families.spleeter import RELEASED, Config, Model
from rtsep.convert.write import recipe_text, write_conversion
from rtsep.errors import RtsepError
from rtsep.recipe import Recipe, load_recipe
from tests.conftest import REPOSITORY
from tests.convert.families import spleeter_reference as reference
from tests.convert.formats.tensorflow_files import write_checkpoint
from tests.convert.published_files import port_names

MODELS = REPOSITORY / "models"
FILTERS = (3, 4, 5)
LEVELS = len(FILTERS)
SMALL = {"conv_n_filters": list(FILTERS)}
ELU = {"conv_activation": "ELU", "deconv_activation": "ELU"}
SYSTEMS = {
    "two": Config(("vocals", "accompaniment"), Model("unet.unet", SMALL), T=8, F=16),
    "four": Config(("vocals", "drums", "bass", "other"), Model("unet.unet", {**SMALL, **ELU}), T=16, F=8),
    "five": Config(
        ("vocals", "piano", "drums", "bass", "other"),
        Model("unet.softmax_unet", {**SMALL, **ELU}),
        T=8,
        F=24,
        mask_extension="average",
        separation_exponent=1,
    ),
}


def reference_masks(config: Config, variables: reference.Variables, x: np.ndarray) -> np.ndarray:
    """(S, 2, F + 1, T) of one window (2, F, T)."""
    plain = "conv_activation" not in config.model.params
    activations = (reference.leaky_relu, reference.relu) if plain else (reference.elu, reference.elu)
    frames_first = x.transpose(2, 1, 0).astype(np.float64)
    stems = range(len(config.instrument_list))
    outputs = np.stack([reference.logits(variables, stem, LEVELS, frames_first, *activations) for stem in stems])
    if config.model.type == "unet.softmax_unet":
        shares = np.exp(outputs - outputs.max(axis=0))
        shares /= shares.sum(axis=0)
    else:
        shares = 1 / (1 + np.exp(-outputs))
    low = np.stack(reference.masks(list(shares * frames_first), config.separation_exponent)).transpose(0, 3, 2, 1)
    mean = low.mean(axis=2, keepdims=True)
    return np.concatenate([low, mean if config.mask_extension == "average" else 0 * mean], axis=2)


@pytest.mark.parametrize("config", SYSTEMS.values(), ids=SYSTEMS)
def test_a_checkpoint_gives_the_masks_of_the_network_it_was_saved_from(config: Config, tmp_path: Path) -> None:
    variables = reference.random_variables(len(config.instrument_list), FILTERS)
    write_checkpoint(tmp_path / "checkpoint", variables)
    conversion = spleeter.convert_checkpoint(tmp_path / "checkpoint", config)
    assert conversion.licence == "unknown"
    network = write_conversion(conversion, tmp_path / "bundle").load_network(mask_extension=config.mask_extension)
    assert network.stems == tuple("instrumental" if s == "accompaniment" else s for s in config.instrument_list)
    x = 3 * np.random.default_rng(2).random((2, config.F, 2 * config.T - 1), np.float32) ** 2
    with torch.inference_mode():
        found = network.forward(torch.from_numpy(x)[None])[0].numpy()
    padded = np.pad(x, ((0, 0), (0, 0), (1, 0)))  # Spleeter's first frame hears nothing
    windows = np.split(padded, 2, axis=2)
    expected = np.concatenate([reference_masks(config, variables, window) for window in windows], axis=3)[..., 1:]
    np.testing.assert_allclose(found, expected, atol=2e-5)
    assert found.std() > 0.05, "a comparison of constants proves nothing"


@pytest.mark.parametrize("config", SYSTEMS.values(), ids=SYSTEMS)
def test_the_port_of_a_checkpoint_is_that_checkpoint(config: Config, tmp_path: Path) -> None:
    variables = reference.random_variables(len(config.instrument_list), FILTERS)
    write_checkpoint(tmp_path, variables)
    tensors = port_names(variables, config.instrument_list)
    assert spleeter.recognises(Checkpoint(Path("model.pt"), tensors))
    ported = spleeter.convert_state_dict(tensors, "model.pt", config)
    converted = spleeter.convert_checkpoint(tmp_path, config)
    assert ported.recipe == converted.recipe
    assert ported.tensors.keys() == converted.tensors.keys()
    assert all(torch.equal(ported.tensors[key], converted.tensors[key]) for key in ported.tensors)


def test_a_published_checkpoint_is_told_by_its_stems(tmp_path: Path) -> None:
    variables = reference.random_variables(2, (16, 32, 64, 128, 256, 512))
    assert (len(variables), sum(array.size for array in variables.values())) == (149, 19_653_519)
    write_checkpoint(tmp_path, variables)
    conversion = spleeter.convert_checkpoint(tmp_path)
    assert (conversion.recipe.name, conversion.licence) == ("spleeter-2stems", "MIT")
    wide = spleeter.convert_checkpoint(tmp_path, name="spleeter-2stems-16kHz")
    assert wide.recipe.stft.bins == 1536
    with pytest.raises(RtsepError, match="has 2 stems"):
        spleeter.convert_checkpoint(tmp_path, name="spleeter-4stems")


def test_the_port_of_a_published_checkpoint_may_be_told_by_name_too(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow, wide = SYSTEMS["two"], msgspec.structs.replace(SYSTEMS["two"], F=24)
    monkeypatch.setitem(RELEASED, "spleeter-2stems", narrow)
    monkeypatch.setitem(RELEASED, "spleeter-2stems-16kHz", wide)
    tensors = port_names(reference.random_variables(2, FILTERS), narrow.instrument_list)
    for name, bins in ((None, 16), ("mine", 16), ("spleeter-2stems-16kHz", 24)):
        conversion = convert(Checkpoint(Path("model.pt"), tensors), name)
        assert (conversion.recipe.stft.bins, conversion.licence) == (bins, "MIT")


def test_weights_of_another_size_are_one_line(tmp_path: Path) -> None:
    config = SYSTEMS["two"]
    write_checkpoint(tmp_path / "small", reference.random_variables(2, (3, 4, 6)))
    with pytest.raises(RtsepError, match="another shape") as caught:
        spleeter.convert_checkpoint(tmp_path / "small", config)
    assert "\n" not in str(caught.value)
    write_checkpoint(tmp_path / "few", reference.random_variables(1, FILTERS))
    with pytest.raises(RtsepError, match="no variable conv2d_4/kernel"):
        spleeter.convert_checkpoint(tmp_path / "few", config)
    write_checkpoint(tmp_path / "strange", {"dense/kernel": np.ones((2, 3), np.float32)})
    with pytest.raises(RtsepError, match="has 0 stems"):
        spleeter.convert_checkpoint(tmp_path / "strange")
    tensors = port_names(reference.random_variables(2, FILTERS), ("vocals", "accompaniment"))
    del tensors["stems.vocals.up_final.bias"]
    with pytest.raises(RtsepError, match="1 tensors missing"):
        spleeter.convert_state_dict(tensors, "model.pt", config)


@pytest.mark.parametrize("name", RELEASED)
def test_the_recipe_that_comes_along_is_the_published_system(name: str) -> None:
    recipe = load_recipe(MODELS / name / "recipe.toml")
    expected = spleeter.recipe_of(RELEASED[name], name)
    assert recipe == msgspec.structs.replace(expected, description=recipe.description)
    assert expected.description.startswith("Spleeter's networks for vocals, ")


JSON = {
    "train_csv": "path/to/train.csv",
    "mix_name": "mix",
    "instrument_list": ["vocals", "drums", "bass", "other"],
    "sample_rate": 44100,
    "frame_length": 4096,
    "frame_step": 1024,
    "T": 256,
    "F": 1536,
    "n_channels": 2,
    "separation_exponent": 1.5,
    "mask_extension": "average",
    "learning_rate": 1e-4,
    "batch_size": 3,
    "train_max_steps": 200000,
    "random_seed": 3,
    "model": {"type": "unet.unet", "params": ELU},
}


def recipe_from_json(tmp_path: Path, **changes: object) -> Recipe:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(JSON | changes))
    return spleeter.recipe_of(spleeter.read_config(path), "mine")


def test_a_configuration_becomes_a_recipe(tmp_path: Path) -> None:
    recipe = recipe_from_json(tmp_path)
    assert recipe.stems == ("vocals", "drums", "bass", "other")
    assert recipe.stft.bins == 1536
    assert recipe.net == {
        "model": "unet",
        "conv_activation": "elu",
        "deconv_activation": "elu",
        "separation_exponent": 1.5,
        "mask_extension": "average",
    }
    assert recipe.window is not None
    assert (recipe.window.frames, recipe.window.stride, recipe.window.lead) == (256, 256, 1)
    assert (recipe.train.batch, recipe.train.steps, recipe.train.frames, recipe.train.seed) == (3, 200000, 256, 3)
    (tmp_path / "recipe.toml").write_text(recipe_text(recipe))
    assert load_recipe(tmp_path / "recipe.toml") == recipe
    lstm = recipe_from_json(tmp_path, model={"type": "blstm.blstm", "params": {"lstm_units": 40}})
    assert lstm.net["model"] == "blstm"
    assert lstm.net["lstm_units"] == 40


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"instrument_list": ["vocals", "kazoo"]}, "kazoo"),
        ({"instrument_list": "vocals"}, "instrument_list"),
        ({"model": {"type": "unet.magic"}}, "unet.magic"),
        ({"model": {"type": "unet.unet", "params": {"conv_kernel": 3}}}, "conv_kernel"),
        ({"mask_extension": "loud"}, "loud"),
        ({"frame_step": 1000}, "multiple of hop 1000"),
        ({"F": "many"}, r"\$\.F"),
    ],
)
def test_a_configuration_that_is_not_understood_is_one_line(
    tmp_path: Path, changes: dict[str, object], complaint: str
) -> None:
    with pytest.raises(RtsepError, match=complaint) as caught:
        recipe_from_json(tmp_path, **changes)
    assert "\n" not in str(caught.value)


def test_a_bundle_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    config = SYSTEMS["two"]
    write_checkpoint(tmp_path, reference.random_variables(2, FILTERS))
    conversion = spleeter.convert_checkpoint(tmp_path, config)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RtsepError, match="^cannot write .*file"):
        write_conversion(conversion, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "in the way"
