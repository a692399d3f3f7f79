"""How long a hop takes: the whole path of a step (analysis, network, masks, synthesis) for chunk sizes of 1 to 32.

    python -m benches.hop [MODEL] [--latency low]

Prints p50, p95, p99 and the maximum for each hop of 23.2 ms, on one CPU thread, as a Markdown table.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time

import numpy as np

CHUNKS = (1, 2, 4, 8, 32)
HOPS = 640


def measure(model: str | None, chunk: int, latency: str) -> np.ndarray:
    """Milliseconds a hop, one value a step, for a stretch of noise longer than the network's context."""
    import rtsep

    separator = rtsep.load(model, chunk=chunk, compute="cpu", latency=latency)
    block = np.random.default_rng(0).standard_normal((2, chunk * 1024)).astype(np.float32) * 0.1
    times = []
    for _ in range(HOPS // chunk):
        began = time.perf_counter()
        separator.feed(block)
        times.append((time.perf_counter() - began) * 1000 / chunk)
    return np.array(times[3:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", help="name or folder of a model; the default model if left out")
    parser.add_argument("--latency", default="standard", help="standard, medium or low")
    options = parser.parse_args()
    import torch

    processor = platform.processor() or platform.machine()
    with open("/proc/cpuinfo") as info:
        processor = next((line.split(": ")[1].strip() for line in info if line.startswith("model name")), processor)
    print(f"{processor}, Python {platform.python_version()}, torch {torch.__version__}, one thread")
    print("command: python -m benches.hop", *sys.argv[1:], "\n")
    print("| K | p50 ms | p95 ms | p99 ms | max ms | share of the hop (p50) |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for chunk in CHUNKS:
        times = measure(options.model, chunk, options.latency)
        p50, p95, p99 = np.percentile(times, [50, 95, 99])
        share = p50 / (1024 / 44.1)
        print(f"| {chunk} | {p50:.2f} | {p95:.2f} | {p99:.2f} | {times.max():.2f} | {share:.0%} |")


if __name__ == "__main__":
    main()
