"""The words that player, callback and worker tell each other, by their writer; where they lie is the shared state's
matter.

All words are int64 unless said otherwise and are read and written through `atomics`.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

from rtsep.shared.atomics import fence, load_f32, load_i64, store_f32, store_i64
from rtsep.shared.compiled import INT64_LINE, kernel
from rtsep.shared.seek_mailbox import post, post_behind

LINE_BYTES = 128
LINE_WORDS = LINE_BYTES // 8
MAX_STEMS = 8
TIMES = 4096  # compute times kept, a power of two

# transport words; 0 to 4 are the mailbox (see mailbox.py)
PLAYING = 5
BYPASS = 6
# transport gains, float32: one for each stem, then
MASTER = MAX_STEMS

# callback words
SEQUENCE = 0  # seqlock of this line: odd while the callback writes it
POSITION = 1  # the next sample to be heard
CALLBACK_EPOCH = 2
ACK = 3  # MAIL_SEQUENCE of the last mail that was obeyed
KIND = 4
ENDED = 5  # 1 when POSITION has reached EOF
BLOCKS = 6
FRAMES = 7  # heartbeat: frames asked for by the device so far
LATE_BLOCKS = 8
DRY_SAMPLES = 9
STARVED_SAMPLES = 10
CLIPPED_SAMPLES = 11
WET_SAMPLES = 12
MAX_BLOCK = 13
BYPASS_SAMPLES = 14
DISTANCE = 15  # from the first sample of the last block to the end of the mixture ring
SHORTFALL = 16  # most samples by which stems were missing in the last passage of dry blocks; 0 after a jump
CALLBACK_WORDS = 2 * LINE_WORDS

# worker words
STATE = 0
CHUNK = 1
HOPS = 2
LATE_HOPS = 3
SKIPPED_HOPS = 4
HEARTBEAT = 5
TIMES_COUNT = 6
PROBLEM = 7


class Kind(IntEnum):
    """What the callback played last."""

    SILENT = 0
    WET = 1
    DRY = 2
    BYPASS = 3
    WAITING = 4


class WorkerState(IntEnum):
    """What the worker is doing."""

    STARTING = 0
    WARMING = 1
    RUNNING = 2
    AHEAD = 3
    ENDED = 4


class WorkerProblem(IntEnum):
    """What the worker has to say about itself."""

    NONE = 0
    CHUNK_RAISED = 1  # keeps up, but only with the longest steps
    TOO_SLOW = 2  # does not keep up and publishes nothing
    NAN_OUTPUT = 3  # the network gives NaN


class Transport:
    """What the player asks for; written by the player alone."""

    def __init__(self, words: NDArray[np.int64], gains: NDArray[np.float32]) -> None:
        self.words, self.gains = words, gains

    def post(self, target: int, epoch: int, patience: int) -> int:
        """Ask the callback to jump to position `target` of `epoch`; returns the sequence it will acknowledge.

        `patience`: samples of silence it may wait for stems before it plays the dry mixture. One thread only.
        """
        return post(self.words, target, epoch, patience)

    def post_behind(self, distance: int, epoch: int, patience: int) -> int:
        """As `post`, to `distance` samples behind the end that the mixture ring has when the callback obeys."""
        return post_behind(self.words, distance, epoch, patience)

    @property
    def playing(self) -> bool:
        """False: the callback gives silence and stands still."""
        return bool(load_i64(self.words, PLAYING))

    @playing.setter
    def playing(self, value: bool) -> None:
        store_i64(self.words, PLAYING, int(value))

    @property
    def bypass(self) -> bool:
        """True: the mixture is heard, as it is but for the master gain."""
        return bool(load_i64(self.words, BYPASS))

    @bypass.setter
    def bypass(self, value: bool) -> None:
        store_i64(self.words, BYPASS, int(value))

    @property
    def master(self) -> float:
        """Linear gain of everything."""
        return load_f32(self.gains, MASTER)

    @master.setter
    def master(self, value: float) -> None:
        store_f32(self.gains, MASTER, value)

    def gain(self, stem: int) -> float:
        """Return the linear gain of stem number `stem`."""
        return load_f32(self.gains, _stem_index(stem))

    def set_gain(self, stem: int, linear: float) -> None:
        """Set the linear gain of stem number `stem`; heard within one block."""
        store_f32(self.gains, _stem_index(stem), linear)


def _stem_index(stem: int) -> int:
    if not 0 <= stem < MAX_STEMS:
        raise ValueError(f"stem number must be 0 to {MAX_STEMS - 1}, got {stem}")
    return stem


class PlayHead(NamedTuple):
    """The callback's words, all of one moment; samples where not said otherwise."""

    position: int
    epoch: int
    ack: int
    kind: Kind
    ended: bool
    blocks: int
    frames: int
    late_blocks: int
    dry_samples: int
    starved_samples: int
    clipped_samples: int
    wet_samples: int
    max_block: int
    bypass_samples: int
    distance: int
    shortfall: int


@kernel(types.boolean(INT64_LINE, INT64_LINE))
def _copy_line(words, out):
    sequence = load_i64(words, SEQUENCE)
    for i in range(words.shape[0]):
        out[i] = load_i64(words, i)
    fence()
    return (sequence & 1) == 0 and load_i64(words, SEQUENCE) == sequence


class CallbackStatus:
    """What the audio callback tells; written by the callback alone."""

    def __init__(self, words: NDArray[np.int64]) -> None:
        self.words = words

    def read(self) -> PlayHead:
        """Return all words of one moment (epoch and position belong together).

        A callback that died half-way through writing leaves its last words; they are returned as they are.
        """
        copy = np.empty(CALLBACK_WORDS, np.int64)
        for _ in range(64):
            if _copy_line(self.words, copy):
                break
        head = PlayHead._make(int(value) for value in copy[POSITION : SHORTFALL + 1])
        return head._replace(kind=Kind(head.kind), ended=bool(head.ended))

    @property
    def position(self) -> int:
        """The next sample to be heard."""
        return load_i64(self.words, POSITION)

    @property
    def frames(self) -> int:
        """Heartbeat: frames the device has asked for so far."""
        return load_i64(self.words, FRAMES)

    @property
    def ack(self) -> int:
        """Sequence of the last mail the callback obeyed."""
        return load_i64(self.words, ACK)


class _Word:
    """One word of the worker's line as an attribute."""

    def __init__(self, index: int) -> None:
        self.index = index

    def __get__(self, line: "WorkerStatus", owner: type) -> int:
        return load_i64(line.words, self.index)

    def __set__(self, line: "WorkerStatus", value: int) -> None:
        store_i64(line.words, self.index, value)


class WorkerStatus:
    """What the worker tells; written by the worker alone. The next worker counts on."""

    state = _Word(STATE)  # a WorkerState
    chunk = _Word(CHUNK)  # K of the last step
    hops = _Word(HOPS)  # published
    late_hops = _Word(LATE_HOPS)  # published behind the play head
    skipped_hops = _Word(SKIPPED_HOPS)
    problem = _Word(PROBLEM)  # a WorkerProblem
    heartbeat = _Word(HEARTBEAT)  # time.monotonic_ns() of the last turn; in a step: when it must be over

    def __init__(self, words: NDArray[np.int64], times: NDArray[np.float32]) -> None:
        self.words, self.times = words, times

    def add_time(self, microseconds: float) -> None:
        """Note the compute time of one hop."""
        count = load_i64(self.words, TIMES_COUNT)
        store_f32(self.times, count & (TIMES - 1), microseconds)
        store_i64(self.words, TIMES_COUNT, count + 1)

    def recent_times(self) -> NDArray[np.float32]:
        """Return the compute times of the last 4096 hops at most, in microseconds, oldest first."""
        count = load_i64(self.words, TIMES_COUNT)
        return self.times[np.arange(max(0, count - TIMES), count) & (TIMES - 1)]
