"""Stems of a better network that the player has separated ahead of time, in the ready ring."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtsep.shared.rings import Ring


class ReadyStems:
    """Reads the ready ring, at most `samples` at once, into one buffer that the next read overwrites."""

    def __init__(self, ring: Ring, samples: int) -> None:
        self._ring = ring
        self._buffer = np.zeros((ring.rows, samples), np.float32)

    def end(self, begin: int, epoch: int) -> int:
        """The position up to which stems are ready from `begin` on; `begin` if there are none."""
        header = self._ring.header()
        return max(header.end, begin) if header.epoch == epoch and header.begin <= begin else begin

    def read(self, begin: int, count: int, epoch: int) -> NDArray[np.float32] | None:
        """Stems (rows, count) from `begin` on; None if some are not there."""
        out = self._buffer[:, :count]
        return out if self._ring.read(begin, out, epoch) else None
