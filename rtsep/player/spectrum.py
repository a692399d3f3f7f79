"""Spectrogram columns of the mixture and of each stem at the play head, for the eye.

Read from the rings with a cursor of its own: nothing waits for it, and where it comes too late columns are missing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtsep.shared.state import SharedState
from rtsep.timebase import SAMPLE_RATE

Float32 = NDArray[np.float32]

COLUMN = 1024
"""Samples from one column to the next; columns begin at multiples of it."""
WINDOW = 4096
BANDS = 64
LOWEST_HZ, HIGHEST_HZ = 40.0, 18_000.0
FLOOR_DB = -100.0
MOST = 16
"""Columns of one look: a face that looks less often than three times a second misses some."""

EDGES_HZ = np.geomspace(LOWEST_HZ, HIGHEST_HZ, BANDS + 1)
"""Borders of the bands, in Hz."""


@dataclass(frozen=True)
class Columns:
    """Consecutive columns.

    Attributes:
        begin: the stream position at which the first one's window begins, in samples.
        levels_db: (n, 1 + stems, BANDS), the mixture first. The loudest bin of a band; a sine at full scale has 0 dB,
            and nothing is below `FLOOR_DB`. NaN where the rings don't have the sound.
    """

    begin: int
    levels_db: Float32


class Spectrum:
    """Follows the play head of a shared state; for one thread."""

    def __init__(self, shared: SharedState) -> None:
        self._shared = shared
        self._epoch = -1
        self._next = 0
        self._window = np.hanning(WINDOW + 1)[:-1].astype(np.float32) * np.float32(4 / WINDOW)
        bins = np.round(EDGES_HZ * WINDOW / SAMPLE_RATE).astype(int)
        self._first = bins[:-1]
        self._last = int(bins[-1])
        self._mixture = np.zeros((shared.mixture.rows, WINDOW), np.float32)
        self._stems = np.zeros((shared.stem.rows, WINDOW), np.float32)

    def look(self) -> Columns:
        """The columns that the play head has passed since the last look; none while it stands still."""
        head = self._shared.callback.read()
        last = (head.position - WINDOW) // COLUMN * COLUMN
        if head.epoch != self._epoch or not self._next <= last + COLUMN <= self._next + MOST * COLUMN:
            # A jump, or too late: go on with what is heard now.
            self._epoch, self._next = head.epoch, last
        begin = self._next
        columns = [self._column(position) for position in range(begin, last + 1, COLUMN)]
        self._next = begin + len(columns) * COLUMN
        sources = 1 + self._shared.stem.rows // 2
        levels = np.stack(columns) if columns else np.zeros((0, sources, BANDS), np.float32)
        return Columns(begin, levels)

    def _column(self, position: int) -> Float32:
        parts = []
        for ring, samples in ((self._shared.mixture, self._mixture), (self._shared.stem, self._stems)):
            if not ring.read(position, samples, self._epoch):
                samples.fill(np.nan)
            parts.append(samples.reshape(-1, 2, WINDOW).mean(axis=1))
        power = np.abs(np.fft.rfft(np.concatenate(parts) * self._window)[:, : self._last]) ** 2
        # A low band may be narrower than a bin: reduceat then returns the bin itself.
        loudest = np.maximum.reduceat(power, self._first, axis=1)
        return (10.0 * np.log10(np.maximum(loudest, 10.0 ** (FLOOR_DB / 10.0)))).astype(np.float32)
