"""The judge of a soak: is every sample that entered heard once, at its place?

All faders at 0 dB the stems sum to the mixture: what leaves is what entered, a constant time later. Two streams keep
step by a corrector, which moves by fractions of a sample; so each short window is compared with what entered, shifted
by as much as fits best. A sample lost or doubled is a step of that shift; a gap, a repetition or another sound leaves
a rest.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RATE = 44100
WINDOW = 512
STEP = 0.6
"""Samples by which the shift may differ from window to window: a corrector at its limit, 1000 ppm, moves by 0.5."""
REST = 0.1
"""Of a window's RMS that may be left over: shifted by one sample, a window of the noise below leaves 0.25."""
SILENCE = 1e-3
BEFORE = RATE + 2  # of what entered is kept: a delay beyond a second is not looked for
SEARCH = RATE // 8
PATIENCE = 16  # wrong windows in a row between two searches
HIGHEST_HZ = 3000
PERIOD = 2**18


def counter() -> NDArray[np.float32]:
    """A period (PERIOD,) of noise that never repeats itself within: every place in it is known by its sound."""
    random = np.random.default_rng(11)
    lines = np.exp(2j * np.pi * random.random(PERIOD // 2 + 1))
    hertz = np.arange(PERIOD // 2 + 1) * RATE / PERIOD
    sound = np.fft.irfft(np.where((hertz > 60) & (hertz < HIGHEST_HZ), lines, 0))
    return (0.5 * sound / np.abs(sound).max()).astype(np.float32)


class Judge:
    """Compares what left with what entered, as it goes.

    Attributes:
        judged, silent: samples compared, and those for which nothing had entered.
        wrong: samples in windows that are not what entered, or not where it was due.
        delay: samples from entry to exit of now, None until they have been found.
        delays: its least and greatest value.
        faults: sample at which each run of wrong windows began, of all that was taken.
    """

    def __init__(self) -> None:
        self.judged = self.silent = self.wrong = 0
        self.delay: float | None = None
        self.delays = (np.inf, -np.inf)
        self.faults: list[int] = []
        self._entered = np.zeros(0, np.float64)
        self._left = np.zeros(0, np.float64)
        self._origin = 0  # place of the first sample of both
        self._wrong_run = 0  # windows in a row
        self._following = False  # the delay is known to fractions of a sample

    def count_from_now(self) -> None:
        """Forget what was judged, not where it stands."""
        self.judged = self.silent = self.wrong = 0
        self.delays = (np.inf, -np.inf)
        self.faults.clear()

    def take(self, entered: NDArray[np.float32], left: NDArray[np.float32]) -> None:
        """Judge some more of the two sounds (n,), which are of one time."""
        self._entered = np.concatenate([self._entered, entered])
        self._left = np.concatenate([self._left, left])
        while len(self._left) >= BEFORE + (SEARCH if self.delay is None else WINDOW + 1):
            if self.delay is None:
                self._find()
            else:
                self._window()
                self._forget(WINDOW)

    def _find(self) -> None:
        """Look for the delay of what left next. What nowhere entered is wrong, once there was a delay at all."""
        part, whole = self._left[BEFORE : BEFORE + SEARCH], self._entered[: BEFORE + SEARCH]
        size = 1 << (len(whole) + len(part)).bit_length()
        match = np.fft.irfft(np.fft.rfft(whole, size) * np.conj(np.fft.rfft(part, size)), size)[2 : BEFORE + 1]
        peak = int(np.argmax(match))
        if match[peak] > 0.5 * np.sum(part**2) > 0:
            self.delay, self._following = float(BEFORE - 2 - peak), False
            return
        if self._wrong_run:
            self.judged += SEARCH
            self.wrong += SEARCH
        self._forget(SEARCH)

    def _window(self) -> None:
        assert self.delay is not None
        at, whole = BEFORE, round(self.delay)
        expected = self._entered[at - whole - 1 : at - whole + WINDOW + 1]
        got, sound = self._left[at : at + WINDOW], expected[1:-1]
        loudness = np.sqrt(np.mean(sound**2))
        if loudness < SILENCE:
            self.silent += WINDOW
            return
        slope = (expected[2:] - expected[:-2]) / 2
        shift = -float(np.sum((got - sound) * slope) / np.sum(slope**2))
        rest = np.sqrt(np.mean((got - sound + shift * slope) ** 2)) / loudness
        step = self._following and abs(whole + shift - self.delay) > STEP
        self.judged += WINDOW
        if rest > REST or step:
            if not self._wrong_run:
                self.faults.append(self._origin + at)
            self.wrong += WINDOW
            self._wrong_run += 1
            if self._wrong_run % PATIENCE == 2:  # more than a click: perhaps it goes on elsewhere
                self.delay = None
            return
        self._wrong_run, self._following = 0, True
        self.delay = whole + shift
        self.delays = (min(self.delays[0], self.delay), max(self.delays[1], self.delay))

    def _forget(self, samples: int) -> None:
        self._entered, self._left = self._entered[samples:], self._left[samples:]
        self._origin += samples
