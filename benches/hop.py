"""How long a hop takes, stage by stage: FFT, network, masks and inverse FFT, for each way to compute and chunk size.

    python -m benches.hop [MODEL] [--compute cpu|cuda[:N]] [--latency standard|medium|low]

One row for each way that there is for the model (compiled, eager; graph on CUDA) and each K; the ways take turns, block
by block, so that a busy machine is busy for all of them. p50 to maximum are wall-clock milliseconds for each hop of
23.2 ms; CPU is the median of what the thread itself was given, which other programs disturb least. One CPU thread.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rtsep.dsp.grid import HOP, SAMPLE_RATE
from rtsep.engine.processor import Processor

if TYPE_CHECKING:
    from rtsep.engine.compute import Stepper

CHUNKS = (1, 2, 4, 8, 32)
HOPS = 1280
TURN = 10
WARM_UP = 5


class TimedProcessor(Processor):
    """A processor that knows when its stages began."""

    def __init__(self, stepper: Stepper, latency: str) -> None:
        super().__init__(stepper, latency)
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
    """Times of one way and chunk size, in milliseconds a hop."""

    def __init__(self, stepper: Stepper, chunk: int, latency: str) -> None:
        self.way, self.chunk = stepper.way, chunk
        self._processor = TimedProcessor(stepper, latency)
        shape = (self._processor.channels, chunk * HOP)
        self._mixture = 0.1 * np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        self._out = np.empty((len(self._processor.stems), *shape), np.float32)
        self.times: dict[str, list[float]] = {"FFT": [], "network": [], "masks": [], "total": [], "CPU": []}
        for _ in range(WARM_UP):
            self._processor.process(self._mixture, self._out)

    def turn(self) -> None:
        """A few steps."""
        for _ in range(TURN):
            began, cpu_began = time.perf_counter(), time.thread_time()
            self._processor.process(self._mixture, self._out)
            total, cpu = time.perf_counter() - began, time.thread_time() - cpu_began
            fft, network = self._processor.stages_s["FFT"], self._processor.stages_s["network"]
            spent = {"FFT": fft, "network": network, "masks": total - fft - network, "total": total, "CPU": cpu}
            for stage, seconds in spent.items():
                self.times[stage].append(1000 * seconds / self.chunk)

    def row(self) -> str:
        """A line of the table."""
        fft, network, masks, cpu = (np.median(self.times[stage]) for stage in ("FFT", "network", "masks", "CPU"))
        tail = " | ".join(f"{value:.2f}" for value in np.percentile(self.times["total"], [50, 95, 99, 99.9, 100]))
        return f"| {self.chunk} | {self.way} | {fft:.3f} | {network:.2f} | {masks:.3f} | {tail} | {cpu:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description="How long a hop takes, stage by stage.")
    parser.add_argument("model", nargs="?")
    parser.add_argument("--compute", default="cpu")
    parser.add_argument("--latency", default="standard")
    arguments = parser.parse_args()
    import torch

    from rtsep.bundle import find_bundle
    from rtsep.engine.compute import Stepper, choose_compute

    bundle, device = find_bundle(arguments.model), choose_compute(arguments.compute)
    processor = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as info:
            names = [line.split(": ")[1].strip() for line in info if line.startswith("model name")]
        processor = f"{names[0]} ({len(names)} cores)" if names else processor
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(
        f"{processor}{load}, Python {platform.python_version()}, torch {torch.__version__}, {bundle.name} on {device}"
    )
    print("command: python -m benches.hop", *sys.argv[1:], "\n")
    print("| K | way | FFT p50 | network p50 | masks + IFFT p50 | total p50 | p95 | p99 | p99.9 | max | CPU p50 |")
    print("| ---: | --- |" + " ---: |" * 9)
    for chunk in CHUNKS:
        steppers = [Stepper(bundle.load_network(), device, chunk)]
        if steppers[0].way == "compiled":
            steppers.append(Stepper(bundle.load_network(), device, chunk, compiled=False))
        ways = [Series(stepper, chunk, arguments.latency) for stepper in steppers]
        for _ in range(max(3, HOPS // chunk // TURN)):
            for way in ways:
                way.turn()
        for way in ways:
            print(way.row())
    print(f"\nA hop lasts {1000 * HOP / SAMPLE_RATE:.2f} ms.")


if __name__ == "__main__":
    main()
