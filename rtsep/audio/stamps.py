"""Time stamps: which position passes the converter when, in the clock of PortAudio.

A callback is told when its block is heard or was taken in. Two stamps, one of each direction, give the whole time a
sound takes from converter to converter, whatever lies between and however the two streams happen to be in phase:

    latency of position p  =  time at which p leaves the output  -  time at which p entered the input

What PortAudio says of a stream as a whole (`Stream.latency`) are sizes of buffers and adds up to more.
"""

from typing import NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

from rtsep.dsp.atomics import fence, float64_at, load_i64, store_i64
from rtsep.dsp.compiled import INT64_LINE, kernel

SEQUENCE = 0  # seqlock: odd while the stamp is being written
POSITION = 1
TIME_NS = 2
COUNT = 3  # stamps written so far
STAMP_WORDS = 4

# PaStreamCallbackTimeInfo: three doubles, in seconds; 0 where a host does not know.
ADC_TIME, DAC_TIME, TIMES = 0, 2, 3


class Stamp(NamedTuple):
    """Sample `position` passes the converter at `time_s`."""

    position: int
    time_s: float


@kernel(types.void(INT64_LINE, types.int64, types.int64, types.int64, types.int64))
def stamp(words, time_info, which, position, frames):
    """Note that `position` comes `frames` (at 44 100 Hz) after the block's own time number `which`."""
    if time_info == 0:
        return
    time_s = float64_at(time_info, TIMES)[which]
    if not time_s > 0:
        return
    sequence = words[SEQUENCE]
    store_i64(words, SEQUENCE, sequence + 1)
    fence()
    store_i64(words, POSITION, position)
    store_i64(words, TIME_NS, np.int64(time_s * 1e9) + np.int64(np.float64(frames) * (1e9 / 44100)))
    store_i64(words, COUNT, words[COUNT] + 1)
    store_i64(words, SEQUENCE, sequence + 2)


def read_stamp(words: NDArray[np.int64]) -> Stamp | None:
    """The newest stamp, None before the first and where PortAudio gives no times."""
    for _ in range(64):
        before = load_i64(words, SEQUENCE)
        position, time_ns, count = (load_i64(words, index) for index in (POSITION, TIME_NS, COUNT))
        fence()
        if before & 1 == 0 and load_i64(words, SEQUENCE) == before:
            return Stamp(position, time_ns / 1e9) if count > 0 else None
    return None
