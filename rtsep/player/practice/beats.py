"""The beats of a song: its tempo tapped by the user, and clicks on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtsep.player.practice.limits import check_tempo
from rtsep.timebase import SAMPLE_RATE

LEAST_TAPS = 4
MOST_TAPS = 32
LONGEST_GAP_S = 3.0
"""A tap that comes later begins a new count, as one after a jump back does."""
BEATS_A_BAR = 4
CLICK_S = 0.02
CLICK_HZ, FIRST_CLICK_HZ = 1000.0, 1500.0
"""Of a beat, and of the first one of a bar."""
CLICK_LEVEL = 0.35


@dataclass(frozen=True)
class Beats:
    """A steady tempo, in beats a minute, and the time of a first beat of a bar, in seconds of the song."""

    tempo_bpm: float
    first_s: float
    beats_a_bar: int = BEATS_A_BAR

    @property
    def beat_s(self) -> float:
        """Seconds from beat to beat."""
        return 60.0 / self.tempo_bpm

    def nearest(self, time_s: float) -> float:
        """The time of the beat nearest to a time."""
        return self.first_s + round((time_s - self.first_s) / self.beat_s) * self.beat_s


class TapTempo:
    """Beats from taps at times of the song."""

    def __init__(self) -> None:
        self._taps_s: list[float] = []

    def tap(self, time_s: float) -> Beats | None:
        """Count a tap; the beats, once there are four: a line fitted to all taps of the count."""
        if self._taps_s and not 0.0 < time_s - self._taps_s[-1] <= LONGEST_GAP_S:
            self._taps_s = []
        self._taps_s = [*self._taps_s[1 - MOST_TAPS :], time_s]
        if len(self._taps_s) < LEAST_TAPS:
            return None
        beat_s, first_s = np.polyfit(np.arange(len(self._taps_s)), self._taps_s, 1)
        return Beats(check_tempo(60.0 / float(beat_s)), float(first_s))


class Clicks:
    """The sound of a metronome."""

    def __init__(self) -> None:
        time_s = np.arange(round(CLICK_S * SAMPLE_RATE)) / SAMPLE_RATE
        fall = CLICK_LEVEL * np.exp(-time_s / (CLICK_S / 5)) * (1.0 - time_s / CLICK_S)
        waves = (np.sin(2 * np.pi * frequency_hz * time_s) for frequency_hz in (CLICK_HZ, FIRST_CLICK_HZ))
        self._plain, self._first = ((fall * wave).astype(np.float32) for wave in waves)

    def add(self, beats: Beats, sample: int, block: NDArray[np.float32]) -> None:
        """Add the clicks that lie in `block` (2, n), whose first sample is `sample` of the song."""
        beat = beats.beat_s * SAMPLE_RATE
        first = beats.first_s * SAMPLE_RATE
        number = int(np.ceil((sample - len(self._plain) - first) / beat))
        while (begin := round(first + number * beat) - sample) < block.shape[1]:
            click = self._first if number % beats.beats_a_bar == 0 else self._plain
            there, end = max(begin, 0), min(begin + len(click), block.shape[1])
            if end > there:
                block[:, there:end] += click[there - begin : end - begin]
            number += 1
