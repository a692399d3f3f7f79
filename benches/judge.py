"""Comparison of the input and the captured output of a soak test: is every sample played once, at the right time?

With all faders at 0 dB the stems sum to the mixture, so the output is the input after a constant delay. The clock
corrector between two streams moves by fractions of a sample; therefore each short window is compared with the input at
the best-fitting shift. A lost or repeated sample is a step of the shift; a gap or another sound leaves a residual.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RATE = 44100
WINDOW = 512
STEP = 0.6
"""Limit in samples of the change of shift between windows: a corrector at its limit, 1000 ppm, moves by 0.5."""
REST = 0.1
"""Limit of the residual, relative to the RMS of the window: one sample of shift leaves 0.25 of the noise below."""
SILENCE = 1e-3
BEFORE = RATE + 2  # samples of input that are kept: longer delays than a second are not searched
SEARCH = RATE // 8
PATIENCE = 16  # wrong windows in a row between two searches
HIGHEST_HZ = 3000
PERIOD = 2**18


def counter() -> NDArray[np.float32]:
    """One period (PERIOD,) of noise that does not repeat within it, so that every position can be recognised."""
    random = np.random.default_rng(11)
    lines = np.exp(2j * np.pi * random.random(PERIOD // 2 + 1))
    hertz = np.arange(PERIOD // 2 + 1) * RATE / PERIOD
    sound = np.fft.irfft(np.where((hertz > 60) & (hertz < HIGHEST_HZ), lines, 0))
    return (0.5 * sound / np.abs(sound).max()).astype(np.float32)


class Judge:
    """Compares output with input as they arrive.

    Attributes:
        judged, silent: samples compared, and those not compared because the input was silent.
        wrong: samples in windows that differ from the input, or are at the wrong time.
        delay: current delay in samples, None until it is found.
        delays: its minimum and maximum.
        faults: position of the first sample of each run of wrong windows.
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
        """Reset the counters, but keep the delay."""
        self.judged = self.silent = self.wrong = 0
        self.delays = (np.inf, -np.inf)
        self.faults.clear()

    def take(self, entered: NDArray[np.float32], left: NDArray[np.float32]) -> None:
        """Compare the next samples (n,) of input and output, which belong to the same time."""
        self._entered = np.concatenate([self._entered, entered])
        self._left = np.concatenate([self._left, left])
        while len(self._left) >= BEFORE + (SEARCH if self.delay is None else WINDOW + 1):
            if self.delay is None:
                self._find()
            else:
                self._window()
                self._forget(WINDOW)

    def _find(self) -> None:
        """Search for the delay of the next output. Output that is not in the input is wrong, once a delay was found."""
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
