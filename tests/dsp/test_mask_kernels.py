"""Masks, high band and overlap-add against NumPy."""

import numpy as np
import pytest

from rtsep.dsp.mask_kernels import apply_masks, overlap_add, push_and_window


def random_spectrum(rng, *shape: int) -> np.ndarray:
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


@pytest.mark.parametrize(("stems", "channels", "bins", "rows"), [(2, 2, 2049, 1025), (1, 1, 9, 9), (4, 2, 33, 1)])
def test_masks_scale_their_bins_and_the_last_row_all_above(stems, channels, bins, rows) -> None:
    rng = np.random.default_rng(0)
    spectrum = random_spectrum(rng, channels, bins)
    masks = rng.random((stems, channels, rows)).astype(np.float32)
    out = np.full((stems, channels, bins), np.nan, np.complex64)
    apply_masks(spectrum, masks, out)
    full = np.concatenate([masks, np.repeat(masks[..., -1:], bins - rows, axis=-1)], axis=-1)
    np.testing.assert_array_equal(out, spectrum * full)


def test_masks_may_be_a_strided_view_of_a_chunk() -> None:
    rng = np.random.default_rng(1)
    spectrum = random_spectrum(rng, 2, 2049)
    chunk = rng.random((2, 2, 1025, 7)).astype(np.float32)
    out, expected = np.empty((2, 2, 2049), np.complex64), np.empty((2, 2, 2049), np.complex64)
    for k in range(7):
        apply_masks(spectrum, chunk[..., k], out)
        apply_masks(spectrum, np.ascontiguousarray(chunk[..., k]), expected)
        np.testing.assert_array_equal(out, expected)


def test_masks_that_sum_to_one_give_the_mixture_back_also_above_the_networks_band() -> None:
    rng = np.random.default_rng(2)
    spectrum = random_spectrum(rng, 2, 2049)
    masks = rng.random((3, 2, 1025)).astype(np.float32)
    masks /= masks.sum(0)
    out = np.empty((3, 2, 2049), np.complex64)
    apply_masks(spectrum, masks, out)
    np.testing.assert_allclose(out.sum(0), spectrum, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("n_fft", "support", "hop"), [(16, 16, 4), (16, 12, 4), (16, 8, 4), (12, 8, 4), (8, 8, 4)])
def test_overlap_add_equals_adding_the_ends_of_frames_on_a_line(n_fft, support, hop) -> None:
    rng = np.random.default_rng(3)
    frames = rng.standard_normal((10, 2, n_fft)).astype(np.float32)
    window = rng.random(support).astype(np.float32)
    line = np.zeros((2, 9 * hop + support), np.float32)
    pending, out = np.zeros((2, support - hop), np.float32), np.empty((2, hop), np.float32)
    for t, frame in enumerate(frames):
        line[:, t * hop : t * hop + support] += frame[:, n_fft - support :] * window
        overlap_add(frame, window, pending, out)
        np.testing.assert_allclose(out, line[:, t * hop : (t + 1) * hop], atol=1e-6)


@pytest.mark.parametrize(("n_fft", "hop"), [(16, 4), (12, 4), (8, 4), (4, 4)])
def test_history_slides_by_a_hop(n_fft, hop) -> None:
    rng = np.random.default_rng(4)
    x = rng.standard_normal((2, 10 * hop)).astype(np.float32)
    window = rng.random(n_fft).astype(np.float32)
    history, out = np.zeros((2, n_fft), np.float32), np.empty((2, n_fft), np.float32)
    line = np.pad(x, ((0, 0), (n_fft - hop, 0)))
    for t in range(10):
        push_and_window(history, x[:, t * hop : (t + 1) * hop], window, out)
        np.testing.assert_array_equal(out, line[:, t * hop : t * hop + n_fft] * window)
