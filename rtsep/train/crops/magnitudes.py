"""The largest magnitude of a spectrum, by which the frame transformer's crops are divided."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from rtsep.dsp.windows import hann_periodic

PEAK_N_FFT, PEAK_HOP = 2048, 1024  # its author's settings


def largest_magnitude(rows: NDArray[np.float32], n_fft: int, hop: int) -> float:
    """The largest magnitude of all frames inside `rows` (R, N), divided by n_fft / 2, so that n_fft hardly matters.

    0 if there is no such frame.
    """
    if rows.shape[1] < n_fft:
        return 0.0
    frames = sliding_window_view(rows, n_fft, axis=1)[:, ::hop]
    return float(np.abs(np.fft.rfft(frames * hann_periodic(n_fft))).max()) / (n_fft / 2)


class PeakMeter:
    """Measures the largest magnitude of a song block by block."""

    def __init__(self) -> None:
        self.peak = 0.0
        self._rest: NDArray[np.float32] | None = None

    def push(self, rows: NDArray[np.float32]) -> None:
        """Add the next samples (R, n) of R signals."""
        if self._rest is not None:
            rows = np.concatenate([self._rest, rows], axis=1)
        self.peak = max(self.peak, largest_magnitude(rows, PEAK_N_FFT, PEAK_HOP))
        done = max(0, (rows.shape[1] - PEAK_N_FFT) // PEAK_HOP + 1) * PEAK_HOP
        self._rest = rows[:, done:].copy()
