"""What a network hears before it continues: more of the past, or all that the model needs to take over.

All of it is done a step a turn, while there is lead for it, so that a jump is not kept waiting.
"""

from __future__ import annotations

from collections.abc import Iterator

from rtsep.engine.handover import SPARE_LEAD_S, Handover
from rtsep.engine.pace import Pace
from rtsep.engine.past import Past
from rtsep.engine.plan import LEAST_PAST_FRAMES, Plan
from rtsep.separation.backends.stepper import MAX_CHUNK, FrameStepper
from rtsep.separation.options import FIRST_FRAMES
from rtsep.separation.processor import Processor
from rtsep.shared.rings import Ring, RingHeader
from rtsep.shared.status import WorkerProblem, WorkerStatus
from rtsep.timebase import HOP

IDLE_S = 0.002


class Preparation:
    """Lets the networks of a processor hear the past.

    Args:
        chunk: frames of the steps, at whose border they begin again.
    """

    def __init__(self, processor: Processor, mixture: Ring, status: WorkerStatus, pace: Pace, chunk: int) -> None:
        self._processor, self._mixture, self._status, self._pace = processor, mixture, status, pace
        self._chunk = chunk
        # A chunk more than one context: each layer's context reaches further back than that of the layer before.
        self._most_frames = processor.context_frames + (MAX_CHUNK if processor.context_frames > 1 else 0)
        self._past = Past(mixture, processor.channels, self._most_frames)
        self._handover: Handover | None = None
        self._under_way: Iterator[None] | None = None

    def offer(self, model: FrameStepper, handover: Handover) -> None:
        """From now on `model` takes over where the rules of `handover` allow it."""
        self._processor.offer(model)
        self._handover = handover
        self._past = Past(self._mixture, self._processor.channels, max(self._most_frames, handover.past_frames))

    def cancel(self) -> None:
        """Another place is played from: nothing is under way."""
        self._under_way = None

    def keeps_up(self) -> None:
        """The stems are as far ahead as they may be, with the model in use."""
        if self._handover is not None:
            self._handover.succeeded()

    def prime(self, plan: Plan, ring: RingHeader) -> bool:
        """Fill the window for the first step; False while the ring has not got so far."""
        past = self._past.read(plan.next_in, 0, ring, ring.epoch)
        if past is None:
            return False
        self._processor.warm(*past)
        plan.is_primed = True
        return True

    def advance(self, plan: Plan, ring: RingHeader, lead_s: float) -> float | None:
        """Change the network or let it hear more of its past, where there is time for it; `plan` changes with that.

        Returns the seconds to sleep before the next turn, None if nothing is under way. Raises NoPast if the ring has
        overtaken what the instant network would have to hear.
        """
        if self._under_way is None:
            model = self._processor.successor
            if (handover := self._handover) is None:
                self._under_way = self._deeper(plan, ring, lead_s)
            elif not handover.can_keep_up:
                self._status.problem = WorkerProblem.MODEL_TOO_SLOW
                self._under_way = self._deeper(plan, ring, lead_s)
            elif model is not None:
                if plan.is_first or plan.drop > 0 or not handover.is_due(plan.next_hop, lead_s):
                    return None
                self._under_way = self._hand_over(plan, ring, model, handover)
                if self._under_way is None:
                    return IDLE_S  # the sound for it is on its way
            elif handover.is_too_late(plan.next_hop, lead_s):
                self._under_way = self._fall_back(plan, ring, handover)
            if self._under_way is None:
                return None
        self._pace.expect_step(MAX_CHUNK)
        if next(self._under_way, "done") == "done":  # a step a turn: a jump is not kept waiting
            self._under_way = None
            return None
        return 0.0

    def _deeper(self, plan: Plan, ring: RingHeader, lead_s: float) -> Iterator[None] | None:
        """Let the network hear as much more of the past as there is time for.

        From the full context on its steps are those of uninterrupted play: the one under way on the grid is done again,
        and what was published of it stays.
        """
        back = plan.next_hop % self._chunk
        begin = plan.next_in - back * HOP
        there = min(self._past.frames_before(begin, ring), self._most_frames)
        hop_s = max(min(self._pace.restart_s / FIRST_FRAMES, self._pace.hop_s), 1e-6)  # more than in longest steps
        time_for = int((lead_s - SPARE_LEAD_S) / (1.2 * hop_s)) - MAX_CHUNK
        if time_for < there:  # half of it at most, so that the whole follows
            there = min(time_for, there // 2)
        # The past comes later than the first sound, and what was played on since then counts too.
        if there - min(plan.heard, self._most_frames) < FIRST_FRAMES:
            return None
        # What is published next lies so far behind; a network that looks ahead must have heard that again too.
        if there < self._processor.delay_hops + LEAST_PAST_FRAMES:
            return None
        past = self._past.read(begin, there, ring, ring.epoch)
        if past is None:
            return None
        plan.heard, plan.next_in = there, begin
        plan.drop += back
        plan.again, plan.is_first = 0 if plan.is_first else back, False
        return self._processor.warming(*past)

    def _hand_over(
        self, plan: Plan, ring: RingHeader, model: FrameStepper, handover: Handover
    ) -> Iterator[None] | None:
        """Let the model hear its past and continue; None while the mixture doesn't reach so far."""
        frames = handover.past(self._past.frames_before(plan.next_in, ring))
        end = plan.next_in + model.lookahead_frames * HOP
        past = self._past.read(end, frames, ring, ring.epoch)
        if past is None:
            return None
        plan.next_in, plan.grid_begin = end, model.lookahead_frames
        plan.has_handed_over = True
        if self._status.problem == WorkerProblem.MODEL_TOO_SLOW:
            self._status.problem = WorkerProblem.NONE
        return self._processor.handing_over(*past)

    def _fall_back(self, plan: Plan, ring: RingHeader, handover: Handover) -> Iterator[None]:
        """Let the instant network continue where the model can't keep up."""
        handover.failed()
        self._status.problem = WorkerProblem.MODEL_TOO_SLOW
        self._processor.start_over()
        plan.has_handed_over = False
        plan.next_in, plan.grid_begin = plan.next_out + self._processor.delay_hops * HOP, 0
        past = self._past.read(plan.next_in, FIRST_FRAMES, ring, ring.epoch)
        if past is None:
            raise NoPast
        return self._processor.warming(*past)


class NoPast(Exception):
    """The mixture ring no longer has what a network must hear before it continues."""
