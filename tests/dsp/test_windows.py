"""Windows: what overlap-adds to one, and where it begins and ends."""

import numpy as np
import pytest

from rtsep.dsp.windows import hann_periodic, synthesis_window


def test_hann_is_periodic() -> None:
    window = hann_periodic(8)
    np.testing.assert_allclose(window, 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(8) / 8), atol=1e-7)
    assert window[0] == 0.0
    assert window[4] == 1.0
    assert window.dtype == np.float32
    copies = sum(np.roll(np.pad(hann_periodic(4096), (0, 4096)), k * 1024)[3072:4096] for k in range(4))
    np.testing.assert_allclose(copies, 2.0, atol=1e-6)


@pytest.mark.parametrize(("n_fft", "hop"), [(4096, 1024), (4096, 512), (64, 16), (96, 32), (4, 1)])
def test_products_sum_to_one_at_every_support(n_fft: int, hop: int) -> None:
    analysis = hann_periodic(n_fft)
    for support in range(2 * hop, n_fft + 1, hop):
        synthesis = synthesis_window(analysis, hop, support)
        assert (synthesis.shape, synthesis.dtype) == ((support,), np.float32)
        product = analysis[n_fft - support :].astype(np.float64) * synthesis
        np.testing.assert_allclose(product.reshape(-1, hop).sum(axis=0), 1.0, atol=1e-6)


def test_a_whole_frame_is_undone_by_the_same_window() -> None:
    window = hann_periodic(4096)
    np.testing.assert_allclose(synthesis_window(window, 1024, 4096), window / 1.5, atol=1e-7)


@pytest.mark.parametrize("support", [2048, 3072, 4096])
def test_a_frame_begins_and_ends_in_silence_and_without_a_step(support: int) -> None:
    synthesis = synthesis_window(hann_periodic(4096), 1024, support)
    assert synthesis[0] == 0.0
    assert synthesis[-1] < 1e-5
    assert np.abs(np.diff(synthesis)).max() < 0.05
    assert np.abs(np.diff(synthesis)[[0, -1]]).max() < 1e-3
    assert synthesis.min() >= 0.0 and synthesis.max() < 2.01  # a mask's errors are doubled at most


def test_impossible_windows_are_refused() -> None:
    window = hann_periodic(16)
    with pytest.raises(ValueError, match="must divide the window length 16"):
        synthesis_window(window, 5, 16)
    with pytest.raises(ValueError, match="and the support 10"):
        synthesis_window(window, 4, 10)
    for support in (4, 20):
        with pytest.raises(ValueError, match=f"expected a support of 8 to 16 samples, got {support}"):
            synthesis_window(window, 4, support)
    with pytest.raises(ValueError, match="uncovered"):
        synthesis_window(np.zeros(16, np.float32), 4, 16)
    with pytest.raises(ValueError, match="at least 1"):
        hann_periodic(0)
