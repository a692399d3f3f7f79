"""What the clock corrector costs, and how near it comes on simulated clocks that are off by 200 ppm.

    python -m benches.corrector

Prints nanoseconds a stereo sample and a block, then, for growing jitter of the callbacks, how far the ratio is from the
truth from the tenth and from the thirtieth second on, and how far the distance strays (worst of 16 runs each).
"""

from __future__ import annotations

import time

import numpy as np

from rtsep.dsp.corrector import Corrector, correct, steer
from tests.dsp.two_clocks import simulate

RATES = ((48000, 44100), (44100, 48000))
CASES = (  # blocks (capture, output), callbacks that come at once, ms
    ((256, 256), (1, 1), 0.2),
    ((441, 512), (1, 1), 0.2),
    ((1024, 1024), (1, 1), 0.2),
    ((256, 256), (1, 1), 1.0),
    ((1024, 1024), (1, 1), 1.0),
    ((256, 256), (4, 4), 0.2),
    ((1024, 1024), (4, 4), 0.2),
    ((1024, 1024), (1, 1), 3.0),
)


def cost() -> None:
    samples = np.random.default_rng(0).standard_normal((2, 512)).astype(np.float32)
    for rates in RATES:
        corrector = Corrector(*rates)
        out = np.empty((2, corrector.most(512)), np.float32)
        times = []
        for block in range(2000):
            began = time.perf_counter_ns()
            made = correct(corrector.control, samples, out)
            converted = time.perf_counter_ns()
            steer(corrector.control, float(block & 7), 512)
            times.append(((converted - began) / made, time.perf_counter_ns() - converted))
        convert_ns, steer_ns = np.median(times, axis=0)
        print(f"{rates[0]} -> {rates[1]} Hz: {convert_ns:.0f} ns a sample, {steer_ns:.0f} ns a block for the loop")


def main() -> None:
    cost()
    print("\n| blocks | at once | jitter ms | off from 10 s, ppm | from 30 s | distance off, samples |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for blocks, bursts, jitter_ms in CASES:
        early, late, strayed = [], [], []
        for run in range(16):
            drift_ppm, rate = (-200, 200)[run & 1], (44100, 48000)[run >> 1 & 1]
            (time_s, ppm, distance), _ = (part.T for part in simulate(
                drift_ppm, 120, rate, blocks, bursts, jitter_ms, seed=run
            ))  # fmt: skip
            off = np.abs(ppm - drift_ppm)
            early.append(off[time_s >= 10].max())
            late.append(off[time_s >= 30].max())
            strayed.append(np.abs(distance - distance[0]).max())
        print(
            f"| {blocks[0]} / {blocks[1]} | {bursts[0]} / {bursts[1]} | {jitter_ms} "
            f"| {max(early):.1f} | {max(late):.1f} | {max(strayed):.0f} |"
        )


if __name__ == "__main__":
    main()
