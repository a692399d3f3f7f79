"""Frames of 2048 samples, as the vocal removers want them, on the grid of the engine's hops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import rtsep
from rtsep.nn.constant import ConstantMask
from rtsep.separation.backends.pytorch import TorchStepper, choose_compute
from rtsep.separation.processor import Processor
from rtsep.timebase import HOP

N_FFT = 2048


class Listening(TorchStepper):
    """Keeps the magnitudes of every step."""

    heard: list[np.ndarray]

    def step(self, magnitudes: np.ndarray) -> np.ndarray:
        self.__dict__.setdefault("heard", []).append(magnitudes.copy())
        return super().step(magnitudes)


def noise(hops: int) -> np.ndarray:
    return np.random.default_rng(hops).standard_normal((2, hops * HOP)).astype(np.float32)


@pytest.mark.parametrize("latency", ["standard", "medium", "low"])
@pytest.mark.parametrize("chunk", [1, 3])
def test_stems_come_one_hop_late_and_are_whole(chunk: int, latency: str) -> None:
    stepper = TorchStepper(ConstantMask(["vocals", "instrumental"], [0.25, 0.75]), choose_compute("cpu"), chunk)
    processor = Processor(stepper, latency, n_fft=N_FFT)
    assert processor.latency_samples == HOP
    mixture, out = noise(12), np.zeros((2, 2, chunk * HOP), np.float32)
    pieces = []
    for start in range(0, mixture.shape[1], chunk * HOP):
        processor.process(mixture[:, start : start + chunk * HOP], out)
        pieces.append(out.copy())
    stems = np.concatenate(pieces, axis=2)[:, :, HOP:]
    expected = np.array([0.25, 0.75])[:, None, None] * mixture[:, :-HOP]
    assert np.abs(stems - expected).max() < 1e-5


def test_the_network_sees_the_centred_frames_of_the_authors() -> None:
    stepper = Listening(ConstantMask(["vocals", "instrumental"], [0.5, 0.5]), choose_compute("cpu"), 4)
    mixture = noise(8)
    processor = Processor(stepper, n_fft=N_FFT)
    for start in (0, 4):
        processor.process(mixture[:, start * HOP : (start + 4) * HOP], np.zeros((2, 2, 4 * HOP), np.float32))
    window = torch.hann_window(N_FFT)
    centred = torch.stft(torch.from_numpy(mixture), N_FFT, HOP, window=window, pad_mode="constant", return_complex=True)
    heard = np.concatenate(stepper.heard, axis=2)
    np.testing.assert_allclose(heard, centred.abs()[:, :1024, :8].numpy(), atol=2e-4)


def test_a_model_of_short_frames_separates(constant_bundle: Callable[..., Path]) -> None:
    folder = constant_bundle(vocals=0.25, other=0.75)
    recipe = folder / "recipe.toml"
    recipe.write_text(f"{recipe.read_text()}[stft]\nn_fft = {N_FFT}\n")
    separator = rtsep.load(folder)
    mixture = noise(40)[:, : 38 * HOP + 7]
    parts = [separator.feed(mixture), separator.flush()]
    for stem, gain in (("vocals", 0.25), ("other", 0.75)):
        assert np.abs(np.concatenate([part[stem] for part in parts], axis=1) - gain * mixture).max() < 1e-5
