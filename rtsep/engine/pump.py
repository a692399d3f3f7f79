"""The worker's loop body: from the mixture ring to the stem ring, one piece of work a turn.

    new epoch    warm the network with the 32 frames before START, then publish from START on
    ahead        at most 4 s before the play head
    lead         enough of it to warm once more, half a second to spare: do so, with the full context
    late         a chunk that would be heard too late is not worth computing: skip to where the play head will be,
                 once it is sure that the machine keeps up
    over         nothing beyond the end of the song is separated
    broken       values that are not numbers: publish nothing, reset, skip; the callback plays the mixture meanwhile

What is published is never rewritten. Everything is decided from the two rings and the callback's words, so
that a worker started again after a crash goes on by itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from math import ceil

import numpy as np

from rtsep.dsp.deck import Deck, Trouble, WorkerState
from rtsep.dsp.grid import HOP, SAMPLE_RATE, SUPPORT_HOPS
from rtsep.dsp.rings import RingHeader
from rtsep.engine.options import MAX_CHUNK
from rtsep.engine.pace import SMALL_CHUNK, Pace
from rtsep.engine.processor import BrokenNetwork, Processor

AHEAD_LIMIT = 4 * SAMPLE_RATE
FIRST_CONTEXT_FRAMES = 32
"""Warmed before the first sound; the full context waits until there is time."""
SAFE_LEAD_S = 0.5
"""Less lead than this: small chunks, so that the next samples come soon."""
IDLE_S = 0.01
HUNG_S = 0.5
"""A step that takes more than this for each of its frames may be taken for one that hangs: twenty times too slow."""
NO_POSITION = -(1 << 62)


class Pump:
    """Moves sound through a processor. `chunk` None: small chunks while the lead is short, then up to 32 frames."""

    def __init__(self, deck: Deck, processor: Processor, chunk: int | None = None) -> None:
        self._deck = deck
        self._processor = processor
        self._chunk = chunk
        self._words = deck.worker
        self._words.trouble = Trouble.NONE
        self._pace = Pace(processor, self._words, chunk)
        context_hops = max(processor.context_frames, FIRST_CONTEXT_FRAMES) + SUPPORT_HOPS
        self._past = np.zeros((processor.channels, context_hops * HOP), np.float32)
        self._mixture = np.zeros((processor.channels, MAX_CHUNK * HOP), np.float32)
        self._out = np.zeros((len(processor.stems), processor.channels, MAX_CHUNK * HOP), np.float32)
        self._epoch = -1
        self._restart_s = 0.1
        self._hop_s = 0.0
        self._warming: Iterator[None] | None = None
        self._plan(0)

    @property
    def chunks(self) -> list[int]:
        """The chunk sizes that a step may take, ascending; few, since each must be warmed up before the sound."""
        if self._chunk is not None:
            return sorted({self._chunk, FIRST_CONTEXT_FRAMES})
        first = min(SMALL_CHUNK + self._processor.delay_hops, MAX_CHUNK)
        return sorted({1, SMALL_CHUNK, first, MAX_CHUNK})

    def calibrate(self) -> None:
        """Measure, on silence, what a restart costs: from this the first jump to the play head is aimed."""
        first = self._chunk or SMALL_CHUNK
        for _ in range(2):  # the first time compiles, allocates and loads
            began = time.perf_counter()
            self._processor.warm(self._past[:, : (FIRST_CONTEXT_FRAMES + SUPPORT_HOPS) * HOP])
            self._hop_s = (time.perf_counter() - began) / FIRST_CONTEXT_FRAMES
            self._processor.process(self._mixture[:, : first * HOP], self._out[:, :, : first * HOP])
            self._restart_s = time.perf_counter() - began
        self._processor.reset()

    def turn(self) -> float:
        """Do the next piece of work; returns the seconds to sleep before the next turn, 0 when there may be more."""
        self._words.heartbeat = time.monotonic_ns()
        ring = self._deck.mixture.header()
        if ring.epoch < 0:
            return self._idle(WorkerState.AHEAD)
        if ring.epoch != self._epoch:
            self._begin(ring)
        if self._next_out >= ring.eof:
            return self._idle(WorkerState.ENDED)
        if self._pace.doubtful:
            return self._probe(ring)
        if not self._warm:
            return self._warm_first(ring)
        position = self._play_position()
        frames = self._frames(ring, position)
        if self._next_out + frames * HOP <= position:
            self._pace.doubtful = True  # skips when the machine keeps up: what is skipped cannot be made up for
            return 0.0
        if self._would_cut_off(position):
            return self._idle(WorkerState.AHEAD)
        reference = max(position, ring.start)
        if self._next_out + frames * HOP > reference + AHEAD_LIMIT:
            return 0.0 if self._deepen(ring, position) else self._idle(WorkerState.AHEAD)
        missing = self._next_in + frames * HOP - ring.end
        if missing > 0:
            # Towards the next hop, not past it: a live source fills the ring at its own pace.
            return min(IDLE_S, max(0.0005, missing / SAMPLE_RATE - 0.0005))
        if self._deepen(ring, position):
            return 0.0
        self._separate(frames)
        return 0.0

    # -- where to go on --------------------------------------------------------------------------------------

    def _begin(self, ring: RingHeader) -> None:
        """Another epoch, or the first look of a worker that was just started."""
        self._epoch = ring.epoch
        position = self._play_position()
        start = ring.start
        if position > ring.start + HOP:  # it plays already
            start = position + self._restart_lead()
        stem = self._deck.stem.header()
        if stem.epoch == ring.epoch:  # a worker before this one has published: never again what it did
            self._plan(max(stem.end, start))
            self._joined = self._next_out == stem.end
        else:
            self._plan(start)

    def _plan(self, start: int) -> None:
        """Publish from `start` (rounded up to a hop) on, after warming the network with what lies before."""
        self._next_out = -(-start // HOP) * HOP
        self._next_in = self._next_out
        self._drop = self._processor.delay_hops
        self._warm = False
        self._joined = False
        self._deep = False
        self._warming = None

    def _skip_to(self, start: int) -> None:
        before = self._next_out
        self._plan(max(start, before + HOP))
        self._words.skipped_hops += (self._next_out - before) // HOP

    def _probe(self, ring: RingHeader) -> float:
        """See whether the machine keeps up, on the newest sound there is; if so, go on ahead of the play head."""
        mixture = self._mixture[:, : self._pace.frames * HOP]
        first = max(min(self._next_in, ring.end) - mixture.shape[1], ring.begin)
        self._deck.mixture.read(first, mixture, self._epoch)
        self._busy(MAX_CHUNK)
        was_too_slow = self._words.trouble == Trouble.TOO_SLOW
        pause_s = self._pace.probe(mixture, self._out)
        if pause_s == 0:
            # What a restart took while the machine was too slow would aim far too far ahead.
            self._restart_s = max(self._pace.restart_s, 0.01 if was_too_slow else self._restart_s)
            self._skip_to(self._play_position() + self._restart_lead())
        return pause_s

    def _would_cut_off(self, position: int) -> bool:
        """Whether publishing after a gap now would take away stems that are still to be heard: the ring has no gaps."""
        if self._joined:
            return False
        stem = self._deck.stem.header()
        return stem.epoch == self._epoch and position < stem.end - self._restart_lead()

    def _restart_lead(self) -> int:
        """Samples that the play head will have moved on by the time a restart gives its first sound, and a hop more."""
        return ceil(1.5 * self._restart_s * SAMPLE_RATE) + HOP

    def _play_position(self) -> int:
        """Where the callback plays; far in the past while it has not yet jumped to this epoch."""
        head = self._deck.callback.read()
        return head.position if head.epoch == self._epoch else NO_POSITION

    def _frames(self, ring: RingHeader, position: int) -> int:
        """How many frames the next step shall take."""
        if self._chunk is not None:
            return self._chunk
        lead_s = (self._next_out - max(position, ring.start)) / SAMPLE_RATE
        # The first step also makes the hops that are dropped; what it publishes must last until the second is done.
        wanted = self._pace.frames + self._drop if lead_s < SAFE_LEAD_S else MAX_CHUNK
        there = (ring.end - self._next_in) // HOP
        return max(size for size in self.chunks if size <= min(wanted, max(there, 1)))

    # -- the network's past ----------------------------------------------------------------------------------

    def _warm_first(self, ring: RingHeader) -> float:
        """The 32 frames before the first hop to be published, in one call."""
        if ring.end < self._next_in:
            return self._idle(WorkerState.WARMING)
        self._words.state = WorkerState.WARMING
        self._busy(FIRST_CONTEXT_FRAMES)
        began = time.perf_counter()
        past = self._read_past(ring, FIRST_CONTEXT_FRAMES)
        if past is None:
            return IDLE_S
        self._processor.reset()
        self._processor.warm(*past)
        steps_s = self._hop_s * (self._drop + self._pace.frames)
        self._restart_s = max(time.perf_counter() - began + steps_s, 0.01)
        self._warm = True
        self._warmed_at = self._next_in
        self._deep = self._reaches_begin(FIRST_CONTEXT_FRAMES)
        return 0.0

    def _deepen(self, ring: RingHeader, position: int) -> bool:
        """With time to spare, give the network its full context for the frames to come; True while under way."""
        if self._deep:
            return False
        context = self._processor.context_frames
        if self._next_in - self._warmed_at >= (context - FIRST_CONTEXT_FRAMES) * HOP:
            self._deep = True  # played on for long enough to know it all
            return False
        if self._warming is None:
            lead_s = (self._next_out - max(position, ring.start)) / SAMPLE_RATE
            if self._drop > 0 or lead_s < SAFE_LEAD_S + 2 * context * self._hop_s:
                return False
            past = self._read_past(ring, context)
            if past is None:
                self._deep = True
                return False
            self._warming = self._processor.warming(*past)
        self._busy(MAX_CHUNK)
        if next(self._warming, "done") == "done":  # a step a turn: a seek is not kept waiting
            self._warming = None
            self._deep = True
            return False
        return True

    def _reaches_begin(self, frames: int) -> bool:
        return self._next_in - (frames + SUPPORT_HOPS) * HOP <= 0

    def _read_past(self, ring: RingHeader, frames: int) -> tuple[np.ndarray, int] | None:
        """The mixture of up to `frames` frames before `_next_in`, and the hops that only fill the window.

        Frames begin with the song (its first window reaches into the silence before it), so that a song
        played from its beginning is separated exactly as a file is. None if the ring no longer has it.
        """
        first = max(self._next_in - (frames + SUPPORT_HOPS) * HOP, -(-ring.begin // HOP) * HOP, 0)
        out = self._past[:, : max(self._next_in - first, 0)]
        if not self._deck.mixture.read(first, out, self._epoch):
            return None
        return out, 0 if first == 0 else SUPPORT_HOPS

    # -- the sound -------------------------------------------------------------------------------------------

    def _separate(self, frames: int) -> None:
        count = frames * HOP
        mixture, out = self._mixture[:, :count], self._out[:, :, :count]
        if not self._deck.mixture.read(self._next_in, mixture, self._epoch):
            if self._deck.mixture.epoch == self._epoch:  # overtaken by the writer
                self._skip_to(max(self._deck.mixture.begin, self._next_out) + self._restart_lead())
            return
        self._words.state = WorkerState.RUNNING
        self._words.chunk = frames
        self._busy(frames)
        began = time.perf_counter()
        try:
            self._processor.process(mixture, out)
        except BrokenNetwork:
            self._words.trouble = Trouble.NOT_NUMBERS
            self._skip_to(max(self._next_out + count, self._play_position() + self._restart_lead()))
            return
        took_s = time.perf_counter() - began
        self._pace.took(frames, took_s)
        self._hop_s = took_s / frames
        self._words.add_time(self._hop_s * 1e6)
        self._next_in += count
        self._publish(out.reshape(-1, count))

    def _publish(self, rows: np.ndarray) -> None:
        frames = rows.shape[1] // HOP
        dropped = min(self._drop, frames)
        self._drop -= dropped
        rows = rows[:, dropped * HOP :]
        if rows.shape[1] == 0 or self._deck.mixture.epoch != self._epoch:
            return
        if not self._joined:
            # Not before there is something to publish: what an earlier life published may still be playing.
            self._deck.stem.restart(self._epoch, self._next_out, self._next_out)
            self._joined = True
        self._deck.stem.write(rows)
        position = self._play_position()
        late = min(max(position - self._next_out, 0), rows.shape[1]) // HOP
        self._next_out += rows.shape[1]
        self._words.hops += rows.shape[1] // HOP
        self._words.late_hops += late

    def _busy(self, frames: int) -> None:
        self._words.heartbeat = time.monotonic_ns() + round(HUNG_S * 1e9) * frames

    def _idle(self, state: WorkerState) -> float:
        self._words.state = state
        return IDLE_S
