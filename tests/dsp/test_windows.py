"""Windows and the normaliser of their overlap-add."""

import numpy as np
import pytest

from rtsep.dsp.windows import hann_periodic, overlap_add_gain


def test_hann_is_periodic() -> None:
    window = hann_periodic(8)
    np.testing.assert_allclose(window, 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(8) / 8), atol=1e-7)
    assert window[0] == 0.0
    assert window[4] == 1.0
    assert window.dtype == np.float32
    copies = sum(np.roll(np.pad(hann_periodic(4096), (0, 4096)), k * 1024)[3072:4096] for k in range(4))
    np.testing.assert_allclose(copies, 2.0, atol=1e-6)


@pytest.mark.parametrize(("n_fft", "hop"), [(4096, 1024), (4096, 512), (64, 16), (96, 32)])
def test_the_gain_undoes_both_windows(n_fft, hop) -> None:
    window = hann_periodic(n_fft)
    gain = overlap_add_gain(window, window, hop)
    total = (window.astype(np.float64) ** 2).reshape(-1, hop).sum(0)
    assert gain.shape == (hop,)
    np.testing.assert_allclose(gain * total, 1.0, atol=1e-6)


def test_impossible_windows_are_refused() -> None:
    window = hann_periodic(16)
    with pytest.raises(ValueError, match="must divide"):
        overlap_add_gain(window, window, 5)
    with pytest.raises(ValueError, match="equally long"):
        overlap_add_gain(window, hann_periodic(8), 4)
    with pytest.raises(ValueError, match="uncovered"):
        overlap_add_gain(window, window, 16)
    with pytest.raises(ValueError, match="at least 1"):
        hann_periodic(0)
