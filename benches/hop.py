"""Time per hop by stage: FFT, network, masks and inverse FFT, for each backend and chunk size.

The backends of a model (compiled, eager; graph on CUDA) take turns of a few steps, so that a busy machine slows all of
them. Times are wall-clock milliseconds per hop of 23.2 ms; "CPU" is the processor time of the thread, which other
programs disturb least.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benches.report import Row, Table, tail
from rtsep.separation.processor import Processor
from rtsep.timebase import HOP

if TYPE_CHECKING:
    from rtsep.bundle import Bundle
    from rtsep.separation.backends.stepper import FrameStepper

CHUNKS = (1, 2, 4, 8, 32)
TURN = 10
WARM_UP = 5


class TimedProcessor(Processor):
    """A processor that records the time of its stages."""

    def __init__(self, stepper: FrameStepper) -> None:
        super().__init__(stepper)
        self.stages_s = {"FFT": 0.0, "network": 0.0}
        step = stepper.step

        def timed_step(magnitudes: NDArray[np.float32]) -> NDArray[np.float32]:
            began = time.perf_counter()
            masks = step(magnitudes)
            self.stages_s["network"] = time.perf_counter() - began
            return masks

        stepper.step = timed_step  # type: ignore[method-assign]

    def _analyse(self, mixture: NDArray[np.float32], first_hop: int, frames: int) -> NDArray[np.float32]:
        began = time.perf_counter()
        magnitudes = super()._analyse(mixture, first_hop, frames)
        self.stages_s["FFT"] = time.perf_counter() - began
        return magnitudes


class Series:
    """Times of one backend and chunk size, in milliseconds per hop."""

    def __init__(self, stepper: FrameStepper, chunk: int) -> None:
        self.way, self.chunk = stepper.way, chunk
        self._processor = TimedProcessor(stepper)
        shape = (self._processor.channels, chunk * HOP)
        self._mixture = 0.1 * np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        self._out = np.empty((len(self._processor.stems), *shape), np.float32)
        self.times: dict[str, list[float]] = {"FFT": [], "network": [], "masks + IFFT": [], "total": [], "CPU": []}
        for _ in range(WARM_UP):
            self._processor.process(self._mixture, self._out)

    def turn(self) -> None:
        """Run and time a few steps."""
        for _ in range(TURN):
            began, cpu_began = time.perf_counter(), time.thread_time()
            self._processor.process(self._mixture, self._out)
            total, cpu = time.perf_counter() - began, time.thread_time() - cpu_began
            fft, network = self._processor.stages_s["FFT"], self._processor.stages_s["network"]
            spent = {"FFT": fft, "network": network, "masks + IFFT": total - fft - network, "total": total, "CPU": cpu}
            for stage, seconds in spent.items():
                self.times[stage].append(1000 * seconds / self.chunk)

    def rows(self) -> list[Row]:
        """One row per stage."""
        return [
            {"K": self.chunk, "backend": self.way, "stage": stage} | tail(times_ms)
            for stage, times_ms in self.times.items()
        ]


def measure(bundle: Bundle, compute: str, hops: int) -> list[Series]:
    """Measure all chunk sizes and backends, `hops` hops each."""
    from rtsep.separation.backends.choose import load_stepper

    found: list[Series] = []
    for chunk in CHUNKS:
        steppers = [load_stepper(bundle, compute, chunk)]
        if steppers[0].way == "compiled":
            steppers.append(load_stepper(bundle, compute, chunk, compiled=False))
        ways = [Series(stepper, chunk) for stepper in steppers]
        for _ in range(max(3, hops // chunk // TURN)):
            for way in ways:
                way.turn()
        found += ways
    return found


def tables(found: list[Series]) -> list[Table]:
    """All stages for one frame per step, and the totals for all chunk sizes."""
    stages = [row for series in found if series.chunk == 1 for row in series.rows()]
    totals = [row for series in found for row in series.rows() if row["stage"] in ("total", "CPU")]
    return [
        Table("Time per hop by stage, K = 1", stages, "CPU: processor time of the thread, all stages."),
        Table("Time per hop by K", totals, "K frames per step; times are per frame."),
    ]
