"""Cost of the clock corrector, and its precision on simulated clocks with an error of 200 ppm."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from benches.report import Report, Row, Table
from rtsep.dsp.corrector import Corrector, correct, steer
from tests.dsp.two_clocks import simulate

RATES = ((48000, 44100), (44100, 48000))
RUNS = 16
CASES = (  # blocks (capture, output), callbacks at a time (burst), jitter in ms
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
    report = Report("corrector", "Clock corrector", "one")
    report.add(Table("Cost", cost(), "Stereo, blocks of 512 samples; the control loop runs once per block."))
    note = (
        f"Worst of {RUNS} runs of {seconds} s, ±200 ppm, at 44 100 and 48 000 Hz. Blocks: capture / output; burst: "
        "callbacks at a time; jitter: exponential. Error: against the true ratio, after 10 s and after 30 s. Drift: "
        "largest change of the delay."
    )
    report.add(Table("Precision on simulated clocks", precision(seconds), note))
    report.write(out)
    return 0


def cost() -> list[Row]:
    """Median times in nanoseconds."""
    samples = np.random.default_rng(0).standard_normal((2, 512)).astype(np.float32)
    rows: list[Row] = []
    for rates in RATES:
        corrector = Corrector(*rates)
        out = np.empty((2, corrector.max_output(512)), np.float32)
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
                "ns per sample": float(convert_ns),
                "loop, ns per block": float(steer_ns),
            }
        )
    return rows


def precision(seconds: int) -> list[Row]:
    """One row per case."""
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
                "burst": f"{bursts[0]} / {bursts[1]}",
                "jitter ms": jitter_ms,
                "error after 10 s, ppm": float(max(early)),
                "error after 30 s, ppm": float(max(late)),
                "drift, samples": float(max(strayed)),
            }
        )
    return rows
