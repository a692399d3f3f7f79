"""What every network costs here: how fast it goes through files, and what playing it takes.

Weights are random: the time does not depend on them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from benches.report import Report, Row, Table
from rtsep.bundle import build_network, build_segment_network, find_bundle, list_bundles
from rtsep.dsp.grid import HOP, N_FFT, SAMPLE_RATE
from rtsep.engine.compute import Stepper, choose_compute
from rtsep.engine.options import MAX_CHUNK, MAX_CONTEXT_FRAMES, MAX_LOOKAHEAD_FRAMES
from rtsep.errors import MissingPackage
from rtsep.nn.contract import StreamingNetwork
from rtsep.nn.cost import multiply_adds_per_frame, multiply_adds_per_segment
from rtsep.nn.spleeter import Spleeter
from rtsep.nn.windowed import Windowed
from rtsep.recipe import Recipe

HOP_S = HOP / SAMPLE_RATE
SLOW_S = 2.0
"""What takes longer is measured once; all else three times, and the best counts."""
SPLEETER_WINDOWS = (64, 128, 256, 512)


def run(names: Sequence[str], out: Path) -> int:
    """Measure all models, or the named ones, and write."""
    report = Report("networks", "Networks", "as the columns say")
    recipes = [bundle.recipe for bundle in (map(find_bundle, names) if names else list_bundles())]
    rows = []
    for recipe in recipes:
        try:
            rows.append(_files(recipe) if recipe.segments is None else _segments(recipe, recipe.segments.overlap))
        except MissingPackage as error:
            report.problem(f"{recipe.name}: {error}")
    files_note = (
        "Real-time factor: seconds of computing for a second of sound, the network alone, in its author's "
        "segmentation (ours: 32 frames a step)."
    )
    report.add(Table("Files", rows, files_note))
    live_note = (
        "At one frame a step on one thread, with each recipe's live settings. Latency is that of window, block and "
        "lookahead; the longest step is what a margin has to hide."
    )
    framed = [recipe for recipe in recipes if recipe.segments is None]
    played = [(recipe.name, build_network(recipe, live=True), recipe.stft.n_fft) for recipe in framed]
    rows = [_live(name, network, n_fft) for name, network, n_fft in played if _can_be_played(network)]
    report.add(Table("Live", rows, live_note))
    if not names:
        windows = [Windowed(Spleeter(("vocals", "instrumental")), t, t // 4, t // 4, 8) for t in SPLEETER_WINDOWS]
        found = [_live(f"T = {network.frames}", network) for network in windows]
        report.add(Table("Spleeter of two stems by window", found, "Stride and lookahead are a quarter of the window."))
    report.write(out)
    return 0


def _files(recipe: Recipe) -> Row:
    network = build_network(recipe).eval()
    row: dict[str, str | int | float | None] = {
        "model": recipe.name,
        "M parameters": sum(parameter.numel() for parameter in network.parameters()) / 1e6,
        "GMAC/s": multiply_adds_per_frame(network) / HOP_S / 1e9,
    }
    network.freeze()
    frames = network.frames if isinstance(network, Windowed) else MAX_CHUNK
    noise = torch.rand(1, network.channels, network.bins, frames, generator=torch.Generator().manual_seed(0))
    state = network.init_state()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        with torch.inference_mode():
            if isinstance(network, Windowed):
                spent_s = _best_s(lambda: network.network(noise)) / network.stride
            else:
                spent_s = _best_s(lambda: network.step(noise, state)) / frames
        row[f"{threads} thread{'s' * (threads - 1)}"] = spent_s / HOP_S
    return row


def _segments(recipe: Recipe, overlap: float) -> Row:
    """As `_files`, of a network of whole segments."""
    network = build_segment_network(recipe).eval()
    stride_s = (1 - overlap) * network.segment_samples / SAMPLE_RATE
    row: dict[str, str | int | float | None] = {
        "model": recipe.name,
        "M parameters": sum(parameter.numel() for parameter in network.parameters()) / 1e6,
        "GMAC/s": multiply_adds_per_segment(network) / stride_s / 1e9,
    }
    noise = torch.rand(1, network.channels, network.segment_samples, generator=torch.Generator().manual_seed(0)) - 0.5
    for threads in (1, 2):
        torch.set_num_threads(threads)
        with torch.inference_mode():
            row[f"{threads} thread{'s' * (threads - 1)}"] = _best_s(lambda: network(noise)) / stride_s
    return row


def _can_be_played(network: StreamingNetwork) -> bool:
    return network.lookahead_frames <= MAX_LOOKAHEAD_FRAMES and network.context_frames <= MAX_CONTEXT_FRAMES


def _live(name: str, network: StreamingNetwork, n_fft: int = N_FFT) -> Row:
    windows = isinstance(network, Windowed)
    stepper = Stepper(network, choose_compute("cpu"), 1)
    noise = np.random.default_rng(0).random((network.channels, network.bins, 1), dtype=np.float32)
    stride = network.stride if windows else 1
    stepper.warm_up([1])
    times_s = []
    for _ in range(max(3 * stride, 100) + network.lookahead_frames):
        began = time.perf_counter()
        stepper.step(noise)
        times_s.append(time.perf_counter() - began)
    counted = times_s[network.lookahead_frames + 1 :]
    counted = counted[: len(counted) // stride * stride]  # as many windows as strides
    return {
        "model": name,
        "window": network.frames if windows else None,
        "stride": stride,
        "lookahead": network.lookahead if windows else network.lookahead_frames,
        "latency ms": 1000 * (n_fft / SAMPLE_RATE + network.lookahead_frames * HOP_S),
        "longest step ms": 1000 * max(counted),
        "real-time factor": float(np.mean(counted)) / HOP_S,
    }


def _best_s(work: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
        if best > SLOW_S:
            break
    return best
