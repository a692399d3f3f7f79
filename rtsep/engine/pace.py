"""The pace of the worker: whether this machine keeps up, and with steps of how many frames."""

from __future__ import annotations

import contextlib
import time

import numpy as np

from rtsep.separation.backends.stepper import MAX_CHUNK
from rtsep.separation.processor import BrokenNetwork, Processor
from rtsep.shared.status import WorkerProblem, WorkerStatus
from rtsep.timebase import HOP, SAMPLE_RATE

SMALL_CHUNK = 4
LOAD_LIMIT = 0.9
"""A step that takes more than this share of its sound's duration doesn't keep up."""
PROBE_PAUSE_S = 0.5


class Pace:
    """Chooses the fewest frames a step may take. `chunk` None: 4, or 32 if only the longest steps keep up.

    A worker that was late is `doubtful`: before it publishes again, a probe measures whether it keeps up at all. If not
    it publishes nothing, or the sound would change back and forth, and probes again from time to time.

    Attributes:
        frames: the fewest that a step takes.
        doubtful: set it when the worker is late; `probe` then decides.
        restart_s: upper limit for the first step after a jump, from the last probe.
    """

    def __init__(self, processor: Processor, status: WorkerStatus, chunk: int | None) -> None:
        self.frames = chunk or SMALL_CHUNK
        self.doubtful = False
        self.restart_s = 0.0
        self._processor = processor
        self._status = status
        self._raises = chunk is None
        self._failed = False

    def probe(self, mixture: np.ndarray, out: np.ndarray) -> float:
        """Time steps over `mixture` (C, 4 hops or a chunk); returns the seconds to wait until the next probe.

        0: it keeps up and is no longer doubtful. The processor must be warmed up before it is used again.
        """
        if self._raises:
            one_s, few_s = (self._step_s(mixture, out, frames) for frames in (1, SMALL_CHUNK))
            # Extrapolated: on a machine far too slow for it a step of 32 would take as long as a worker that hangs.
            many_s = few_s + max(few_s - one_s, 0.0) * (MAX_CHUNK - SMALL_CHUNK) / (SMALL_CHUNK - 1)
            self.frames = SMALL_CHUNK if _fits(SMALL_CHUNK, few_s) else MAX_CHUNK
            step_s = few_s if self.frames == SMALL_CHUNK else many_s
        else:
            step_s = self._step_s(mixture, out, self.frames)
            many_s = step_s * MAX_CHUNK / self.frames
        self.restart_s = many_s
        if _fits(self.frames, step_s):
            self.doubtful = self._failed = False
            if self._status.problem != WorkerProblem.NAN_OUTPUT:  # that ends with a step whose output is finite
                raised = self._raises and self.frames == MAX_CHUNK
                self._status.problem = WorkerProblem.CHUNK_RAISED if raised else WorkerProblem.NONE
            return 0.0
        if self._failed:  # once proves nothing on a busy machine
            self._status.problem = WorkerProblem.TOO_SLOW
        self._failed = True
        return PROBE_PAUSE_S

    def step_done(self, frames: int, seconds: float) -> None:
        """Note a step of `frames`. If a longest one takes no longer than a small one may, small ones suffice again."""
        if self._status.problem == WorkerProblem.NAN_OUTPUT:
            self._status.problem = WorkerProblem.NONE
        if self._raises and frames == MAX_CHUNK and _fits(SMALL_CHUNK, seconds) and self.frames != SMALL_CHUNK:
            self.frames = SMALL_CHUNK
            self._status.problem = WorkerProblem.NONE

    def _step_s(self, mixture: np.ndarray, out: np.ndarray, frames: int) -> float:
        began = time.perf_counter()
        with contextlib.suppress(BrokenNetwork):
            self._processor.process(mixture[:, : frames * HOP], out[:, :, : frames * HOP])
        return time.perf_counter() - began


def _fits(frames: int, seconds: float) -> bool:
    return seconds <= LOAD_LIMIT * frames * HOP / SAMPLE_RATE
