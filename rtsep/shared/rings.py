"""A ring of samples addressed by position: one writer, any number of readers, no lock.

The memory is private or shared between processes; the class only looks at numpy views of it.

Layout. A header of eight int64 fields (one cache line, written by the writer alone) and `data` float32
(rows, capacity). Capacity is a power of two; the sample of position p lives in column ``p & (capacity - 1)``,
which holds for negative p as well (two's complement).

Readable are the samples [BEGIN, END) of EPOCH. How a reader can trust what it copied:

* The writer *announces before it destroys*. Before overwriting old samples it raises BEGIN, then a fence, then
  the data. A reader copies, then a fence, then looks at BEGIN again: if any overwritten sample could have been
  seen, the raised BEGIN is seen too, and the copy is thrown away.
* The writer *publishes after it wrote*: END is stored with release, loaded with acquire; BEGIN too where older samples
  are put before the first (`prepend`), which the writer may do until it overwrites for the first time.
* `restart` (a seek) makes EPOCH a seqlock: EPOCH = -1, fence, everything else, EPOCH = new (release). A reader
  takes nothing while EPOCH is not its own and looks at it again after the copy.
* GENERATION counts restarts. Epoch alone would not do: a worker that is started again after a crash restarts
  its ring *within the same epoch*, and a reader that began before must not accept a mixture of both lives.

A torn view of the header (BEGIN from before a restart, END from after) is possible between the first
loads, and harmless: it can only be had when GENERATION or EPOCH moves before the second look.
Words are 64 bits and aligned, so one word is never torn.
"""

from typing import NamedTuple, Self

import numpy as np
from numba import types
from numpy.typing import NDArray

from rtsep.shared.atomics import fence, load_i64, store_i64
from rtsep.shared.compiled import FLOAT32_INPUT, FLOAT32_ROWS, FLOAT32_VIEW, INT64_LINE, kernel

EPOCH = 0  # of the readable samples; -1: none (fresh, or a restart is under way)
BEGIN = 1  # first readable position
END = 2  # one past the last readable position
EOF = 3  # position at which the source ends, NO_EOF while unknown; samples beyond it are padding
START = 4  # first position that is to be heard in this epoch; [BEGIN, START) is there for warming up
GENERATION = 5  # restarts since the ring was made
HEADER_FIELDS = 8

NO_EPOCH = -1
NO_EOF = 1 << 62


class RingHeader(NamedTuple):
    """A consistent copy of a ring's header; positions in samples."""

    epoch: int
    begin: int
    end: int
    eof: int
    start: int


@kernel(types.void(INT64_LINE, types.int64, types.int64, types.int64))
def _restart(header, epoch, begin, start):
    store_i64(header, EPOCH, NO_EPOCH)
    store_i64(header, GENERATION, header[GENERATION] + 1)
    fence()  # both marks must be visible before any word of the new life is
    store_i64(header, BEGIN, begin)
    store_i64(header, END, begin)
    store_i64(header, EOF, NO_EOF)
    store_i64(header, START, start)
    store_i64(header, EPOCH, epoch)


@kernel(types.void(INT64_LINE, FLOAT32_ROWS, FLOAT32_INPUT))
def append(header, data, samples):
    """Write `samples` after the last, overwriting the oldest when the ring is full. Also the capture callback's way."""
    capacity = data.shape[1]
    count = samples.shape[1]
    end = header[END]  # our own word: nobody else writes it
    oldest = end + count - capacity
    if oldest > header[BEGIN]:
        store_i64(header, BEGIN, oldest)
        fence()  # no new sample may be visible before the raised BEGIN is
    first = end & (capacity - 1)
    until_wrap = min(count, capacity - first)
    for row in range(data.shape[0]):
        for i in range(until_wrap):
            data[row, first + i] = samples[row, i]
        for i in range(until_wrap, count):
            data[row, i - until_wrap] = samples[row, i]
    store_i64(header, END, end + count)


@kernel(types.void(INT64_LINE, FLOAT32_ROWS, FLOAT32_INPUT))
def _prepend(header, data, samples):
    capacity = data.shape[1]
    count = samples.shape[1]
    begin = header[BEGIN] - count
    for row in range(data.shape[0]):
        for i in range(count):
            data[row, (begin + i) & (capacity - 1)] = samples[row, i]
    store_i64(header, BEGIN, begin)  # published after it was written, as END is


@kernel(types.boolean(INT64_LINE, FLOAT32_ROWS, types.int64, FLOAT32_VIEW, types.int64, types.int64))
def copy_if_valid(header, data, position, out, count, epoch):
    """Copy samples [position, position + count) of `epoch` to ``out[:, :count]``; False if not all of them are there.

    After False, `out` holds anything. Needs count <= out.shape[1]. Also the audio callback's way to read.
    """
    generation = load_i64(header, GENERATION)
    if epoch < 0 or load_i64(header, EPOCH) != epoch:
        return False
    if position < load_i64(header, BEGIN) or position + count > load_i64(header, END):
        return False
    capacity = data.shape[1]
    if count > capacity:  # a torn header may promise anything; it must not lead outside the data
        return False
    first = position & (capacity - 1)
    until_wrap = min(count, capacity - first)
    for row in range(data.shape[0]):
        for i in range(until_wrap):
            out[row, i] = data[row, first + i]
        for i in range(until_wrap, count):
            out[row, i] = data[row, i - until_wrap]
    fence()  # the second look must not be taken before the last sample was copied
    return (
        load_i64(header, EPOCH) == epoch
        and load_i64(header, GENERATION) == generation
        and load_i64(header, BEGIN) <= position
    )


@kernel(types.int64(INT64_LINE, types.int64))
def eof_of(header, epoch):
    """Return the EOF position of `epoch`, NO_EOF when unknown or when the ring holds another epoch."""
    generation = load_i64(header, GENERATION)
    if load_i64(header, EPOCH) != epoch:
        return NO_EOF
    eof = load_i64(header, EOF)
    fence()
    if load_i64(header, EPOCH) != epoch or load_i64(header, GENERATION) != generation:
        return NO_EOF
    return eof


@kernel(types.boolean(INT64_LINE, INT64_LINE))
def _copy_header(header, out):
    generation = load_i64(header, GENERATION)
    epoch = load_i64(header, EPOCH)
    # END last: [begin, end) may then be wider than what is still there (read() looks again), never emptier than it was.
    out[BEGIN] = load_i64(header, BEGIN)
    out[EOF] = load_i64(header, EOF)
    out[START] = load_i64(header, START)
    out[END] = load_i64(header, END)
    fence()
    out[EPOCH] = epoch
    return load_i64(header, EPOCH) == epoch and load_i64(header, GENERATION) == generation


class Ring:
    """Both ends of one ring; by agreement only one process (and one thread of it) calls the writer's methods.

    Args:
        fields: int64 (8,), the header.
        data: float32 (rows, capacity), C-contiguous, capacity a power of two.
    """

    def __init__(self, fields: NDArray[np.int64], data: NDArray[np.float32]) -> None:
        if fields.dtype != np.int64 or fields.shape != (HEADER_FIELDS,) or not fields.flags.c_contiguous:
            raise ValueError(f"ring header must be int64 ({HEADER_FIELDS},), got {fields.dtype} {fields.shape}")
        if data.dtype != np.float32 or data.ndim != 2 or not data.flags.c_contiguous:
            raise ValueError(f"ring data must be C-contiguous float32 (rows, capacity), got {data.dtype} {data.shape}")
        self.rows, self.capacity = data.shape
        if self.capacity < 1 or self.capacity & (self.capacity - 1):
            raise ValueError(f"ring capacity must be a power of two, got {self.capacity}")
        self.fields = fields
        self.data = data

    @classmethod
    def private(cls, rows: int, capacity: int) -> Self:
        """Make an empty ring in this process' own memory."""
        ring = cls(np.zeros(HEADER_FIELDS, np.int64), np.zeros((rows, capacity), np.float32))
        ring.clear()
        return ring

    # -- the writer --------------------------------------------------------------------------------------------

    def clear(self) -> None:
        """Make the ring empty and of no epoch (a fresh block of zeros would claim epoch 0)."""
        self.restart(NO_EPOCH, 0, 0)

    def restart(self, epoch: int, begin: int, start: int) -> None:
        """Drop everything and continue as `epoch` with the sample at `begin`; the first to be heard is `start`.

        An epoch may be restarted. `start` must not lie before `begin`.
        """
        if start < begin:
            raise ValueError(f"start {start} lies before begin {begin}")
        _restart(self.fields, epoch, begin, start)

    def write(self, samples: NDArray[np.float32]) -> None:
        """Append `samples` float32 (rows, n), n <= capacity, overwriting the oldest when the ring is full."""
        if samples.ndim != 2 or samples.shape[0] != self.rows or samples.shape[1] > self.capacity:
            raise ValueError(f"expected ({self.rows}, at most {self.capacity}) samples, got {samples.shape}")
        append(self.fields, self.data, samples)

    def prepend(self, samples: NDArray[np.float32]) -> None:
        """Put `samples` float32 (rows, n) before the oldest; nothing may have been overwritten since the restart.

        So BEGIN never comes down again after it was raised, and a reader that looks at it twice cannot be deceived.
        """
        if (
            samples.ndim != 2
            or samples.shape[0] != self.rows
            or self.end - self.begin + samples.shape[1] > self.capacity
        ):
            raise ValueError(f"no room for {samples.shape} before the {self.end - self.begin} samples of the ring")
        _prepend(self.fields, self.data, samples)

    def finish(self, eof_position: int) -> None:
        """Say where the source ends. May be called early (length known) and must come before END passes it."""
        store_i64(self.fields, EOF, eof_position)

    # -- the readers -------------------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """The epoch of the readable samples, -1 when there are none."""
        return load_i64(self.fields, EPOCH)

    @property
    def begin(self) -> int:
        """First readable position."""
        return load_i64(self.fields, BEGIN)

    @property
    def end(self) -> int:
        """One past the last readable position."""
        return load_i64(self.fields, END)

    def header(self) -> RingHeader:
        """Return a copy of the header that belongs to one epoch; epoch -1 while a restart is under way."""
        for _ in range(8):
            copy = np.empty(HEADER_FIELDS, np.int64)
            if _copy_header(self.fields, copy):
                return RingHeader(*(int(copy[i]) for i in (EPOCH, BEGIN, END, EOF, START)))
        return RingHeader(NO_EPOCH, 0, 0, NO_EOF, 0)

    def read(self, position: int, out: NDArray[np.float32], epoch: int) -> bool:
        """Copy the samples from `position` on to `out` float32 (rows, n).

        Returns:
            True when every sample belongs to `epoch` and its position; False when some are not yet, no longer or not
            in this epoch there. `out` then holds anything.
        """
        if out.ndim != 2 or out.shape[0] != self.rows:
            raise ValueError(f"expected out of shape ({self.rows}, n), got {out.shape}")
        return copy_if_valid(self.fields, self.data, position, out, out.shape[1], epoch)
