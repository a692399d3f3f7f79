"""The pace of the worker: how long its steps take, whether this machine keeps up, and with steps of how many frames."""

from __future__ import annotations

import contextlib
import time
from math import ceil

import numpy as np

from rtsep.separation.backends.stepper import MAX_CHUNK
from rtsep.separation.options import FIRST_FRAMES
from rtsep.separation.processor import BrokenNetwork, Processor
from rtsep.shared.status import WorkerProblem, WorkerStatus
from rtsep.timebase import HOP, SAMPLE_RATE, SUPPORT_HOPS

SMALL_CHUNK = 4
LOAD_LIMIT = 0.9
"""A step that takes more than this share of its sound's duration doesn't keep up."""
PROBE_PAUSE_S = 0.5
HUNG_S = 0.5
"""A step that takes more than this for each of its frames may be taken for one that hangs: twenty times too slow."""


class Pace:
    """Chooses the fewest frames a step may take. `chunk` None: 4, or 32 if only the longest steps keep up.

    A worker that was late is `doubtful`: before it publishes again, a probe measures whether it keeps up at all. If not
    it publishes nothing, or the sound would change back and forth, and probes again from time to time.

    Attributes:
        frames: the fewest that a step takes.
        doubtful: set it when the worker is late; `probe` then decides.
        hop_s: compute time of a hop in the last step.
        restart_s: time of the first step after a jump.
    """

    def __init__(self, processor: Processor, status: WorkerStatus, chunk: int | None) -> None:
        self.frames = chunk or SMALL_CHUNK
        self.doubtful = False
        self.hop_s, self.restart_s = 0.0, 0.1
        self._processor = processor
        self._status = status
        self._raises = chunk is None
        self._failed = False

    @property
    def restart_lead(self) -> int:
        """Samples that the play head will have moved on by the time a restart gives its first sound, and a hop more."""
        return ceil(1.5 * max(self.restart_s, 0.01) * SAMPLE_RATE) + HOP

    def calibrate(self, mixture: np.ndarray, out: np.ndarray) -> None:
        """Measure a restart on silent `mixture` (C, at least 16 hops): how far ahead of the play head the first one
        aims follows from it."""
        for _ in range(2):  # the first time compiles, allocates and loads
            began = time.perf_counter()
            self._processor.warm(mixture[:, : SUPPORT_HOPS * HOP])
            self._processor.process(mixture[:, : FIRST_FRAMES * HOP], out[:, :, : FIRST_FRAMES * HOP])
            self.restart_s = time.perf_counter() - began
            self.hop_s = self.restart_s / FIRST_FRAMES

    def expect_step(self, frames: int) -> None:
        """A step of so many frames begins: set the time after which the worker hangs."""
        self._status.heartbeat = time.monotonic_ns() + round(HUNG_S * 1e9) * frames

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
        if _fits(self.frames, step_s):
            # What a restart took while the machine was too slow would aim far too far ahead.
            was_too_slow = self._status.problem == WorkerProblem.TOO_SLOW
            self.restart_s = max(many_s, 0.01 if was_too_slow else self.restart_s)
            self.doubtful = self._failed = False
            if self._status.problem != WorkerProblem.NAN_OUTPUT:  # that ends with a step whose output is finite
                raised = self._raises and self.frames == MAX_CHUNK
                self._status.problem = WorkerProblem.CHUNK_RAISED if raised else WorkerProblem.NONE
            return 0.0
        if self._failed:  # once proves nothing on a busy machine
            self._status.problem = WorkerProblem.TOO_SLOW
        self._failed = True
        return PROBE_PAUSE_S

    def step_done(self, frames: int, seconds: float, *, is_first: bool) -> None:
        """Note a step of `frames`. If a longest one takes no longer than a small one may, small ones suffice again.

        `is_first`: after a jump.
        """
        self.hop_s = seconds / frames
        if is_first:
            self.restart_s = seconds
        self._status.add_time(self.hop_s * 1e6)
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
