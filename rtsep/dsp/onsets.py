"""Where notes and strokes begin: sudden rises of the energy at high frequencies, found while a stream passes."""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from rtsep.shared.compiled import FLOAT32_VIEW, FLOAT64_LINE, INT64_LINE, kernel

BLOCK = 64
"""Samples over which energy is measured; an onset is known as exactly as that."""
LEAST_APART = 2500
"""Samples between two onsets, more than half a window of the stretch."""
RISE = 8.0
"""By how much a block has more energy than those before it on average."""
FLOOR = 1e-7
"""Energy that is no onset in any case."""
FOLLOWING = 0.06
"""How fast the average follows, in a block: it remembers 24 ms."""

AVERAGE, NEWEST = 0, 1  # of the state: mean energy, -1 before the first block; the last onset
STATE_FIELDS = 2


@kernel(types.int64(FLOAT32_VIEW, types.int64, FLOAT64_LINE, FLOAT32_VIEW, INT64_LINE))
def _find(samples, position, state, last, found):
    count = 0
    for block in range(samples.shape[1] // BLOCK):
        energy = 0.0
        for c in range(samples.shape[0]):
            before = last[c, 0]
            for i in range(block * BLOCK, (block + 1) * BLOCK):
                # The difference of neighbours weighs high frequencies: strokes more than the bass below them.
                energy += np.float64(samples[c, i] - before) ** 2
                before = samples[c, i]
            last[c, 0] = before
        energy /= BLOCK
        begin = position + block * BLOCK
        if state[AVERAGE] < 0.0:
            state[AVERAGE] = energy
        elif energy > RISE * state[AVERAGE] + FLOOR and begin - state[NEWEST] >= LEAST_APART:
            state[NEWEST] = begin
            found[count] = begin
            count += 1
        state[AVERAGE] += (energy - state[AVERAGE]) * FOLLOWING
    return count


class OnsetFinder:
    """Finds onsets in a stream of `channels` rows."""

    def __init__(self, channels: int) -> None:
        self._state = np.zeros(STATE_FIELDS, np.float64)
        self._last = np.zeros((channels, 1), np.float32)
        self._found = np.zeros(16, np.int64)
        self.reset()

    def reset(self) -> None:
        """Forget the stream so far; the next block is no onset."""
        self._state[:] = -1.0, -LEAST_APART
        self._last[:] = 0.0

    def find(self, samples: NDArray[np.float32], position: int) -> list[int]:
        """Return the positions of onsets in `samples` float32 (channels, n), whose first is at `position`.

        n is a multiple of `BLOCK`, at most 8192.
        """
        return self._found[: _find(samples, position, self._state, self._last, self._found)].tolist()
