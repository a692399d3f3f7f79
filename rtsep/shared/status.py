"""The status fields that player, callback and worker publish in shared memory; `rtsep.shared.state` places them.

All are int64 unless noted, are grouped by the one side that writes them, and are read and written through `atomics`.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

from rtsep.shared.atomics import fence, load_f32, load_i64, store_f32, store_i64
from rtsep.shared.compiled import INT64_LINE, kernel
from rtsep.shared.rings import NO_EPOCH
from rtsep.shared.seek_mailbox import post, post_behind

LINE_BYTES = 128
LINE_FIELDS = LINE_BYTES // 8
MAX_STEMS = 8
TIMES = 4096  # compute times kept, a power of two
READ_TRIES = 64

# Written by the player; 0 to 4 are the mailbox (see seek_mailbox.py).
PLAYING = 5
BYPASS = 6
PRACTICE = 7  # 1: play what the practice ring has, as soon as it can follow without a gap
# The player's gains, float32: one for each stem, then
MASTER = MAX_STEMS

# Written by the callback.
SEQUENCE = 0  # seqlock of these fields: odd while the callback writes them
POSITION = 1  # the next sample to play
CALLBACK_EPOCH = 2
ACK = 3  # MAIL_SEQUENCE of the last jump that was made
KIND = 4
ENDED = 5  # 1 when POSITION has reached EOF
BLOCKS = 6
FRAMES = 7  # heartbeat: frames the device has requested so far
LATE_BLOCKS = 8
DRY_SAMPLES = 9
STARVED_SAMPLES = 10
CLIPPED_SAMPLES = 11
WET_SAMPLES = 12
MAX_BLOCK = 13
BYPASS_SAMPLES = 14
DISTANCE = 15  # from the first sample of the last block to the end of the mixture ring
SHORTFALL = 16  # most samples by which stems were missing in the last passage of dry blocks; 0 after a jump
PRACTISING = 17  # 1 while the practice ring is played, or waited for after a jump
PRACTICE_AT = 18  # the next sample of the practice ring to play
CALLBACK_FIELDS = 2 * LINE_FIELDS
PLACE_SHIFT = 3  # of the position in a place of the practice ring; below it is a Kind

# Written by the worker.
STATE = 0
CHUNK = 1
HOPS = 2
LATE_HOPS = 3
SKIPPED_HOPS = 4
HEARTBEAT = 5
TIMES_COUNT = 6
PROBLEM = 7
INSTANT_SINCE = 8
MODEL_SINCE = 9
FOREVER = 1 << 62
"""A position that is never reached."""


class Kind(IntEnum):
    """What the callback played in its last block."""

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


class Network(IntEnum):
    """Whose stems were published."""

    INSTANT = 0  # the instant network's, or those of the only one there is
    MODEL = 1


class WorkerProblem(IntEnum):
    """What keeps the worker from separating as it should."""

    NONE = 0
    CHUNK_RAISED = 1  # it keeps up, but only in the longest steps
    TOO_SLOW = 2  # it doesn't keep up and publishes nothing
    NAN_OUTPUT = 3  # the network's output has NaN
    MODEL_TOO_SLOW = 4  # the instant network is heard instead


class Transport:
    """What the player requests; only the player writes it."""

    def __init__(self, fields: NDArray[np.int64], gains: NDArray[np.float32]) -> None:
        self.fields, self.gains = fields, gains

    def post(self, target: int, epoch: int, patience: int) -> int:
        """Request a jump to position `target` of `epoch`; returns the sequence number that `ack` will take.

        `patience`: samples of silence to wait for stems before the dry mixture plays. Call it from one thread only.
        """
        return post(self.fields, target, epoch, patience)

    def post_behind(self, distance: int, epoch: int, patience: int) -> int:
        """As `post`, to `distance` samples before the end that the mixture ring has when the callback jumps."""
        return post_behind(self.fields, distance, epoch, patience)

    @property
    def playing(self) -> bool:
        """False: the callback outputs silence and the position stays."""
        return bool(load_i64(self.fields, PLAYING))

    @playing.setter
    def playing(self, value: bool) -> None:
        store_i64(self.fields, PLAYING, int(value))

    @property
    def bypass(self) -> bool:
        """True: the original mix plays, scaled by the master gain only."""
        return bool(load_i64(self.fields, BYPASS))

    @bypass.setter
    def bypass(self, value: bool) -> None:
        store_i64(self.fields, BYPASS, int(value))

    @property
    def practice(self) -> bool:
        """True: what the practice ring has is played, at another speed or in another key."""
        return bool(load_i64(self.fields, PRACTICE))

    @practice.setter
    def practice(self, value: bool) -> None:
        store_i64(self.fields, PRACTICE, int(value))

    @property
    def master(self) -> float:
        """Linear gain of the whole output."""
        return load_f32(self.gains, MASTER)

    @master.setter
    def master(self, value: float) -> None:
        store_f32(self.gains, MASTER, value)

    def gain(self, stem: int) -> float:
        """Return the linear gain of stem number `stem`."""
        return load_f32(self.gains, _stem_index(stem))

    def set_gain(self, stem: int, linear: float) -> None:
        """Set the linear gain of stem number `stem`; audible within one block."""
        store_f32(self.gains, _stem_index(stem), linear)


def _stem_index(stem: int) -> int:
    if not 0 <= stem < MAX_STEMS:
        raise ValueError(f"stem number must be 0 to {MAX_STEMS - 1}, got {stem}")
    return stem


class PlayHead(NamedTuple):
    """The callback's fields, all from the same block; in samples where not noted."""

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
    practising: bool
    practice_at: int


@kernel(types.boolean(INT64_LINE, INT64_LINE))
def _copy_line(fields, out):
    sequence = load_i64(fields, SEQUENCE)
    for i in range(fields.shape[0]):
        out[i] = load_i64(fields, i)
    fence()
    return (sequence & 1) == 0 and load_i64(fields, SEQUENCE) == sequence


class CallbackStatus:
    """What the audio callback publishes; only the callback writes it."""

    def __init__(self, fields: NDArray[np.int64]) -> None:
        self.fields = fields
        self._last = PlayHead(0, NO_EPOCH, 0, Kind.SILENT, False, *[0] * 11, practising=False, practice_at=0)

    def read(self) -> PlayHead:
        """Return all fields as one block left them, so that epoch and position belong together.

        While the callback is interrupted in the middle of writing them, this is what `read` returned before.
        """
        copy = np.empty(CALLBACK_FIELDS, np.int64)
        for _ in range(READ_TRIES):
            if _copy_line(self.fields, copy):
                head = PlayHead._make(int(value) for value in copy[POSITION : PRACTICE_AT + 1])
                self._last = head._replace(
                    kind=Kind(head.kind), ended=bool(head.ended), practising=bool(head.practising)
                )
                break
        return self._last

    @property
    def position(self) -> int:
        """The next sample to play."""
        return load_i64(self.fields, POSITION)

    @property
    def frames(self) -> int:
        """Heartbeat: frames the device has requested so far."""
        return load_i64(self.fields, FRAMES)

    @property
    def ack(self) -> int:
        """Sequence number of the last jump that the callback made."""
        return load_i64(self.fields, ACK)


class _Field:
    """One of the worker's fields as an attribute."""

    def __init__(self, index: int) -> None:
        self.index = index

    def __get__(self, line: "WorkerStatus", owner: type) -> int:
        return load_i64(line.fields, self.index)

    def __set__(self, line: "WorkerStatus", value: int) -> None:
        store_i64(line.fields, self.index, value)


class WorkerStatus:
    """What the worker publishes; only the worker writes it. Its successor continues the counts."""

    state = _Field(STATE)  # a WorkerState
    chunk = _Field(CHUNK)  # K of the last step
    hops = _Field(HOPS)  # published
    late_hops = _Field(LATE_HOPS)  # published after the play head had passed
    skipped_hops = _Field(SKIPPED_HOPS)
    problem = _Field(PROBLEM)  # a WorkerProblem
    instant_since = _Field(INSTANT_SINCE)  # the position from which on the instant network's stems were last published
    model_since = _Field(MODEL_SINCE)  # likewise the model's
    heartbeat = _Field(HEARTBEAT)  # time.monotonic_ns() of the last turn; during a step: its deadline

    def __init__(self, fields: NDArray[np.int64], times: NDArray[np.float32]) -> None:
        self.fields, self.times = fields, times

    def begin_with_instant(self) -> None:
        """From now on all that is published is the instant network's."""
        self.model_since, self.instant_since = FOREVER, -FOREVER

    def change_network(self, network: Network, position: int) -> None:
        """What is published from `position` on is of that network."""
        if network == Network.MODEL:
            self.model_since = position
        else:
            self.instant_since = position

    def network_at(self, position: int) -> Network:
        """The network whose stems lie at `position`, as far as that is known: of changes to each only the last is."""
        instant, model = self.instant_since, self.model_since
        return Network.MODEL if model <= position and (instant < model or position < instant) else Network.INSTANT

    def add_time(self, microseconds: float) -> None:
        """Add the compute time of one hop."""
        count = load_i64(self.fields, TIMES_COUNT)
        store_f32(self.times, count & (TIMES - 1), microseconds)
        store_i64(self.fields, TIMES_COUNT, count + 1)

    def recent_times(self) -> NDArray[np.float32]:
        """Return the compute times of the last 4096 hops at most, in µs, oldest first."""
        count = load_i64(self.fields, TIMES_COUNT)
        return self.times[np.arange(max(0, count - TIMES), count) & (TIMES - 1)]
