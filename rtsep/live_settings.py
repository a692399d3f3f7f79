"""The latencies at which a model can be played live, and the vocabulary that chooses among them.

`--latency` takes a word or a number. The words name the synthesis window and mean the shortest delay that the network
has. A number is the most milliseconds that the delay may have: the longest setting within it is chosen, since longer
ones separate better.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import ceil

from rtsep.errors import ArgumentError, RtsepError
from rtsep.recipe import Recipe, Window
from rtsep.timebase import HOP, LATENCY_HOPS_SAVED, SAMPLE_RATE, synthesis_support

WORDS = tuple(LATENCY_HOPS_SAVED)


@dataclass(frozen=True)
class LiveSetting:
    """One way to play a model live.

    Attributes:
        mode: of the synthesis: standard, medium or low.
        window: how the network's windows are streamed; None for a network of frames.
        latency_ms: synthesis window and the network's delay, at one frame a step; without margin and device.
    """

    mode: str
    window: Window | None
    latency_ms: float


def live_settings(recipe: Recipe) -> list[LiveSetting]:
    """Every setting, from the shortest delay to the longest: the shorter syntheses come with the shortest windows."""
    windows: list[Window | None] = [*recipe.live_windows] or [None]
    windows.sort(key=lambda window: window.delay_frames if window else 0)

    def setting(mode: str, window: Window | None) -> LiveSetting:
        samples = synthesis_support(mode, recipe.stft.n_fft) + (window.delay_frames * HOP if window else 0)
        return LiveSetting(mode, window, 1000 * samples / SAMPLE_RATE)

    shorter = [setting(mode, windows[0]) for mode in reversed(WORDS[1:])]
    return [*shorter, *(setting("standard", window) for window in windows)]


def choose_live_setting(recipe: Recipe, latency: str) -> LiveSetting:
    """The setting that a word or a number of milliseconds means for a model.

    Raises ArgumentError if `latency` is neither, RtsepError if every setting takes longer.
    """
    settings = live_settings(recipe)
    if check_live_latency(latency) in WORDS:
        return next(setting for setting in settings if setting.mode == latency)
    fitting = [setting for setting in settings if int(setting.latency_ms) <= float(latency)]
    if not fitting:
        raise RtsepError(
            f"{recipe.name} takes at least {settings[0].latency_ms:.0f} ms, got a latency of {latency} ms: "
            f"choose one of {', '.join(f'{setting.latency_ms:.0f}' for setting in settings)}"
        )
    return fitting[-1]


def best_latency(recipe: Recipe) -> str:
    """The `--latency` of the model's best live setting, for what is played from files: no delay is heard there."""
    settings = live_settings(recipe)
    return str(ceil(settings[-1].latency_ms)) if len(recipe.live_windows) > 1 else "standard"


def check_live_latency(latency: str) -> str:
    """`latency` if it is standard, medium, low or a number; ArgumentError otherwise."""
    if latency not in WORDS and re.fullmatch(r"[0-9]{1,5}(\.[0-9]+)?", latency) is None:
        raise ArgumentError("latency", latency, "standard, medium, low or milliseconds, such as 162")
    return latency
