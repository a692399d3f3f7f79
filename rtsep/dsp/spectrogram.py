"""Spectrograms of streams, drawn into a PNG. Memory grows with the number of columns, not of samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtsep.files import replacing

N_FFT = 4096
BANDS = 256
LOWEST_HZ = 40.0
RANGE_DB = 80.0


class BandEnergies:
    """Mean power of a stream in 256 logarithmic frequency bands, one column for every 4096 samples pushed."""

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.edges_hz = np.geomspace(LOWEST_HZ, sample_rate / 2, BANDS + 1)
        bins = np.clip(np.round(self.edges_hz * N_FFT / sample_rate).astype(int), 1, N_FFT // 2)
        self._first = bins[:-1]
        self._window = np.hanning(N_FFT).astype(np.float32)
        self._pending = np.zeros(0, np.float32)
        self._columns: list[NDArray[np.float32]] = []

    def push(self, samples: NDArray[np.float32]) -> None:
        """Append samples (C, n); the channels are averaged."""
        self._pending = np.concatenate([self._pending, samples.mean(axis=0)])
        while len(self._pending) >= N_FFT:
            self._column(self._pending[:N_FFT])
            self._pending = self._pending[N_FFT:]

    def decibels(self) -> NDArray[np.float32]:
        """Return levels (bands, columns) in dB; the last, incomplete column is padded with zeros."""
        columns = list(self._columns)
        if len(self._pending) or not columns:
            self._column(np.pad(self._pending, (0, N_FFT - len(self._pending))))
            columns = self._columns
            self._columns = columns[:-1]
        return np.float32(10.0) * np.log10(np.maximum(np.array(columns, np.float32).T, np.float32(1e-12)))

    def _column(self, samples: NDArray[np.float32]) -> None:
        power = np.abs(np.fft.rfft(samples * self._window)) ** 2
        # A low band may be narrower than a bin: reduceat then returns the bin itself.
        sums = np.add.reduceat(power, self._first)
        widths = np.maximum(np.diff(np.append(self._first, len(power))), 1)
        self._columns.append((sums / widths).astype(np.float32))


def draw(path: Path, panels: Sequence[tuple[str, BandEnergies]]) -> bool:
    """Draw titled spectrograms below each other, on one scale, into a PNG; returns False without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    pictures = [(title, energies, energies.decibels()) for title, energies in panels]
    top = max(float(levels.max()) for _, _, levels in pictures)
    figure = Figure(figsize=(11, 3.2 * len(pictures)), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    for row, (title, energies, levels) in enumerate(pictures):
        axes = figure.add_subplot(len(pictures), 1, row + 1)
        times_s = np.arange(levels.shape[1] + 1) * N_FFT / energies.sample_rate
        mesh = axes.pcolormesh(
            times_s, energies.edges_hz, levels, vmin=top - RANGE_DB, vmax=top, cmap="magma", rasterized=True
        )
        axes.set(title=title, xlabel="s", ylabel="Hz", yscale="log")
        figure.colorbar(mesh, ax=axes, label="dB")
    with replacing(path) as temporary:
        canvas.print_png(str(temporary))
    return True
