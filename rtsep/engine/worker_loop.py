"""The worker's loop body: from the mixture ring to the stem ring, one unit of work a turn.

    new epoch    one step of 16 frames: those to be heard first, and the past before them; then publish from START on.
                 Stems that the player kept of an earlier pass are published at once; own ones follow
    ahead        at most 4 s before the play head
    chunks       small ones, and the largest where a third of the lead is enough for it, which is then waited for. A
                 chunk of K frames begins at a multiple of K, so that the masks do not depend on where playing began
    lead         enough of it to hear more of the past: do so; from the full context on as if play had never been
                 interrupted
    instant      with an instant network, that is heard first. Once the model is loaded, it takes over where one of its
                 strides begins in uninterrupted play, with its past, as soon as the lead is enough for its first
                 window; if the lead is used up, the instant network continues
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

import numpy as np

from rtsep.engine.handover import SPARE_LEAD_S, Handover
from rtsep.engine.pace import SMALL_CHUNK, Pace
from rtsep.engine.plan import Plan
from rtsep.engine.preparation import IDLE_S, NoPast, Preparation
from rtsep.engine.stem_writer import StemWriter
from rtsep.separation.backends.stepper import MAX_CHUNK, FrameStepper, Interrupted
from rtsep.separation.options import FIRST_FRAMES
from rtsep.separation.processor import BrokenNetwork, Processor
from rtsep.shared.rings import RingHeader
from rtsep.shared.state import SharedState
from rtsep.shared.status import Network, WorkerProblem, WorkerState
from rtsep.timebase import HOP, SAMPLE_RATE

AHEAD_LIMIT = 4 * SAMPLE_RATE
AHEAD_LIMIT_UNTIL_READY = SAMPLE_RATE
"""The same while stems of a better network may become ready: what is published is not replaced by them."""
AHEAD_LIMIT_WHILE_LOADING = 2 * SAMPLE_RATE
"""The same while a model is being loaded, which may hold up this process for a second."""
LOADING_GRACE_NS = 30_000_000_000
"""From a cold disk it may be held up for longer: that is not taken for a worker that hangs."""


class WorkerLoop:
    """Separates the mixture ring into the stem ring.

    `chunk`: frames a step; None: small chunks while the lead is short, then up to 32.
    `awaits_better`: the ready ring will be filled.
    `awaits_model`: `offer` will be called.
    """

    def __init__(
        self,
        shared: SharedState,
        processor: Processor,
        chunk: int | None = None,
        *,
        awaits_better: bool = False,
        awaits_model: bool = False,
    ) -> None:
        self._shared = shared
        self._processor = processor
        self._chunk = chunk
        self._status = shared.worker
        self._status.problem = WorkerProblem.NONE
        self._pace = Pace(processor, self._status, chunk)
        self._preparation = Preparation(processor, shared.mixture, self._status, self._pace, chunk or MAX_CHUNK)
        self._writer = StemWriter(shared)
        self._mixture = np.zeros((processor.channels, MAX_CHUNK * HOP), np.float32)
        self._out = np.zeros((len(processor.stems), processor.channels, MAX_CHUNK * HOP), np.float32)
        self._lasting_limit = AHEAD_LIMIT_UNTIL_READY if awaits_better else AHEAD_LIMIT
        self._ahead_limit = min(AHEAD_LIMIT_WHILE_LOADING, self._lasting_limit) if awaits_model else self._lasting_limit
        self._grace_ns = LOADING_GRACE_NS if awaits_model else 0
        self._epoch = -1
        self._plan_from(0)

    @property
    def chunks(self) -> list[int]:
        """The chunk sizes that a step may take, ascending; few, since each must be warmed up before the sound."""
        largest = self._chunk or MAX_CHUNK
        return sorted({1, min(SMALL_CHUNK, largest), FIRST_FRAMES, largest, MAX_CHUNK})

    def calibrate(self) -> None:
        """Measure on silence how long a restart takes, before the first turn."""
        self._pace.calibrate(self._mixture, self._out)
        self._processor.start_over()
        self._processor.reset()
        self._processor.interrupt_when(self._has_jumped)

    @property
    def is_ahead(self) -> bool:
        """Whether there is nothing to do: a song is there, and its stems reach as far ahead as they may."""
        return self._epoch >= 0 and self._status.state in (WorkerState.AHEAD, WorkerState.ENDED)

    def offer(self, model: FrameStepper, handover: Handover) -> None:
        """From now on `model`, warmed up, takes over from the network in use where `handover` allows it."""
        model.interrupt_when(self._has_jumped)
        self._preparation.offer(model, handover)
        self.offer_nothing()

    def offer_nothing(self) -> None:
        """No model is awaited any more."""
        self._ahead_limit, self._grace_ns = self._lasting_limit, 0

    def turn(self) -> float:
        """Do the next unit of work; returns the seconds to sleep before the next turn, 0 if there may be more."""
        try:
            return self._turn()
        except Interrupted:  # by another epoch
            return 0.0

    def _turn(self) -> float:
        self._status.heartbeat = time.monotonic_ns() + self._grace_ns
        ring = self._shared.mixture.header()
        if ring.epoch < 0:
            return self._idle(WorkerState.AHEAD)
        if ring.epoch != self._epoch:
            self._begin(ring)
        plan = self._plan
        if plan.next_out >= ring.eof:
            return self._idle(WorkerState.ENDED)
        position = self._writer.play_position()
        if self._writer.uses_ready:
            return self._publish_ready(ring, position)
        if self._pace.doubtful:
            return self._probe(ring)
        lead = plan.next_out - max(position, ring.start)
        frames = self._frames(lead)
        end = plan.end_after(frames)
        if end <= position:
            self._pace.doubtful = True  # skips when the machine keeps up: what is skipped cannot be made up for
            return 0.0
        if not plan.is_primed and not self._preparation.prime(plan, ring):
            return self._idle(WorkerState.WARMING)
        if self._writer.would_cut_off(position, self._pace.restart_lead):
            return self._idle(WorkerState.AHEAD)
        try:
            pause_s = self._preparation.advance(plan, ring, lead / SAMPLE_RATE)
        except NoPast:
            self._plan_from(plan.next_out)
            return 0.0
        if pause_s is not None:
            return pause_s
        if end > max(position, ring.start) + self._ahead_limit:
            if plan.has_handed_over:
                self._preparation.keeps_up()
            return self._idle(WorkerState.AHEAD)
        missing = plan.next_in + frames * HOP - ring.end
        if missing > 0:
            # Towards the next hop, not past it: a live source fills the ring at its own pace.
            return min(IDLE_S, max(0.0005, missing / SAMPLE_RATE - 0.0005))
        self._separate(plan, frames)
        return 0.0

    # -- where to continue --------------------------------------------------------------------------------------

    def _begin(self, ring: RingHeader) -> None:
        """Start on another epoch, or as a worker that was just started."""
        self._epoch = ring.epoch
        self._writer.begin(ring.epoch)
        self._writer.leave_gap()
        position = self._writer.play_position()
        start = ring.start
        if position > ring.start + HOP:  # it plays already
            start = position + self._pace.restart_lead
        stem = self._shared.stem.header()
        if stem.epoch == ring.epoch:  # a worker before this one has published: never again what it did
            self._plan_from(max(stem.end, start))
            self._writer.joined = self._plan.next_out == stem.end
            return
        kept_end = None if start > ring.start else self._writer.publish_kept()
        self._plan_from(start if kept_end is None else kept_end, goes_on=kept_end is not None)

    def _plan_from(self, start: int, *, goes_on: bool = False) -> None:
        """Publish from `start` on, after a first step that begins before. `goes_on`: there is no gap before it.

        The first step ends where a small chunk ends: after the first hop with a chunk asked for, which a live source
        must not be kept waiting for; else one later, since the play head may stand at the very end of the first.
        """
        self._processor.start_over()
        self._preparation.cancel()
        if not goes_on:
            self._writer.leave_gap()
        small = min(SMALL_CHUNK, self._chunk or SMALL_CHUNK)
        spare = 2 if self._chunk is None else 1
        self._plan = Plan.from_position(start, self._processor.delay_hops, small, spare)

    def _skip_to(self, start: int) -> None:
        before = self._plan.next_out
        self._plan_from(start)
        self._status.skipped_hops += (self._plan.next_out - before) // HOP

    def _probe(self, ring: RingHeader) -> float:
        """Test on the newest sound whether the machine keeps up; if so, continue ahead of the play head."""
        mixture = self._mixture[:, : self._pace.frames * HOP]
        first = max(min(self._plan.next_in, ring.end) - mixture.shape[1], ring.begin)
        self._shared.mixture.read(first, mixture, self._epoch)
        self._processor.start_over()
        self._pace.expect_step(MAX_CHUNK)
        pause_s = self._pace.probe(mixture, self._out)
        if pause_s == 0:
            start = self._writer.play_position() + self._pace.restart_lead
            if start > self._plan.next_out:  # not where the play head is still to jump to the place that is planned
                self._skip_to(start)
            elif self._plan.is_primed:  # what was probed has gone through the network
                self._plan_from(self._plan.next_out)
        return pause_s

    def _has_jumped(self) -> bool:
        return self._shared.mixture.epoch != self._epoch

    def _frames(self, lead: int) -> int:
        """Return the frames of the next step, with stems `lead` samples ahead of the play head."""
        plan = self._plan
        if plan.is_first:
            return FIRST_FRAMES
        wanted = self._chunk or MAX_CHUNK
        if plan.again:
            return wanted
        if self._chunk is None and lead / SAMPLE_RATE < max(SPARE_LEAD_S, 3 * MAX_CHUNK * self._pace.hop_s):
            wanted = self._pace.frames
        hop = plan.next_hop - plan.grid_begin
        return max(size for size in self.chunks if size <= wanted and hop % size == 0)

    # -- the sound -------------------------------------------------------------------------------------------

    def _separate(self, plan: Plan, frames: int) -> None:
        count = frames * HOP
        mixture, out = self._mixture[:, :count], self._out[:, :, :count]
        if not self._shared.mixture.read(plan.next_in, mixture, self._epoch):
            if not self._has_jumped():  # overtaken by the writer
                self._skip_to(max(self._shared.mixture.begin, plan.next_out) + self._pace.restart_lead)
            return
        self._status.state = WorkerState.RUNNING
        self._status.chunk = frames
        self._pace.expect_step(frames)
        began = time.perf_counter()
        try:
            self._processor.process(mixture, out, plan.again)
        except BrokenNetwork:
            self._processor.reset()
            self._status.problem = WorkerProblem.NAN_OUTPUT
            self._skip_to(max(plan.end_after(frames), self._writer.play_position() + self._pace.restart_lead))
            return
        self._pace.step_done(frames, time.perf_counter() - began, is_first=plan.is_first)
        plan.is_first, plan.again = False, 0
        plan.heard += frames
        plan.next_in += count
        dropped = min(plan.drop, frames)
        plan.drop -= dropped
        own = Network.MODEL if plan.has_handed_over else Network.INSTANT
        plan.next_out += self._writer.publish(out.reshape(-1, count)[:, dropped * HOP :], plan.next_out, own)

    def _publish_ready(self, ring: RingHeader, position: int) -> float:
        """Publish the better network's stems while there are any, and the own network's after them."""
        lead = self._plan.next_out - max(position, ring.start)
        if lead > 2 * self._ahead_limit:
            return self._idle(WorkerState.AHEAD)
        published = self._writer.publish_ready(self._plan.next_out, ring.eof)
        self._plan.next_out += published
        if published:
            return 0.0
        if lead > self._pace.restart_lead + SPARE_LEAD_S * SAMPLE_RATE:
            return self._idle(WorkerState.AHEAD)  # more may become ready
        self._writer.fade_from_ready(self._plan.next_out)
        self._plan_from(self._plan.next_out, goes_on=True)
        return 0.0

    def _idle(self, state: WorkerState) -> float:
        self._status.state = state
        return IDLE_S
