"""The largest magnitude of a spectrum: what the frame transformer's crops are divided by."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from rtsep.dsp.windows import hann_periodic

PEAK_N_FFT, PEAK_HOP = 2048, 1024  # as its author measured songs


def largest_magnitude(rows: NDArray[np.float32], n_fft: int, hop: int) -> float:
    """Of all frames that lie wholly inside `rows` (R, N), over n_fft / 2: the same for every n_fft, nearly.

    0 where there is no such frame.
    """
    if rows.shape[1] < n_fft:
        return 0.0
    frames = sliding_window_view(rows, n_fft, axis=1)[:, ::hop]
    return float(np.abs(np.fft.rfft(frames * hann_periodic(n_fft))).max()) / (n_fft / 2)


class PeakMeter:
    """The largest magnitude of a whole song that comes in blocks."""

    def __init__(self) -> None:
        self.peak = 0.0
        self._rest: NDArray[np.float32] | None = None

    def push(self, rows: NDArray[np.float32]) -> None:
        """Take the next samples (R, n) of R signals."""
        if self._rest is not None:
            rows = np.concatenate([self._rest, rows], axis=1)
        self.peak = max(self.peak, largest_magnitude(rows, PEAK_N_FFT, PEAK_HOP))
        done = max(0, (rows.shape[1] - PEAK_N_FFT) // PEAK_HOP + 1) * PEAK_HOP
        self._rest = rows[:, done:].copy()
