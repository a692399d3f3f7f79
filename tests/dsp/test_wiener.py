"""The multichannel Wiener filter against its formulas, in two passes and running."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rtsep.dsp.wiener import MultichannelWiener
from tests.dsp.wiener_reference import wiener_filter


def material(frames: int, bins: int, stems: int, gain: float = 50.0) -> tuple[np.ndarray, np.ndarray]:
    """Spectra (T, 2, F) and magnitudes of stems (T, S, 2, F); one bin is silent, and one stem nearly is."""
    random = np.random.default_rng(frames)
    spectra = gain * (random.standard_normal((frames, 2, bins)) + 1j * random.standard_normal((frames, 2, bins)))
    spectra[:, 1] = 0.5 * spectra[:, 0] + 0.5 * spectra[:, 1]
    spectra[:, :, bins // 2] = 0
    estimates = random.random((frames, stems, 2, bins)) * np.abs(spectra)[:, None]
    estimates[:, 0] *= 1e-3
    return spectra.astype(np.complex64), estimates.astype(np.float32)


def masks_of(estimates: np.ndarray) -> np.ndarray:
    """As networks give them, and silence above: (T, S, 2, F + 1)."""
    low = (estimates + 1e-10 / estimates.shape[1]) / (estimates.sum(axis=1, keepdims=True) + 1e-10)
    return np.pad(low, ((0, 0), (0, 0), (0, 0), (0, 1))).astype(np.float32)


def expected(estimates: np.ndarray, spectra: np.ndarray) -> np.ndarray:
    """(T, S, 2, F)."""
    return wiener_filter(estimates.transpose(0, 3, 2, 1), spectra.transpose(0, 2, 1)).transpose(0, 3, 2, 1)


@pytest.mark.parametrize("gain", [50.0, 0.02])
def test_two_passes_are_what_the_formulas_say(gain: float) -> None:
    spectra, estimates = material(11, 7, 3, gain)
    masks = masks_of(estimates)
    wiener = MultichannelWiener(3, 7)
    for frame in range(11):
        wiener.observe(spectra[frame], masks[frame])
    wiener.running = False
    out = np.zeros((3, 2, 7), np.complex64)
    for frame, stems in enumerate(expected(estimates, spectra)):
        wiener.separate(spectra[frame], masks[frame], out)
        np.testing.assert_allclose(out, stems, atol=3e-5 * gain)


@pytest.mark.parametrize("gain", [50.0, 0.02])
def test_norbert_itself_comes_to_the_same(gain: float) -> None:
    norbert = pytest.importorskip("norbert")
    spectra, estimates = material(13, 9, 4, gain)
    # It scales in place what it is given.
    theirs = norbert.wiener(estimates.transpose(0, 3, 2, 1).copy(), spectra.transpose(0, 2, 1).copy())
    np.testing.assert_allclose(expected(estimates, spectra), theirs.transpose(0, 3, 2, 1), atol=3e-5 * gain)


def test_running_it_knows_what_was_heard_so_far() -> None:
    spectra, estimates = material(9, 6, 2)
    masks = masks_of(estimates)
    wiener = MultichannelWiener(2, 6)
    first, out = (np.zeros((2, 2, 6), np.complex64) for _ in range(2))
    wiener.separate(spectra[0], masks[0], first)
    for frame in range(1, 9):
        wiener.separate(spectra[frame], masks[frame], out)
        heard = slice(0, frame + 1)
        np.testing.assert_allclose(out, expected(estimates[heard], spectra[heard])[-1], atol=0.05)
    wiener.reset()
    wiener.separate(spectra[0], masks[0], out)
    np.testing.assert_array_equal(out, first)


def test_a_memory_forgets_where_the_stems_stood() -> None:
    """After they have changed sides, the sums that forget are those that never heard the first half."""
    spectra, _ = material(400, 5, 2)
    sides = np.array([[0.9, 0.1], [0.1, 0.9]], np.float32)[:, :, None].repeat(6, axis=2)
    fresh, forgetful, faithful = (MultichannelWiener(2, 5, memory) for memory in (20, 20, math.inf))
    outs = [np.zeros((2, 2, 5), np.complex64) for _ in range(3)]
    for frame in range(400):
        for wiener in (forgetful, faithful):
            wiener.observe(spectra[frame], sides[:, ::-1])
    for wiener, out in zip((fresh, forgetful, faithful), outs, strict=True):
        for frame in range(200):
            wiener.separate(spectra[frame], sides, out)
    assert np.abs(outs[1] - outs[0]).max() < 0.05
    assert np.abs(outs[2] - outs[0]).max() > 1


def test_stems_that_stand_apart_are_told_apart_better_than_by_their_masks() -> None:
    random = np.random.default_rng(3)
    frames, bins = 60, 4
    sources = random.standard_normal((2, frames, bins)) + 1j * random.standard_normal((2, frames, bins))
    places = np.array([[1.0, 0.3], [0.2, 1.0]])
    images = (sources[:, :, None] * places[:, None, :, None]).astype(np.complex64)  # (S, T, 2, F)
    spectra = np.ascontiguousarray(images.sum(axis=0))
    guess = np.abs(images).transpose(1, 0, 2, 3) + 0.5
    masks = masks_of(guess.astype(np.float32))
    wiener = MultichannelWiener(2, bins)
    for frame in range(frames):
        wiener.observe(spectra[frame], masks[frame])
    wiener.running = False
    out = np.zeros((2, 2, bins), np.complex64)
    masked = filtered = 0.0
    for frame in range(frames):
        wiener.separate(spectra[frame], masks[frame], out)
        filtered += float(np.square(np.abs(out - images[:, frame])).sum())
        masked += float(np.square(np.abs(masks[frame, :, :, :bins] * spectra[frame] - images[:, frame])).sum())
    assert filtered < 0.7 * masked


def test_a_memory_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 0"):
        MultichannelWiener(2, 5, memory_frames=0)
