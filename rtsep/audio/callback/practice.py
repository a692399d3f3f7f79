"""How the callback plays the practice ring, which has the mix at another speed or in another key.

The practice stage makes it ahead. The callback goes over to the ring where its places reach the play position, and back
to the stems at the position that the ring has come to, so nothing is skipped or heard twice. An epoch of the ring is
the sequence number of the jump that it follows, shifted by EPOCH_SHIFT, and a count: after a jump the callback waits
for the ring that belongs to it.
"""

import numpy as np
from numba import types

from rtsep.shared.atomics import fence, load_i64
from rtsep.shared.compiled import FLOAT32_ROWS, INT64_LINE, kernel
from rtsep.shared.rings import BEGIN, END, EPOCH, copy_if_valid
from rtsep.shared.status import PLACE_SHIFT
from rtsep.timebase import FADE

EPOCH_SHIFT = 16

# The state, int64: what is remembered from block to block.
ON = 0  # 1 while the ring is played or waited for
RING_EPOCH = 1  # of the ring that is played, -1 while it is waited for
AT = 2  # its next sample
STATE_FIELDS = 3


@kernel(types.boolean(INT64_LINE, INT64_LINE, INT64_LINE, types.boolean, types.boolean, *[types.int64] * 3))
def follow(state, header, places, wanted, jumped, sequence, position, n):
    """Return whether the next n samples come from the ring; `sequence`: of the last jump."""
    if not wanted:
        state[ON] = 0
        return False
    if jumped:
        state[ON] = 1
        state[RING_EPOCH] = -1
    epoch = load_i64(header, EPOCH)
    own = epoch >= 0 and epoch >> EPOCH_SHIFT == sequence
    if state[ON] != 0:
        if state[RING_EPOCH] >= 0:
            state[ON] = 1 if epoch == state[RING_EPOCH] else 0
        elif own:
            state[RING_EPOCH] = epoch
            state[AT] = 0
        return state[ON] != 0
    if not own:
        return False
    mask = places.shape[0] - 1
    at, end = load_i64(header, BEGIN), load_i64(header, END)
    if at >= end or places[at & mask] >> PLACE_SHIFT > position:
        return False
    while at < end and places[at & mask] >> PLACE_SHIFT < position:
        at += 1
    fence()  # the second look must not be taken before the places were read
    if at + n + FADE > end or load_i64(header, EPOCH) != epoch:
        return False
    state[ON] = 1
    state[RING_EPOCH] = epoch
    state[AT] = at
    return True


@kernel(types.int64(INT64_LINE, INT64_LINE, FLOAT32_ROWS, INT64_LINE, FLOAT32_ROWS, types.int64))
def take(state, header, data, places, ring, n):
    """Copy the next n samples and FADE more to the rows of `ring`, and move on.

    Returns the place of the first with its kind, see `SharedState.practice_places`; -1 if not all of them are there.
    """
    if state[RING_EPOCH] < 0:
        return np.int64(-1)
    at = state[AT]
    if not copy_if_valid(header, data, at, ring, n + FADE, state[RING_EPOCH]):
        return np.int64(-1)
    state[AT] = at + n
    return places[at & (places.shape[0] - 1)]
