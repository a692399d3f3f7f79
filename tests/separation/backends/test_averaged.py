"""Two networks' masks averaged: the mean of both at the same frames, whatever the steps, and one state for both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from rtsep.bundle import Bundle, find_bundle
from rtsep.errors import RtsepError
from rtsep.model_list import list_models
from rtsep.nn.windowed import Windowed
from rtsep.separation.backends.averaged import AveragedStepper
from rtsep.separation.backends.check import check_stepper
from rtsep.separation.backends.choose import load_stepper
from rtsep.separation.backends.frame_transformer import CompiledStepper
from rtsep.separation.backends.pytorch import TorchStepper, choose_compute
from tests.networks import LevelShares

SHARE = 0.4
CPU = choose_compute("cpu")


def music(frames: int, seed: int = 3) -> np.ndarray:
    return (10 * np.random.default_rng(seed).random((2, 1024, frames)) ** 3).astype(np.float32)


def compiled(default_bundle: Path) -> CompiledStepper:
    stepper = load_stepper(Bundle(default_bundle), "cpu", 8)
    assert isinstance(stepper, CompiledStepper)
    return stepper


def windows() -> TorchStepper:
    """Masks come three frames late."""
    return TorchStepper(Windowed(LevelShares(), 8, 2, 2), CPU, 8)


def stepped(stepper: object, magnitudes: np.ndarray, sizes: list[int]) -> np.ndarray:
    ends = np.cumsum(sizes)
    parts = [np.ascontiguousarray(magnitudes[:, :, end - size : end]) for end, size in zip(ends, sizes, strict=True)]
    return np.concatenate([stepper.step(part).copy() for part in parts], axis=-1)  # type: ignore[attr-defined]


@pytest.mark.parametrize("sizes", [[1] * 24, [8, 8, 8], [3, 1, 5, 2, 8, 1, 4]])
def test_masks_are_the_mean_of_both_at_the_same_frame(default_bundle: Path, sizes: list[int]) -> None:
    averaged, late = AveragedStepper(windows(), compiled(default_bundle), SHARE), 3
    assert averaged.lookahead_frames == late
    magnitudes = music(24)
    main, other = (stepped(each, magnitudes, sizes)[..., :-1, :] for each in (windows(), compiled(default_bundle)))
    found = stepped(averaged, magnitudes, sizes)
    expected = (1 - SHARE) * main[..., late:] + SHARE * other[..., :-late]
    np.testing.assert_allclose(found[..., :-1, late:], expected, atol=1e-6)
    np.testing.assert_array_equal(found[..., -1, :], stepped(windows(), magnitudes, sizes)[..., -1, :])
    assert np.abs(expected - main[..., late:]).max() > 0.05


def test_the_contract_is_kept(default_bundle: Path) -> None:
    averaged = AveragedStepper(
        TorchStepper(Windowed(LevelShares(), 8, 2, 2), CPU), load_stepper(Bundle(default_bundle), "cpu"), SHARE
    )
    assert check_stepper(averaged) == []


def test_what_is_only_heard_is_known_to_the_next_step_and_streams_are_apart(default_bundle: Path) -> None:
    stepped_through, heard = (AveragedStepper(windows(), compiled(default_bundle), SHARE) for _ in range(2))
    other_stream = heard.new_stream()
    before, after = music(7), music(4, seed=4)
    stepped_through.step(before)
    heard.hear(before)
    other_stream.step(after)
    np.testing.assert_array_equal(heard.step(after), stepped_through.step(after))


def recipe(folder: Path, model: str, more: str = "") -> Path:
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_text(
        f'name = "{folder.name}"\nnetwork = "tests.networks:LevelShares"\nstems = ["vocals", "instrumental"]\n'
        f'[window]\nframes = 8\nstride = 2\nlookahead = 2\n[average]\nmodel = "{model}"\n{more or "share = 0.4"}\n'
    )
    return folder


def test_a_recipe_names_the_model_that_is_averaged_in(
    tmp_path: Path, default_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RTSEP_MODEL_DIR", str(default_bundle.parent))
    bundle = Bundle(recipe(tmp_path / "mean", default_bundle.name))
    stepper = load_stepper(bundle, "cpu", 8)
    magnitudes, sizes = music(16), [4] * 4
    by_hand = stepped(AveragedStepper(windows(), compiled(default_bundle), SHARE), magnitudes, sizes)
    np.testing.assert_array_equal(stepped(stepper, magnitudes, sizes), by_hand)
    assert bundle.licence == f"{Bundle(default_bundle).licence} ({default_bundle.name})"


def test_models_that_cannot_be_averaged_are_named(
    tmp_path: Path, default_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RTSEP_MODEL_DIR", str(tmp_path))
    with pytest.raises(RtsepError, match="no model 'nowhere'"):
        load_stepper(Bundle(recipe(tmp_path / "a", "nowhere")), "cpu")
    with pytest.raises(RtsepError, match="is an average itself"):
        load_stepper(Bundle(recipe(tmp_path / "b", "b")), "cpu")
    late = recipe(tmp_path / "late", "a")
    text = (late / "recipe.toml").read_text()
    (late / "recipe.toml").write_text(text.partition("[average]")[0])
    with pytest.raises(RtsepError, match="the second one no lookahead"):
        load_stepper(Bundle(recipe(tmp_path / "c", "late")), "cpu")
    with pytest.raises(RtsepError, match="share must be above 0 and below 1"):
        load_stepper(Bundle(recipe(tmp_path / "d", default_bundle.name, "share = 2.0")), "cpu")


def test_the_live_spleeter_has_its_weights_where_both_are_there(
    real_spleeter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RTSEP_MODEL_DIR", str(real_spleeter.parent))
    bundle = find_bundle("spleeter-live-2stems")
    assert bundle.has_weights
    assert bundle.licence == "MIT (Deezer), and CC BY-NC-SA 4.0 (frame-transformer-2stems)"
    assert [info.has_weights for info in list_models() if info.name == bundle.name] == [True]
    stepper = load_stepper(bundle, "cpu", 1, live=True)
    masks = stepper.step(music(1))
    assert isinstance(stepper, AveragedStepper)
    torch.testing.assert_close(torch.from_numpy(masks.sum(axis=0)), torch.ones(2, 1025, 1), atol=1e-3, rtol=0)
