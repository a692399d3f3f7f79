"""Spectrograms of streams, drawn into a PNG. Memory grows with the number of columns, not of samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
        self._squares: list[float] = []

    def push(self, samples: NDArray[np.float32]) -> None:
        """Append samples (C, n); the channels are averaged."""
        self._pending = np.concatenate([self._pending, samples.mean(axis=0)])
        while len(self._pending) >= N_FFT:
            self._column(self._pending[:N_FFT])
            self._squares.append(float(np.mean(self._pending[:N_FFT] ** 2)))
            self._pending = self._pending[N_FFT:]

    def levels_db(self) -> NDArray[np.float64]:
        """Return the RMS level of each complete column in dBFS."""
        return 10.0 * np.log10(np.maximum(np.array(self._squares), 1e-12))

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
    picture = _picture(len(panels))
    if picture is None:
        return False
    top = max(float(energies.decibels().max()) for _, energies in panels)
    for row, (title, energies) in enumerate(panels):
        _map(picture, (len(panels), 1, row + 1), title, energies, energies.decibels(), (top - RANGE_DB, top), "dB")
    _write(picture, path)
    return True


def draw_separation(
    path: Path, before: BandEnergies, after: tuple[str, BandEnergies], stems: Mapping[str, BandEnergies]
) -> bool:
    """Draw a song before and after (a title and the mix), each stem's mask, and levels; False without matplotlib."""
    rows = 3 + len(stems)
    picture = _picture(rows)
    if picture is None:
        return False
    top = float(before.decibels().max())
    _map(picture, (rows, 1, 1), "before", before, before.decibels(), (top - RANGE_DB, top), "dB")
    _map(picture, (rows, 1, 2), after[0], after[1], after[1].decibels(), (top - RANGE_DB, top), "dB")
    powers = {stem: np.float32(10.0) ** (energies.decibels() / 10) for stem, energies in stems.items()}
    total = np.sum(list(powers.values()), axis=0)
    for row, (stem, power) in enumerate(powers.items(), 3):
        _map(picture, (rows, 1, row), f"mask: {stem}", stems[stem], power / total, (0.0, 1.0), "share of the power")
    axes = picture.figure.add_subplot(rows, 1, rows)
    for name, energies in {"before": before, **stems, "after": after[1]}.items():
        levels_db = energies.levels_db()
        axes.plot((np.arange(len(levels_db)) + 0.5) * N_FFT / energies.sample_rate, levels_db, label=name)
    axes.set(title="levels", xlabel="s", ylabel="dBFS (RMS)", ylim=(-RANGE_DB, 0))
    axes.legend(loc="lower right")
    _write(picture, path)
    return True


def _picture(rows: int) -> Any:
    """A canvas with room for so many panels; None without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return None
    return FigureCanvasAgg(Figure(figsize=(11, 3.2 * rows), layout="constrained"))


def _map(
    picture: Any,
    place: tuple[int, int, int],
    title: str,
    energies: BandEnergies,
    values: NDArray[np.float32],
    limits: tuple[float, float],
    unit: str,
) -> None:
    """Draw `values` (bands, columns) over time and frequency."""
    axes = picture.figure.add_subplot(*place)
    times_s = np.arange(values.shape[1] + 1) * N_FFT / energies.sample_rate
    mesh = axes.pcolormesh(
        times_s, energies.edges_hz, values, vmin=limits[0], vmax=limits[1], cmap="magma", rasterized=True
    )
    axes.set(title=title, xlabel="s", ylabel="Hz", yscale="log")
    picture.figure.colorbar(mesh, ax=axes, label=unit)


def _write(picture: Any, path: Path) -> None:
    with replacing(path) as temporary:
        picture.print_png(str(temporary))
