"""The largest magnitude of a spectrum, by which the frame transformer's crops are divided."""

from __future__ import annotations

import torch
from torch import Tensor

PEAK_N_FFT, PEAK_HOP = 2048, 1024  # its author's settings


def largest_magnitude(rows: Tensor, n_fft: int, hop: int) -> Tensor:
    """The largest magnitude of all frames inside `rows` (..., R, N), divided by n_fft / 2: n_fft hardly matters then.

    One number for R signals together: (...). 0 if there is no such frame.
    """
    if rows.shape[-1] < n_fft:
        return rows.new_zeros(rows.shape[:-2])
    frames = rows.unfold(-1, n_fft, hop) * torch.hann_window(n_fft, device=rows.device)
    return torch.fft.rfft(frames).abs().amax(dim=(-3, -2, -1)) / (n_fft / 2)


class PeakMeter:
    """Measures the largest magnitude of a song block by block."""

    def __init__(self) -> None:
        self.peak = 0.0
        self._rest: Tensor | None = None

    def push(self, rows: Tensor) -> None:
        """Add the next samples (R, n) of R signals."""
        if self._rest is not None:
            rows = torch.cat([self._rest, rows], dim=1)
        self.peak = max(self.peak, float(largest_magnitude(rows, PEAK_N_FFT, PEAK_HOP)))
        done = max(0, (rows.shape[1] - PEAK_N_FFT) // PEAK_HOP + 1) * PEAK_HOP
        self._rest = rows[:, done:].clone()
