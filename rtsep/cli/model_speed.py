"""How fast a model runs on this machine, and which command suits it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from math import ceil
from typing import Literal

import numpy as np

from rtsep.bundle import Bundle
from rtsep.errors import RtsepError
from rtsep.live_settings import choose_live_setting, live_settings
from rtsep.player.live_latency import MAX_MARGIN_S
from rtsep.recipe import Recipe, Window
from rtsep.separation.backends.choose import computing_devices, stepper_to_measure
from rtsep.separation.backends.stepper import FrameStepper
from rtsep.separation.default_model import MAX_LOAD
from rtsep.separation.options import check_context, check_lookahead, find_playable
from rtsep.separation.processor import Processor
from rtsep.timebase import HOP, SAMPLE_RATE

Mode = Literal["live", "play", "ahead"]
HOP_MS = 1000 * HOP / SAMPLE_RATE
MEASURE_S = 2.5
"""For each device and chunk size."""


@dataclass(frozen=True)
class Speed:
    """Compute time per hop on one device.

    `realtime_factor` is the median over a hop's duration. With windows one hop of each stride takes nearly all of the
    time: the factor is that of the mean, and `hop_p99_ms` is the maximum. `way` is the backend: compiled, constant,
    eager or graph, see `rtsep.separation.backends.choose`.
    """

    compute: str
    way: str
    chunk: int
    hop_p50_ms: float
    hop_p99_ms: float
    realtime_factor: float


@dataclass(frozen=True)
class Advice:
    """The recommended use of a model on this machine.

    `way` is `live` (suits `rtsep play` too), `play` (only files, separated while they play) or `ahead` (files separated
    before they play). The other fields describe the live settings: `window` (frames; None without windows), `stride`
    and `lookahead` (frames), `latency_ms` (standard mode, without the margin), `longest_step_ms` (most of the margin).
    They are None for `ahead`.
    """

    way: Mode
    why: str
    window: int | None = None
    stride: int | None = None
    lookahead: int | None = None
    latency_ms: float | None = None
    longest_step_ms: float | None = None


@dataclass
class ModelSpeed:
    """Measured speeds of a model and advice. `problem` says what is wrong with the machine, and the remedy."""

    model: str
    speed: list[Speed] = field(default_factory=list)
    fastest_compute: str | None = None
    advice: Advice | None = None
    problem: str | None = None


def measure_model(model: str | None = None) -> ModelSpeed:
    """Measure a model, by name or folder, on every device: with its live setting of the shortest delay with which this
    machine plays it live, or else with its last. Missing weights are replaced by random ones: they take the same time.

    Raises RtsepError for a model that does not exist or cannot be built.
    """
    bundle = find_playable(model)
    if bundle.recipe.segments is not None:
        return ModelSpeed(bundle.name, advice=Advice("ahead", "it processes whole segments, not frames"))
    settings = [setting for setting in live_settings(bundle.recipe) if setting.mode == "standard"]
    found = ModelSpeed(bundle.name)
    for setting in settings:  # longer ones take less time
        found = _measure_setting(bundle, str(ceil(setting.latency_ms)))
        if found.advice is not None and found.advice.way == "live":
            break
    return found


def _measure_setting(bundle: Bundle, latency: str) -> ModelSpeed:
    """Measure one live setting, chosen by its milliseconds."""
    recipe, found = bundle.recipe, ModelSpeed(bundle.name)
    stepper = stepper_to_measure(bundle, "cpu", 1, latency)
    try:
        check_context(stepper.context_frames)
        check_lookahead(stepper.lookahead_frames)
    except RtsepError as error:
        found.advice = Advice("ahead", str(error))
        return found
    window = choose_live_setting(recipe, latency).window
    stride = window.stride if window else 1
    for compute in computing_devices():
        for chunk in (1, 32) if stride == 1 else (1,):
            if (compute, chunk) != (stepper.compute, stepper.max_chunk):
                stepper = stepper_to_measure(bundle, compute, chunk, latency)
            p50, p99, mean = measure_hop(Processor(stepper, n_fft=recipe.stft.n_fft), chunk, stride)
            factor = (p50 if stride == 1 else mean) / HOP_MS
            found.speed.append(Speed(compute, stepper.way, chunk, round(p50, 2), round(p99, 2), round(factor, 3)))
    fastest = min((speed for speed in found.speed if speed.chunk == 1), key=lambda speed: speed.hop_p99_ms)
    found.fastest_compute = fastest.compute
    if stride == 1 and fastest.hop_p99_ms > MAX_LOAD * HOP_MS:
        found.problem = (
            f"{bundle.name} is too slow for --chunk 1: the slowest 1 % of hops take {fastest.hop_p99_ms:.1f} of "
            f"{HOP_MS:.1f} ms; close other programs, or use --chunk 8 or more"
        )
    found.advice = _advise(recipe, stepper, fastest, window)
    return found


def _advise(recipe: Recipe, stepper: FrameStepper, speed: Speed, window: Window | None) -> Advice:
    """Advice from the speed on the fastest device, with the live setting `window`."""
    way, limit_ms = suitable_mode(speed.realtime_factor, speed.hop_p99_ms), 1000 * MAX_MARGIN_S
    why = {
        "live": "it keeps up, and every step is short enough for rtsep live",
        "play": f"its longest step is over {limit_ms:.0f} ms, the limit of rtsep live",
        "ahead": f"it is too slow to run while it plays: real-time factor {speed.realtime_factor}",
    }[way]
    if way == "ahead":
        return Advice(way, why)
    latency = recipe.stft.n_fft + stepper.lookahead_frames * HOP
    return Advice(
        way,
        why,
        window=window.frames if window else None,
        stride=window.stride if window else 1,
        lookahead=window.lookahead if window else stepper.lookahead_frames,
        latency_ms=round(1000 * latency / SAMPLE_RATE, 1),
        longest_step_ms=speed.hop_p99_ms,
    )


def suitable_mode(realtime_factor: float, longest_step_ms: float) -> Mode:
    """The mode that suits a network whose context and lookahead can be played."""
    if realtime_factor > MAX_LOAD:
        return "ahead"
    return "live" if longest_step_ms <= 1000 * MAX_MARGIN_S else "play"


def measure_hop(processor: Processor, chunk: int, stride: int) -> tuple[float, float, float]:
    """Measure the time per hop in ms at `chunk` hops a call: median, 99th percentile (with windows the maximum), mean.

    Whole strides of hops are measured, at least two.
    """
    samples = chunk * HOP
    mixture = np.random.default_rng(0).standard_normal((processor.channels, samples)).astype(np.float32) * 0.1
    out = np.empty((len(processor.stems), processor.channels, samples), np.float32)
    for _ in range(3 if stride == 1 else processor.delay_hops + 1):  # to the first window's end
        processor.process(mixture, out)
    times_ms: list[float] = []
    end = time.perf_counter() + MEASURE_S
    while time.perf_counter() < end or len(times_ms) < 2 * stride or len(times_ms) % stride:
        began = time.perf_counter()
        processor.process(mixture, out)
        times_ms.append(1000 * (time.perf_counter() - began) / chunk)
    slowest = np.percentile(times_ms, 99) if stride == 1 else np.max(times_ms)
    return float(np.median(times_ms)), float(slowest), float(np.mean(times_ms))
