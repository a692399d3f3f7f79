"""The shared state: one block of shared memory with everything that player, callback and worker exchange.

`SharedLayout` is the one description of where things lie; it goes to the worker as JSON. `SharedState` is the block
seen through it. Fields are grouped by their writer, and no two writers share a cache line (128 bytes, which is what
Apple's processors use; x86 has 64), so that counting in one process never slows another:

    mixture ring header     the source               stem ring header       the worker
    transport fields, gains  the player (see mailbox)  callback fields         the audio callback
    worker fields            the worker               kept ring header       the player
    ready ring header       the player               practice ring header    the player
    times                   the worker
    then the data of the rings, page-aligned

The kept ring returns stems to the worker: those that the player has kept from an earlier pass over the place that it
jumps to. The worker publishes them at once. The ready ring has stems of a better network, separated ahead of time,
which the worker publishes in place of its own as soon as they are there. The practice ring has the mix at another speed
or in another key, and for each of its samples the place it comes from.

What the fields mean stands in `rtsep.shared.status`.
"""

import json
from copy import copy
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rtsep.shared.atomics import store_i64
from rtsep.shared.memory import SharedBlock
from rtsep.shared.rings import HEADER_FIELDS, NO_EPOCH, Ring
from rtsep.shared.status import (
    CALLBACK_EPOCH,
    CALLBACK_FIELDS,
    LINE_BYTES,
    LINE_FIELDS,
    MAX_STEMS,
    TIMES,
    CallbackStatus,
    Transport,
    WorkerStatus,
)

PAGE_BYTES = 16384  # the largest page among the targets (macOS on ARM)


@dataclass(frozen=True)
class SharedLayout:
    """The offset of everything in the block, in bytes; processes with equal fields agree on it.

    Capacities are in samples and powers of two.
    """

    stems: tuple[str, ...]
    channels: int = 2
    mixture_capacity: int = 2**19
    stem_capacity: int = 2**18
    kept_capacity: int = 2**16
    ready_capacity: int = 2**18
    practice_capacity: int = 2**14

    def __post_init__(self) -> None:
        if not 1 <= len(self.stems) <= MAX_STEMS:
            raise ValueError(f"a shared state takes 1 to {MAX_STEMS} stems, got {len(self.stems)}")
        if self.channels != 2:
            raise ValueError(f"a shared state is stereo, got {self.channels} channels")

    MIXTURE_HEADER = 0
    STEM_HEADER = LINE_BYTES
    TRANSPORT = 2 * LINE_BYTES
    GAINS = 3 * LINE_BYTES
    CALLBACK = 4 * LINE_BYTES
    WORKER = CALLBACK + 8 * CALLBACK_FIELDS
    KEPT_HEADER = WORKER + LINE_BYTES
    READY_HEADER = KEPT_HEADER + LINE_BYTES
    PRACTICE_HEADER = READY_HEADER + LINE_BYTES
    WORKER_TIMES = PRACTICE_HEADER + LINE_BYTES
    MIXTURE_DATA = -(-(WORKER_TIMES + 4 * TIMES) // PAGE_BYTES) * PAGE_BYTES

    @property
    def stem_rows(self) -> int:
        """Rows of the stem ring: row of stem s, channel c is ``s * channels + c``."""
        return len(self.stems) * self.channels

    @property
    def stem_data(self) -> int:
        """Offset of the stem ring's data."""
        end = self.MIXTURE_DATA + 4 * self.channels * self.mixture_capacity
        return -(-end // PAGE_BYTES) * PAGE_BYTES

    @property
    def kept_data(self) -> int:
        """Offset of the kept ring's data."""
        end = self.stem_data + 4 * self.stem_rows * self.stem_capacity
        return -(-end // PAGE_BYTES) * PAGE_BYTES

    @property
    def ready_data(self) -> int:
        """Offset of the ready ring's data."""
        end = self.kept_data + 4 * self.stem_rows * self.kept_capacity
        return -(-end // PAGE_BYTES) * PAGE_BYTES

    @property
    def practice_data(self) -> int:
        """Offset of the practice ring's data."""
        end = self.ready_data + 4 * self.stem_rows * self.ready_capacity
        return -(-end // PAGE_BYTES) * PAGE_BYTES

    @property
    def practice_places(self) -> int:
        """Offset of the places of the practice ring's samples."""
        return self.practice_data + 4 * self.channels * self.practice_capacity

    @property
    def nbytes(self) -> int:
        """Size of the whole block."""
        return self.practice_places + 8 * self.practice_capacity

    def to_json(self) -> str:
        """Return the fields as JSON, for the worker."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the layout that `to_json` described."""
        fields = json.loads(text)
        return cls(**{**fields, "stems": tuple(fields["stems"])})


class SharedState:
    """The views of a shared block that its layout describes.

    Attributes:
        mixture: Ring with one row a channel, written by the source.
        stem: Ring with row ``stem * channels + channel``, written by the worker.
        kept: Ring with the same rows, written by the player before a jump that may begin with them.
        ready: Ring with the same rows, written by the player as far as stems were separated ahead of time.
        practice: Ring with one row a channel, written by the practice stage; its positions are its own.
        practice_places: int64, for each sample of the practice ring ``position << PLACE_SHIFT | kind``, where that is
            of the sample it comes from.
        transport, callback, worker: the fields by their writer.
        block: the shared block when the shared state was made by `create` or `attach`; else None.
    """

    def __init__(self, layout: SharedLayout, buffer: memoryview | bytearray) -> None:
        if len(buffer) < layout.nbytes:
            raise ValueError(f"shared state needs {layout.nbytes} bytes, got {len(buffer)}")
        self.layout = layout
        self.block: SharedBlock | None = None

        def fields(offset: int, count: int = LINE_FIELDS) -> NDArray[np.int64]:
            return np.frombuffer(buffer, np.int64, count, offset)

        def floats(offset: int, count: int) -> NDArray[np.float32]:
            return np.frombuffer(buffer, np.float32, count, offset)

        mixture = floats(layout.MIXTURE_DATA, layout.channels * layout.mixture_capacity)
        stem = floats(layout.stem_data, layout.stem_rows * layout.stem_capacity)
        self.mixture = Ring(fields(layout.MIXTURE_HEADER, HEADER_FIELDS), mixture.reshape(layout.channels, -1))
        self.stem = Ring(fields(layout.STEM_HEADER, HEADER_FIELDS), stem.reshape(layout.stem_rows, -1))
        kept = floats(layout.kept_data, layout.stem_rows * layout.kept_capacity)
        self.kept = Ring(fields(layout.KEPT_HEADER, HEADER_FIELDS), kept.reshape(layout.stem_rows, -1))
        ready = floats(layout.ready_data, layout.stem_rows * layout.ready_capacity)
        self.ready = Ring(fields(layout.READY_HEADER, HEADER_FIELDS), ready.reshape(layout.stem_rows, -1))
        practice = floats(layout.practice_data, layout.channels * layout.practice_capacity)
        self.practice = Ring(fields(layout.PRACTICE_HEADER, HEADER_FIELDS), practice.reshape(layout.channels, -1))
        self.practice_places = fields(layout.practice_places, layout.practice_capacity)
        self.transport = Transport(fields(layout.TRANSPORT), floats(layout.GAINS, LINE_BYTES // 4))
        self.callback = CallbackStatus(fields(layout.CALLBACK, CALLBACK_FIELDS))
        self.worker = WorkerStatus(fields(layout.WORKER), floats(layout.WORKER_TIMES, TIMES))

    def initialise(self) -> None:
        """Initialise a zeroed block: rings empty, all gains 1, paused, no epoch."""
        self.mixture.clear()
        self.stem.clear()
        self.kept.clear()
        self.ready.clear()
        self.practice.clear()
        self.transport.gains[:] = 1.0
        store_i64(self.callback.fields, CALLBACK_EPOCH, NO_EPOCH)

    def with_own_play_head(self) -> Self:
        """Return a shared state with the same rings, but with a transport and a play head of this process's own."""
        other = copy(self)
        other.block = None
        other.transport = Transport(np.zeros(LINE_FIELDS, np.int64), np.ones(LINE_BYTES // 4, np.float32))
        other.callback = CallbackStatus(np.zeros(CALLBACK_FIELDS, np.int64))
        store_i64(other.callback.fields, CALLBACK_EPOCH, NO_EPOCH)
        return other

    @classmethod
    def create(cls, layout: SharedLayout) -> Self:
        """Make a shared state in new shared memory; hand ``shared.block.fd`` and ``layout.to_json()`` to the worker."""
        block = SharedBlock.create(layout.nbytes)
        shared = cls(layout, block.buffer)
        shared.block = block
        shared.initialise()
        return shared

    @classmethod
    def attach(cls, layout: SharedLayout, fd: int) -> Self:
        """Return the shared state of an inherited descriptor."""
        block = SharedBlock.attach(fd, layout.nbytes)
        shared = cls(layout, block.buffer)
        shared.block = block
        return shared

    def close(self) -> None:
        """Close the shared block; its memory is freed with the last array that uses it. Idempotent."""
        if self.block is not None:
            self.block.close()
