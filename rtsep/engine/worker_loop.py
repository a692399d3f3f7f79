"""The worker's loop body: from the mixture ring to the stem ring, one unit of work a turn.

    new epoch    one step of 16 frames: those to be heard first, and the past before them; then publish from START on.
                 Stems that the player kept of an earlier pass are published at once; own ones follow
    ahead        at most 4 s before the play head
    chunks       small ones, and the largest where a third of the lead is enough for it, which is then waited for. A
                 chunk of K frames begins at a multiple of K, so that the masks do not depend on where playing began
    lead         enough of it to hear more of the past: do so; from the full context on as if play had never been
                 interrupted
    instant      with an instant network, that is heard first. The model takes over where one of its strides begins in
                 uninterrupted play, with its past, once the lead is enough for its first window; if the lead is used
                 up, the instant network continues
    ready        stems of a better network that the player has put there are published in place of own ones, which fade
                 into them within a hop, and back where they end
    late         a chunk that would come too late isn't computed: skip to where the play head will be, once a probe
                 has shown that the machine keeps up
    end          nothing beyond the end of the song is separated
    NaN          in the network's output: publish nothing, reset, skip; the callback plays the mixture meanwhile

What is published is never rewritten. All decisions follow from the rings and the callback's status, so a worker that
is restarted after a crash continues by itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from math import ceil

import numpy as np

from rtsep.engine.handover import SPARE_LEAD_S, Handover
from rtsep.engine.pace import SMALL_CHUNK, Pace
from rtsep.engine.past import Past
from rtsep.engine.ready_stems import ReadyStems
from rtsep.separation.backends.stepper import MAX_CHUNK, FrameStepper, Interrupted
from rtsep.separation.options import FIRST_FRAMES
from rtsep.separation.processor import BrokenNetwork, Processor
from rtsep.shared.rings import RingHeader
from rtsep.shared.state import SharedState
from rtsep.shared.status import Network, WorkerProblem, WorkerState
from rtsep.timebase import HOP, SAMPLE_RATE, SUPPORT_HOPS

AHEAD_LIMIT = 4 * SAMPLE_RATE
AHEAD_LIMIT_UNTIL_READY = SAMPLE_RATE
"""The same while stems of a better network may become ready: what is published is not replaced by them."""
WORTH_CHANGING = SAMPLE_RATE
"""Samples of a better network that must be ready before they replace own ones."""
LEAST_PAST_FRAMES = 8
"""Of those of the first step, so many at least lie before what is heard first."""
IDLE_S = 0.002
HUNG_S = 0.5
"""A step that takes more than this for each of its frames may be taken for one that hangs: twenty times too slow."""
NO_POSITION = -(1 << 62)


class WorkerLoop:
    """Separates the mixture ring into the stem ring.

    `chunk`: frames a step; None: small chunks while the lead is short, then up to 32.
    `awaits_better`: the ready ring will be filled.
    """

    def __init__(
        self, shared: SharedState, processor: Processor, chunk: int | None = None, *, awaits_better: bool = False
    ) -> None:
        self._shared = shared
        self._processor = processor
        self._chunk = chunk
        self._status = shared.worker
        self._status.problem = WorkerProblem.NONE
        self._pace = Pace(processor, self._status, chunk)
        # A chunk more than one context: each layer's context reaches further back than that of the layer before.
        self._past_frames = processor.context_frames + (MAX_CHUNK if processor.context_frames > 1 else 0)
        self._handover = Handover(processor)
        self._past = Past(shared.mixture, processor.channels, max(self._past_frames, self._handover.past_frames))
        self._mixture = np.zeros((processor.channels, MAX_CHUNK * HOP), np.float32)
        self._out = np.zeros((len(processor.stems), processor.channels, MAX_CHUNK * HOP), np.float32)
        self._ahead_limit = AHEAD_LIMIT_UNTIL_READY if awaits_better else AHEAD_LIMIT
        self._ready = ReadyStems(shared.ready, MAX_CHUNK * HOP)
        self._kept = np.zeros((shared.kept.rows, shared.kept.capacity), np.float32)
        self._blend = np.zeros((shared.kept.rows, HOP), np.float32)
        self._rise = np.arange(1, HOP + 1, dtype=np.float32) / np.float32(HOP + 1)
        self._epoch = -1
        self._network = Network.INSTANT
        self._restart_s = 0.1
        self._hop_s = 0.0
        self._warming: Iterator[None] | None = None
        self._plan(0)

    @property
    def chunks(self) -> list[int]:
        """The chunk sizes that a step may take, ascending; few, since each must be warmed up before the sound."""
        largest = self._chunk or MAX_CHUNK
        return sorted({1, min(SMALL_CHUNK, largest), FIRST_FRAMES, largest, MAX_CHUNK})

    def calibrate(self) -> None:
        """Measure on silence how long a restart takes: it decides how far ahead of the play head the first one aims."""
        for _ in range(2):  # the first time compiles, allocates and loads
            began = time.perf_counter()
            self._processor.warm(self._mixture[:, : SUPPORT_HOPS * HOP])
            self._processor.process(self._mixture[:, : FIRST_FRAMES * HOP], self._out[:, :, : FIRST_FRAMES * HOP])
            self._restart_s = time.perf_counter() - began
            self._hop_s = self._restart_s / FIRST_FRAMES
        self._handover.calibrate(self._mixture, self._out)
        self._processor.start_over()
        self._processor.reset()
        self._processor.interrupt_when(lambda: self._shared.mixture.epoch != self._epoch)

    def turn(self) -> float:
        """Do the next unit of work; returns the seconds to sleep before the next turn, 0 if there may be more."""
        try:
            return self._turn()
        except Interrupted:  # by another epoch
            return 0.0

    def _turn(self) -> float:
        self._status.heartbeat = time.monotonic_ns()
        ring = self._shared.mixture.header()
        if ring.epoch < 0:
            return self._idle(WorkerState.AHEAD)
        if ring.epoch != self._epoch:
            self._begin(ring)
        if self._next_out >= ring.eof:
            return self._idle(WorkerState.ENDED)
        position = self._play_position()
        if self._uses_ready:
            return self._publish_ready(ring, position)
        if self._pace.doubtful:
            return self._probe(ring)
        frames = self._frames(ring, position)
        end = self._next_out + max(frames - self._drop, 1) * HOP
        if end <= position:
            self._pace.doubtful = True  # skips when the machine keeps up: what is skipped cannot be made up for
            return 0.0
        if not self._primed and not self._prime(ring):
            return self._idle(WorkerState.WARMING)
        if self._would_cut_off(position):
            return self._idle(WorkerState.AHEAD)
        if (pause_s := self._prepare(ring, position)) is not None:
            return pause_s
        if end > max(position, ring.start) + self._ahead_limit:
            if self._has_handed_over:
                self._handover.succeeded()
            return self._idle(WorkerState.AHEAD)
        missing = self._next_in + frames * HOP - ring.end
        if missing > 0:
            # Towards the next hop, not past it: a live source fills the ring at its own pace.
            return min(IDLE_S, max(0.0005, missing / SAMPLE_RATE - 0.0005))
        self._separate(frames)
        return 0.0

    # -- where to continue --------------------------------------------------------------------------------------

    def _begin(self, ring: RingHeader) -> None:
        """Start on another epoch, or as a worker that was just started."""
        self._epoch = ring.epoch
        self._status.begin_with_instant()
        self._network = Network.INSTANT
        position = self._play_position()
        start = ring.start
        if position > ring.start + HOP:  # it plays already
            start = position + self._restart_lead()
        stem = self._shared.stem.header()
        if stem.epoch == ring.epoch:  # a worker before this one has published: never again what it did
            self._plan(max(stem.end, start))
            self._joined = self._next_out == stem.end
        elif start > ring.start or not self._begin_with_kept(ring):
            self._plan(start)

    def _begin_with_kept(self, ring: RingHeader) -> bool:
        """Publish the stems that the player kept for this epoch; their last hop fades into the first own one."""
        kept = self._shared.kept.header()
        count = kept.end - kept.begin
        if kept.epoch != ring.epoch or not self._shared.kept.read(kept.begin, self._kept[:, :count], kept.epoch):
            return False
        self._shared.stem.restart(self._epoch, kept.begin, kept.begin)
        self._shared.stem.write(self._kept[:, : count - HOP])
        self._blend[:] = self._kept[:, count - HOP : count]
        self._plan(kept.end - HOP)
        self._joined = self._blends = True
        return True

    def _plan(self, start: int) -> None:
        """Publish from `start` (rounded up to a hop) on, after a first step that begins before.

        The first step ends where a small chunk ends: after the first hop with a chunk asked for, which a live source
        must not be kept waiting for; else one later, since the play head may stand at the very end of the first.
        """
        self._processor.start_over()
        hop = -(-start // HOP)
        delay = self._processor.delay_hops
        small = min(SMALL_CHUNK, self._chunk or SMALL_CHUNK)
        first = -(-(hop + delay + (2 if self._chunk is None else 1)) // small) * small - FIRST_FRAMES
        first = max(min(first, hop - LEAST_PAST_FRAMES), 0)
        self._next_out = hop * HOP
        self._next_in = first * HOP
        self._drop = hop + delay - first
        self._first = hop > 0
        self._primed = False
        self._joined = False
        self._blends = False
        self._heard = 0
        self._warming = None
        self._has_handed_over = self._uses_ready = False
        self._grid_begin = 0
        self._again = 0

    def _skip_to(self, start: int) -> None:
        before = self._next_out
        self._plan(start)
        self._status.skipped_hops += (self._next_out - before) // HOP

    def _probe(self, ring: RingHeader) -> float:
        """Test on the newest sound whether the machine keeps up; if so, continue ahead of the play head."""
        mixture = self._mixture[:, : self._pace.frames * HOP]
        first = max(min(self._next_in, ring.end) - mixture.shape[1], ring.begin)
        self._shared.mixture.read(first, mixture, self._epoch)
        self._processor.start_over()
        self._busy(MAX_CHUNK)
        was_too_slow = self._status.problem == WorkerProblem.TOO_SLOW
        pause_s = self._pace.probe(mixture, self._out)
        if pause_s == 0:
            # What a restart took while the machine was too slow would aim far too far ahead.
            self._restart_s = max(self._pace.restart_s, 0.01 if was_too_slow else self._restart_s)
            start = self._play_position() + self._restart_lead()
            if start > self._next_out:  # not where the play head is still to jump to the place that is planned
                self._skip_to(start)
            elif self._primed:  # what was probed has gone through the network
                self._plan(self._next_out)
        return pause_s

    def _would_cut_off(self, position: int) -> bool:
        """Whether publishing after a gap now would take away stems that are still to be heard: the ring has no gaps."""
        if self._joined:
            return False
        stem = self._shared.stem.header()
        return stem.epoch == self._epoch and position < stem.end - self._restart_lead()

    def _restart_lead(self) -> int:
        """Samples that the play head will have moved on by the time a restart gives its first sound, and a hop more."""
        return ceil(1.5 * max(self._restart_s, 0.01) * SAMPLE_RATE) + HOP

    def _play_position(self) -> int:
        """Where the callback plays; far in the past while it has not yet jumped to this epoch."""
        head = self._shared.callback.read()
        return head.position if head.epoch == self._epoch else NO_POSITION

    def _frames(self, ring: RingHeader, position: int) -> int:
        """Return the frames of the next step."""
        if self._first:
            return FIRST_FRAMES
        wanted = self._chunk or MAX_CHUNK
        if self._again:
            return wanted
        lead_s = (self._next_out - max(position, ring.start)) / SAMPLE_RATE
        if self._chunk is None and lead_s < max(SPARE_LEAD_S, 3 * MAX_CHUNK * self._hop_s):
            wanted = self._pace.frames
        hop = self._next_in // HOP - self._grid_begin
        return max(size for size in self.chunks if size <= wanted and hop % size == 0)

    # -- the network's past ----------------------------------------------------------------------------------

    def _prime(self, ring: RingHeader) -> bool:
        """Fill the window for the first step; False while the ring has not got so far."""
        past = self._past.read(self._next_in, 0, ring, self._epoch)
        if past is None:
            return False
        self._processor.warm(*past)
        self._primed = True
        return True

    def _prepare(self, ring: RingHeader, position: int) -> float | None:
        """Change the network or let it hear more of its past, where there is time for it.

        Returns the seconds to sleep before the next turn, None if nothing is under way.
        """
        lead_s = (self._next_out - max(position, ring.start)) / SAMPLE_RATE
        if self._warming is None:
            model = self._processor.successor
            if model is not None and not self._handover.can_keep_up:
                self._status.problem = WorkerProblem.MODEL_TOO_SLOW
            elif model is not None:
                if self._first or self._drop > 0 or not self._handover.is_due(self._next_in // HOP, lead_s):
                    return None
                self._warming = self._hand_over(ring, model)
                if self._warming is None:
                    return IDLE_S  # the sound for it is on its way
            elif self._has_handed_over and self._handover.is_too_late(self._next_in // HOP, lead_s):
                self._warming = self._fall_back(ring)
            if self._warming is None and not self._has_handed_over:
                self._warming = self._deeper(ring, lead_s)
            if self._warming is None:
                return None
        self._busy(MAX_CHUNK)
        if next(self._warming, "done") == "done":  # a step a turn: a seek is not kept waiting
            self._warming = None
            return None
        return 0.0

    def _deeper(self, ring: RingHeader, lead_s: float) -> Iterator[None] | None:
        """Let the network hear as much more of the past as there is time for.

        From the full context on its steps are those of uninterrupted play: the one under way on the grid is done again,
        and what was published of it stays.
        """
        back = self._next_in // HOP % (self._chunk or MAX_CHUNK)
        begin = self._next_in - back * HOP
        there = min(self._past.frames_before(begin, ring), self._past_frames)
        hop_s = max(min(self._restart_s / FIRST_FRAMES, self._hop_s), 1e-6)  # more than in longest steps
        time_for = int((lead_s - SPARE_LEAD_S) / (1.2 * hop_s)) - MAX_CHUNK
        if time_for < there:  # half of it at most, so that the whole follows
            there = min(time_for, there // 2)
        # The past comes later than the first sound, and what was played on since then counts too.
        if there - min(self._heard, self._past_frames) < FIRST_FRAMES:
            return None
        # What is published next lies so far behind; a network that looks ahead must have heard that again too.
        if there < self._processor.delay_hops + LEAST_PAST_FRAMES:
            return None
        past = self._past.read(begin, there, ring, self._epoch)
        if past is None:
            return None
        self._heard = there
        self._next_in = begin
        self._drop += back
        self._again, self._first = 0 if self._first else back, False
        return self._processor.warming(*past)

    # -- instant network and model -----------------------------------------------------------------------------

    def _hand_over(self, ring: RingHeader, model: FrameStepper) -> Iterator[None] | None:
        """Let the model hear its past and continue; None while the mixture doesn't reach so far."""
        frames = self._handover.past(self._past.frames_before(self._next_in, ring))
        end = self._next_in + model.lookahead_frames * HOP
        past = self._past.read(end, frames, ring, self._epoch)
        if past is None:
            return None
        self._next_in, self._grid_begin = end, model.lookahead_frames
        self._has_handed_over = True
        if self._status.problem == WorkerProblem.MODEL_TOO_SLOW:
            self._status.problem = WorkerProblem.NONE
        return self._processor.handing_over(*past)

    def _fall_back(self, ring: RingHeader) -> Iterator[None] | None:
        """Let the instant network continue where the model can't keep up."""
        self._handover.failed()
        self._status.problem = WorkerProblem.MODEL_TOO_SLOW
        self._processor.start_over()
        self._has_handed_over = False
        self._next_in, self._grid_begin = self._next_out + self._processor.delay_hops * HOP, 0
        past = self._past.read(self._next_in, FIRST_FRAMES, ring, self._epoch)
        if past is None:
            self._plan(self._next_out)
            return None
        return self._processor.warming(*past)

    # -- the sound -------------------------------------------------------------------------------------------

    def _separate(self, frames: int) -> None:
        count = frames * HOP
        mixture, out = self._mixture[:, :count], self._out[:, :, :count]
        if not self._shared.mixture.read(self._next_in, mixture, self._epoch):
            if self._shared.mixture.epoch == self._epoch:  # overtaken by the writer
                self._skip_to(max(self._shared.mixture.begin, self._next_out) + self._restart_lead())
            return
        self._status.state = WorkerState.RUNNING
        self._status.chunk = frames
        self._busy(frames)
        began = time.perf_counter()
        try:
            self._processor.process(mixture, out, self._again)
        except BrokenNetwork:
            self._processor.reset()
            self._status.problem = WorkerProblem.NAN_OUTPUT
            after = self._next_out + max(frames - self._drop, 1) * HOP
            self._skip_to(max(after, self._play_position() + self._restart_lead()))
            return
        elapsed_s = time.perf_counter() - began
        self._pace.step_done(frames, elapsed_s)
        self._hop_s = elapsed_s / frames
        self._status.add_time(self._hop_s * 1e6)
        if self._first:
            self._restart_s, self._first = elapsed_s, False
        self._again = 0
        self._heard += frames
        self._next_in += count
        self._publish(out.reshape(-1, count))

    def _publish(self, rows: np.ndarray) -> None:
        frames = rows.shape[1] // HOP
        dropped = min(self._drop, frames)
        self._drop -= dropped
        rows = rows[:, dropped * HOP :]
        if rows.shape[1] == 0 or self._shared.mixture.epoch != self._epoch:
            return
        better = self._better(rows.shape[1])
        if better is not None:
            if self._joined:
                rows[:, :HOP] += (better[:, :HOP] - rows[:, :HOP]) * self._rise
                rows[:, HOP:] = better[:, HOP:]
            else:
                rows[:] = better
        if not self._joined:
            # Not before there is something to publish: what an earlier life published may still be playing.
            self._shared.stem.restart(self._epoch, self._next_out, self._next_out)
            self._joined = True
        if self._blends:
            rows[:, :HOP] = self._blend + (rows[:, :HOP] - self._blend) * self._rise
            self._blends = False
        own = Network.MODEL if self._has_handed_over else Network.INSTANT
        self._write(rows, own if better is None else Network.MODEL)
        self._uses_ready = better is not None

    def _better(self, count: int) -> np.ndarray | None:
        """The next `count` samples of a better network, if enough are ready to change to it."""
        if self._blends or self._ready.end(self._next_out, self._epoch) < self._next_out + max(count, WORTH_CHANGING):
            return None
        return self._ready.read(self._next_out, count, self._epoch)

    def _publish_ready(self, ring: RingHeader, position: int) -> float:
        """Publish what is ready, but for a hop that fades into own stems where it ends before the song does."""
        lead = self._next_out - max(position, ring.start)
        if lead > 2 * self._ahead_limit:
            return self._idle(WorkerState.AHEAD)
        end = min(self._ready.end(self._next_out, self._epoch), ring.eof)
        count = end - self._next_out if end == ring.eof else (end - self._next_out) // HOP * HOP - HOP
        count = min(count, MAX_CHUNK * HOP)
        rows = self._ready.read(self._next_out, count, self._epoch) if count > 0 else None
        if rows is not None:
            self._write(rows, Network.MODEL)
            return 0.0
        if lead > self._restart_lead() + SPARE_LEAD_S * SAMPLE_RATE:
            return self._idle(WorkerState.AHEAD)  # more may become ready
        held = self._ready.read(self._next_out, HOP, self._epoch)
        self._plan(self._next_out)
        self._joined = True
        if held is not None:
            self._blend[:] = held
            self._blends = True
        return 0.0

    def _write(self, rows: np.ndarray, network: Network) -> None:
        if self._network != network:
            self._status.change_network(network, self._next_out)
            self._network = network
        self._shared.stem.write(rows)
        position = self._play_position()
        late = min(max(position - self._next_out, 0), rows.shape[1]) // HOP
        self._next_out += rows.shape[1]
        self._status.hops += rows.shape[1] // HOP
        self._status.late_hops += late

    def _busy(self, frames: int) -> None:
        self._status.heartbeat = time.monotonic_ns() + round(HUNG_S * 1e9) * frames

    def _idle(self, state: WorkerState) -> float:
        self._status.state = state
        return IDLE_S
