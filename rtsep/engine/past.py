"""The past that a network hears before it continues at some position, read from the mixture ring."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtsep.shared.rings import Ring, RingHeader
from rtsep.timebase import HOP, SUPPORT_HOPS


class Past:
    """Reads up to `frames` frames of the past into one buffer, which the next read overwrites."""

    def __init__(self, ring: Ring, channels: int, frames: int) -> None:
        self._ring = ring
        self._samples = np.zeros((channels, (frames + SUPPORT_HOPS) * HOP), np.float32)

    def frames_before(self, end: int, header: RingHeader) -> int:
        """How many whole frames the ring has before `end`. Frames begin with the song, whose first window reaches into
        the silence before it; so a song played from its beginning is separated exactly as a file is."""
        earliest = max(header.begin, 0)
        return (end - earliest) // HOP - (SUPPORT_HOPS if earliest else 0)

    def read(self, end: int, frames: int, header: RingHeader, epoch: int) -> tuple[NDArray[np.float32], int] | None:
        """The mixture of up to `frames` frames before `end`, and the hops that only fill the window; None if the ring
        no longer has it or doesn't reach so far yet."""
        if header.end < end:
            return None
        first = max(end - (frames + SUPPORT_HOPS) * HOP, -(-header.begin // HOP) * HOP, 0)
        out = self._samples[:, : max(end - first, 0)]
        if not self._ring.read(first, out, epoch):
            return None
        return out, 0 if first == 0 else SUPPORT_HOPS
