"""Copies stored stems to a ring ahead of the play head: to the stem ring, or to the ready ring for a worker that plays
them in place of an instant network's."""

from __future__ import annotations

import threading

import numpy as np

from rtsep.errors import RtsepError
from rtsep.player.ahead.stem_store import Float32, StemStore
from rtsep.player.queue.source import FileSource
from rtsep.shared.rings import RingHeader
from rtsep.shared.state import SharedState
from rtsep.system.guarded_thread import guarded_thread
from rtsep.timebase import FADE, SAMPLE_RATE

AHEAD_LIMIT = 2 * SAMPLE_RATE
READY_AHEAD_LIMIT = 4 * SAMPLE_RATE
"""The same where a worker takes the stems over, which runs ahead of the play head itself."""
BLOCK = 8192
RESTART_LEAD = 2048
"""Samples ahead of the play head at which stems start again after some were missing."""
WAIT_S = 0.01


class StemFeeder:
    """Keeps a ring of a shared state filled from a store. A thread of its own; `turn` is its loop body.

    Where the store has nothing yet, the callback plays the original mix, as for all stems that are late; with
    `for_worker` the worker goes on with its own.

    Attributes:
        missing: whether the store has nothing yet for where the play head is.
        published: samples written to the ring so far.
        failure: why it has ended early, in one line; None otherwise. The original mix plays on.
    """

    def __init__(self, shared: SharedState, source: FileSource, store: StemStore, *, for_worker: bool = False) -> None:
        self._shared, self._source, self._store = shared, source, store
        self._ring = shared.ready if for_worker else shared.stem
        self._limit = READY_AHEAD_LIMIT if for_worker else AHEAD_LIMIT
        self._epoch = -1
        self._next = 0
        self._joined = False
        self._closing = threading.Event()
        self._thread = guarded_thread(self._run, "rtsep-stem-feeder", "reading the separated stems", self._fail)
        self._rise = np.arange(1, FADE + 1, dtype=np.float32) / np.float32(FADE + 1)
        self.missing = False
        self.published = 0
        self.failure: str | None = None

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """End the thread. May be called twice."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5.0)

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                pause_s = self.turn()
            except OSError as error:
                raise RtsepError(f"cannot read the separated stems: {error.strerror or error}") from error
            if pause_s > 0:
                self._closing.wait(pause_s)

    def _fail(self, reason: str) -> None:
        self.failure = reason

    def turn(self) -> float:
        """Write the next block if there is one; returns the seconds to wait before the next turn."""
        ring = self._shared.mixture.header()
        if ring.epoch < 0:
            return WAIT_S
        head = self._shared.callback.read()
        position = head.position if head.epoch == ring.epoch else ring.start
        if ring.epoch != self._epoch:
            self._epoch, self._next, self._joined = ring.epoch, max(ring.start, position), False
        if self._next < position:
            self._next, self._joined = position + RESTART_LEAD, False
        block = self._block(ring, position)
        if block is None:
            return WAIT_S
        if not self._joined:
            self._ring.restart(self._epoch, self._next, self._next)
            self._joined = True
        self._ring.write(block)
        self._next += block.shape[1]
        self.published += block.shape[1]
        return 0.0

    def _block(self, ring: RingHeader, position: int) -> Float32 | None:
        """The next stems (rows, n), None while there are none or they aren't needed yet.

        No further than the mixture: beyond it the songs' positions aren't known.
        """
        end = min(ring.end, ring.eof, max(position, ring.start) + self._limit)
        piece = self._source.piece(self._epoch, self._next)
        place = self._source.place(self._epoch, self._next)
        if piece is None or place is None or self._next >= end:
            return None
        there = self._store.count(place.track) - place.sample
        self.missing = there <= 0 and self._next <= position + RESTART_LEAD
        left = (end if piece.end is None else piece.end) - self._next
        turned = None if piece.end is None else self._turned(piece.end, place.track)
        if turned is None or left > FADE:  # the cross-fade of a loop is a block by itself
            count = min(BLOCK, there, end - self._next, left if turned is None else left - FADE)
            return self._store.read(place.track, place.sample, count) if count > 0 else None
        if min(there, end - self._next) < left:
            return None
        block = self._store.read(place.track, place.sample, left)
        before = self._before(place.track, turned)[:, FADE - left :]
        block += (before - block) * self._rise[FADE - left :]
        return block

    def _turned(self, joint: int, track: int) -> int | None:
        """The sample of the same song that follows at `joint`, where a loop turns back; None at the end of a song."""
        after = self._source.place(self._epoch, joint)
        return after.sample if after is not None and after.track == track else None

    def _before(self, track: int, sample: int) -> Float32:
        """The stems of the FADE samples before `sample`, with the silence before the song."""
        there = min(FADE, sample)
        stems = np.zeros((self._ring.rows, FADE), np.float32)
        stems[:, FADE - there :] = self._store.read(track, sample - there, there)
        return stems
