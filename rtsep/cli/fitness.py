"""How fast a model computes on this machine, and so how it is played best here."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from rtsep.errors import RtsepError
from rtsep.player.live_latency import MAX_MARGIN_S
from rtsep.recipe import Recipe
from rtsep.separation.backends.choose import computing_devices, stepper_to_measure
from rtsep.separation.backends.stepper import FrameStepper
from rtsep.separation.options import check_context, check_lookahead, find_playable
from rtsep.separation.processor import Processor
from rtsep.timebase import HOP, SAMPLE_RATE

Way = Literal["live", "play", "ahead"]
HOP_MS = 1000 * HOP / SAMPLE_RATE
MEASURE_S = 2.5
"""For each device and chunk size."""
SHARE_FOR_LIVE = 0.7
"""Of a hop's time: what the slowest hundredth may take at one frame a step; where windows are computed, the mean."""


@dataclass(frozen=True)
class Speed:
    """Time of one hop's share of a step; `realtime_factor` is what the median takes of a hop's duration, or the mean
    where windows are computed: then one hop of a stride takes nearly all the time, and `hop_p99_ms` is the longest.

    `way`: compiled, constant, eager or graph, see `rtsep.separation.backends.choose`.
    """

    compute: str
    way: str
    chunk: int
    hop_p50_ms: float
    hop_p99_ms: float
    realtime_factor: float


@dataclass(frozen=True)
class Advice:
    """How the model is played here: `live` (then also by `rtsep play`), `play` (as it plays, from files) or `ahead`.

    Frames and milliseconds are those of its live settings; `window` is None for a network that needs none. The latency
    is that of the standard mode, without what the machine adds, which `longest_step_ms` is most of. None where such a
    network is not played as it computes.
    """

    way: Way
    why: str
    window: int | None = None
    stride: int | None = None
    lookahead: int | None = None
    latency_ms: float | None = None
    longest_step_ms: float | None = None


@dataclass
class Fitness:
    """What was found out about a model. `problem` is what is wrong with the machine for it, and the remedy."""

    model: str
    speed: list[Speed] = field(default_factory=list)
    fastest_compute: str | None = None
    advice: Advice | None = None
    problem: str | None = None


def judge(model: str | None = None) -> Fitness:
    """Measure a model, by name or folder, with its live settings on every device. Without weights it has random ones.

    Raises RtsepError for a model that is not there or cannot be built.
    """
    bundle = find_playable(model)
    recipe, found = bundle.recipe, Fitness(bundle.name)
    if recipe.segments is not None:
        found.advice = Advice("ahead", "it works on whole segments of sound, not on frames")
        return found
    stepper = stepper_to_measure(bundle, "cpu", 1)
    try:
        check_context(stepper.context_frames)
        check_lookahead(stepper.lookahead_frames)
    except RtsepError as error:
        found.advice = Advice("ahead", str(error))
        return found
    window = recipe.live or recipe.window
    stride = window.stride if window else 1
    for compute in computing_devices():
        for chunk in (1, 32) if stride == 1 else (1,):
            if (compute, chunk) != (stepper.compute, stepper.max_chunk):
                stepper = stepper_to_measure(bundle, compute, chunk)
            p50, p99, mean = measure(Processor(stepper, n_fft=recipe.stft.n_fft), chunk, stride)
            factor = (p50 if stride == 1 else mean) / HOP_MS
            found.speed.append(Speed(compute, stepper.way, chunk, round(p50, 2), round(p99, 2), round(factor, 3)))
    fastest = min((speed for speed in found.speed if speed.chunk == 1), key=lambda speed: speed.hop_p99_ms)
    found.fastest_compute = fastest.compute
    if stride == 1 and fastest.hop_p99_ms > SHARE_FOR_LIVE * HOP_MS:
        found.problem = (
            f"too slow for one frame a step: {fastest.hop_p99_ms:.1f} of {HOP_MS:.1f} ms for the slowest; "
            "close other programs, or use --chunk 8 or more"
        )
    found.advice = _advise(recipe, stepper, fastest)
    return found


def _advise(recipe: Recipe, stepper: FrameStepper, speed: Speed) -> Advice:
    """By what was measured on the fastest device."""
    way, most_ms = way_of(speed.realtime_factor, speed.hop_p99_ms), 1000 * MAX_MARGIN_S
    why = {
        "live": "it keeps up with the sound, and no step is too long for rtsep live",
        "play": f"the longest step takes more than {most_ms:.0f} ms, the most that rtsep live can wait for",
        "ahead": f"too slow to be computed while it is heard: real-time factor {speed.realtime_factor}",
    }[way]
    if way == "ahead":
        return Advice(way, why)
    window = recipe.live or recipe.window
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


def way_of(realtime_factor: float, longest_step_ms: float) -> Way:
    """Of a network that looks neither too far back nor too far ahead."""
    if realtime_factor > SHARE_FOR_LIVE:
        return "ahead"
    return "live" if longest_step_ms <= 1000 * MAX_MARGIN_S else "play"


def measure(processor: Processor, chunk: int, stride: int) -> tuple[float, float, float]:
    """Median, 99th percentile and mean of the time that a hop costs, in milliseconds, at `chunk` hops a call; over
    whole strides of hops, two at least. Where windows are computed, the longest instead of the percentile."""
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
