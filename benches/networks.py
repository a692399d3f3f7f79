"""The cost of every network: speed on files, and load and latency of playing live.

Weights are random, as speed does not depend on them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benches.report import Report, Row, Table
from rtsep.bundle import build_network, build_segment_network, find_bundle, list_bundles
from rtsep.cli.model_speed import MAX_LOAD, suitable_mode
from rtsep.errors import MissingPackage
from rtsep.live_settings import live_settings
from rtsep.nn.contract import StreamingNetwork
from rtsep.nn.cost import multiply_adds_per_frame, multiply_adds_per_segment
from rtsep.nn.spleeter import Spleeter
from rtsep.nn.spleeter_live import LiveSpleeter
from rtsep.nn.windowed import Windowed
from rtsep.player.live_latency import MAX_MARGIN_S
from rtsep.recipe import Recipe
from rtsep.separation.backends.choose import stepper_to_measure
from rtsep.separation.backends.pytorch import TorchStepper, choose_compute
from rtsep.separation.backends.stepper import MAX_CHUNK, FrameStepper, warm_up
from rtsep.separation.options import MAX_CONTEXT_FRAMES, MAX_LOOKAHEAD_FRAMES
from rtsep.timebase import HOP, N_FFT, SAMPLE_RATE

HOP_S = HOP / SAMPLE_RATE
SLOW_S = 2.0
"""What takes longer is measured once; everything else three times, and the best counts."""
SPLEETER_WINDOWS = (64, 128, 256, 512)
STEMS = ("vocals", "instrumental")


def run(names: Sequence[str], out: Path) -> int:
    """Measure all models, or the named ones, and write."""
    report = Report("networks", "Networks", "see the columns")
    bundles = [find_bundle(name) for name in names] if names else list_bundles()
    rows = []
    for recipe in (bundle.recipe for bundle in bundles):
        try:
            rows.append(_files(recipe) if recipe.segments is None else _segments(recipe, recipe.segments.overlap))
        except MissingPackage as error:
            report.problem(f"{recipe.name}: {error}")
    files_note = (
        "Real-time factor (RTF): compute time per second of audio, network only, with its author's segmentation "
        "(ours: 32 frames per step)."
    )
    report.add(Table("Files", rows, files_note))
    live_note = (
        "One frame per step on one core, with the live settings of each recipe; networks not listed need --ahead. "
        "Latency: frame, stride and lookahead, without the longest step. Mode: the recommendation of "
        f"`rtsep doctor --model`: live up to a real-time factor of {MAX_LOAD} and steps of {1000 * MAX_MARGIN_S:.0f} "
        "ms, play (files, separated while they play) with longer steps, otherwise ahead."
    )
    framed = [bundle for bundle in bundles if bundle.recipe.segments is None]
    rows = []
    for bundle in framed:
        for latency in _latencies(bundle.recipe):
            network = build_network(bundle.recipe, live=True, latency=latency)
            if _can_be_played(network):
                stepper = stepper_to_measure(bundle, "cpu", 1, latency)
                rows.append(_live(bundle.name, network, stepper, bundle.recipe.stft.n_fft))
    report.add(Table("Live", rows, live_note))
    if not names:
        _by_window(report)
    report.write(out)
    return 0


def _latencies(recipe: Recipe) -> list[str]:
    """What chooses each of a model's live windows, in the standard synthesis."""
    several = [f"{setting.latency_ms:.1f}" for setting in live_settings(recipe) if setting.mode == "standard"]
    return several if len(several) > 1 else ["standard"]


def spleeter_windows(network: Spleeter) -> list[Windowed]:
    """A Spleeter network with windows of several sizes, the last for files as its authors cut them."""
    longest = SPLEETER_WINDOWS[-1]
    windows = [Windowed(network, frames, frames // 4, frames // 4, 8) for frames in SPLEETER_WINDOWS]
    return [*windows, Windowed(network, longest, longest, lead=1)]


def _by_window(report: Report) -> None:
    """Two-stem Spleeter with windows of several sizes."""
    rows = [
        _live(f"T = {window.frames}", window, TorchStepper(window, choose_compute("cpu"), 1))
        for window in spleeter_windows(Spleeter(STEMS).eval())
    ]
    note = "Stride and lookahead are a quarter of the window, the cross-fade is 8 frames; the last row is for files."
    report.add(Table("Two-stem Spleeter by window size", rows, note))


def _cores(threads: int) -> str:
    return f"RTF, {threads} core{'s' * (threads - 1)}"


def _files(recipe: Recipe) -> Row:
    network = build_network(recipe).eval()
    row: dict[str, str | int | float | None] = {
        "model": recipe.name,
        "M parameters": sum(parameter.numel() for parameter in network.parameters()) / 1e6,
        "GMAC/s": multiply_adds_per_frame(network) / HOP_S / 1e9,
    }
    network.freeze()
    whole = network if isinstance(network, Windowed) and not isinstance(network, LiveSpleeter) else None
    frames = whole.frames if whole else MAX_CHUNK
    noise = torch.rand(1, network.channels, network.bins, frames, generator=torch.Generator().manual_seed(0))
    state = network.init_state()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        with torch.inference_mode():
            if whole:
                spent_s = _best_s(partial(whole.network, noise)) / whole.stride
            else:
                spent_s = _best_s(lambda: network.step(noise, state)) / frames
        row[_cores(threads)] = spent_s / HOP_S
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
            row[_cores(threads)] = _best_s(lambda: network(noise)) / stride_s
    return row


def _can_be_played(network: StreamingNetwork) -> bool:
    return network.lookahead_frames <= MAX_LOOKAHEAD_FRAMES and network.context_frames <= MAX_CONTEXT_FRAMES


def _live(name: str, network: StreamingNetwork, stepper: FrameStepper, n_fft: int = N_FFT) -> Row:
    windows = isinstance(network, Windowed)
    noise = np.random.default_rng(0).random((network.channels, network.bins, 1), dtype=np.float32)
    stride = network.stride if windows else 1
    warm_up(stepper, [1])
    times_s = []
    for _ in range(max(3 * stride, 100) + network.lookahead_frames):
        began = time.perf_counter()
        stepper.step(noise)
        times_s.append(time.perf_counter() - began)
    counted = times_s[network.lookahead_frames + 1 :]
    counted = counted[: len(counted) // stride * stride]  # as many windows as strides
    longest_ms, factor = 1000 * max(counted), float(np.mean(counted)) / HOP_S
    return {
        "model": name,
        "window": network.frames if windows else None,
        "stride": stride,
        "lookahead": network.lookahead if windows else network.lookahead_frames,
        "latency ms": 1000 * (n_fft / SAMPLE_RATE + network.lookahead_frames * HOP_S),
        "longest step ms": longest_ms,
        "RTF": factor,
        "mode": suitable_mode(factor, longest_ms) if _can_be_played(network) else "ahead",
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
