"""The clock of a stream: each callback stamps its position with the time, so others can tell positions in between.

Written by one callback, read by that of another device. A cache line of its own; a seqlock keeps position and time
together. Times are PortAudio's, in nanoseconds: when the sample at the position passes the converter, where the
device knows that, else when the callback was called.

A callback is never early, but often late, and several may come at once. So a stamp later than the ones before it let
expect is put where it was expected, and what is expected gives way by `GIVING` of the time that has passed: more than
clocks drift. When none has been in time for `LOST_NS`, the stream has stood still, or its first stamps were wrong: then
what is expected gives way by as much as the least late one was.
"""

import numpy as np
from numba import types
from numpy.typing import NDArray

from rtsep.shared.atomics import fence, float64_at, load_i64, store_i64
from rtsep.shared.compiled import INT64_LINE, kernel

SEQUENCE, POSITION, TIME_NS = 0, 1, 2  # SEQUENCE: 0 when never stamped, odd while being written
IN_TIME_NS = 3  # of the last stamp that was in time
REPORTED_NS = 4  # of the last stamp, as the device reported it
LEAST_LATE_NS = 5  # of the stamps since one was in time
CLOCK_FIELDS = 16  # a whole cache line: two writers never share one

GIVING = 5e-4
LOST_NS = 1_000_000_000
NEVER_NS = 1 << 62

INPUT, CALL, OUTPUT = 0, 1, 2  # PaStreamCallbackTimeInfo: three doubles, in seconds


@kernel(types.void(INT64_LINE, types.int64, types.int64, types.float64))
def stamp(clock, position, time_ns, rate):
    """Record that a stream of `rate` samples a second is at `position` at `time_ns`."""
    sequence = clock[SEQUENCE]
    reported_ns = time_ns
    elapsed = np.float64(position - clock[POSITION]) * (1e9 / rate)
    expected = clock[TIME_NS] + np.int64(elapsed * (1.0 + GIVING))
    if sequence == 0 or time_ns <= expected:
        clock[IN_TIME_NS] = time_ns
        clock[LEAST_LATE_NS] = NEVER_NS
    else:
        clock[LEAST_LATE_NS] = min(clock[LEAST_LATE_NS], time_ns - expected)
        time_ns = expected
        if reported_ns - clock[IN_TIME_NS] > LOST_NS:
            time_ns += clock[LEAST_LATE_NS]
            clock[IN_TIME_NS] = reported_ns
            clock[LEAST_LATE_NS] = NEVER_NS
    store_i64(clock, SEQUENCE, sequence + 1)
    fence()
    store_i64(clock, POSITION, position)
    store_i64(clock, TIME_NS, time_ns)
    store_i64(clock, REPORTED_NS, reported_ns)
    store_i64(clock, SEQUENCE, sequence + 2)


@kernel(types.float64(INT64_LINE, types.int64, types.float64))
def position_at(clock, time_ns, rate):
    """Return the position at a time close to the last stamp; NaN when unknown."""
    sequence = load_i64(clock, SEQUENCE)
    position, stamped = load_i64(clock, POSITION), load_i64(clock, TIME_NS)
    fence()
    if sequence == 0 or (sequence & 1) != 0 or load_i64(clock, SEQUENCE) != sequence:
        return np.nan
    return position + (time_ns - stamped) * (rate * 1e-9)


@kernel(types.int64(types.int64, types.intp))
def time_of(time_info, which):
    """Return a time in ns from the address of a PaStreamCallbackTimeInfo: that of `INPUT` or `OUTPUT`, else `CALL`."""
    times = float64_at(time_info, 3)
    seconds = times[which] if times[which] > 0.0 else times[CALL]
    return np.int64(seconds * 1e9)


def last_stamp(clock: NDArray[np.int64]) -> tuple[int, float] | None:
    """Position and time in seconds of the last stamp, as the device reported it; None before the first."""
    for _ in range(64):
        before = load_i64(clock, SEQUENCE)
        position, reported_ns = load_i64(clock, POSITION), load_i64(clock, REPORTED_NS)
        fence()
        if before & 1 == 0 and load_i64(clock, SEQUENCE) == before:
            return (position, reported_ns / 1e9) if before > 0 else None
    return None


def new_clock() -> NDArray[np.int64]:
    """Return a clock without a stamp."""
    return np.zeros(CLOCK_FIELDS, np.int64)
