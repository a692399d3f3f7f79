"""What the clock corrector costs, and how near it comes on simulated clocks that are off by 200 ppm."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from benches.report import Report, Row, Table
from rtsep.dsp.corrector import Corrector, correct, steer
from tests.dsp.two_clocks import simulate

RATES = ((48000, 44100), (44100, 48000))
RUNS = 16
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


def run(seconds: int, out: Path) -> int:
    """Measure and write."""
    report = Report("corrector", "The clock corrector", "one")
    report.add(Table("Cost", cost(), "Of stereo samples in blocks of 512; the control loop runs once a block."))
    note = (
        f"Worst of {RUNS} runs of {seconds} s, ±200 ppm, at 44 100 and 48 000 Hz. Blocks of capture and output; "
        "callbacks that come at once; jitter of the callbacks, exponential. Off: from the true ratio, from the tenth "
        "and the thirtieth second on. Distance: how far it strays from where it was."
    )
    report.add(Table("Precision on simulated clocks", precision(seconds), note))
    report.write(out)
    return 0


def cost() -> list[Row]:
    """Medians in nanoseconds."""
    samples = np.random.default_rng(0).standard_normal((2, 512)).astype(np.float32)
    rows: list[Row] = []
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
        rows.append(
            {
                "from Hz": rates[0],
                "to Hz": rates[1],
                "ns a sample": float(convert_ns),
                "ns a block for the loop": float(steer_ns),
            }
        )
    return rows


def precision(seconds: int) -> list[Row]:
    """A row a case."""
    rows: list[Row] = []
    for blocks, bursts, jitter_ms in CASES:
        early, late, strayed = [], [], []
        for number in range(RUNS):
            drift_ppm, rate = (-200, 200)[number & 1], (44100, 48000)[number >> 1 & 1]
            simulated = simulate(drift_ppm, seconds, rate, blocks, bursts, jitter_ms, seed=number)[0]
            time_s, ppm, distance = simulated.T
            off = np.abs(ppm - drift_ppm)
            early.append(off[time_s >= 10].max())
            late.append(off[time_s >= 30].max())
            strayed.append(np.abs(distance - distance[0]).max())
        rows.append(
            {
                "blocks": f"{blocks[0]} / {blocks[1]}",
                "at once": f"{bursts[0]} / {bursts[1]}",
                "jitter ms": jitter_ms,
                "off from 10 s, ppm": float(max(early)),
                "off from 30 s, ppm": float(max(late)),
                "distance off, samples": float(max(strayed)),
            }
        )
    return rows
