"""The judge of what is heard: records the virtual speakers, finds the place in the song, hears clicks and gaps.

And a judge of the machine, which may stand still by itself and a virtual sound card with it.
"""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec

import numpy as np
from scipy.signal import butter, correlate, sosfilt

from benches.stalls import Stalls
from rtsep.timebase import FADE
from tests.virtual_audio import FOUR_CHANNELS, VirtualAudio

RATE = 44100
TONE_HZ = 220
PERIOD = 2**18
"""The test song repeats itself after so many samples; a place in it is known modulo this."""
NOISE = np.random.default_rng(11).uniform(-0.2, 0.2, PERIOD)
WINDOW = 64
TRIES = 3
Given = ParamSpec("Given")


def excused_by_stalls(test: Callable[Given, None]) -> Callable[Given, None]:
    """Let a test that listens fail only when the machine ran, or else three times.

    A virtual machine takes the processor from everybody for tens of milliseconds now and then; its virtual sound card
    then loses sound, which no player can save. Nothing is excused where nobody may watch for it.
    """

    @functools.wraps(test)
    def tried(*args: Given.args, **kwargs: Given.kwargs) -> None:
        for left in reversed(range(TRIES)):
            stalls = Stalls()
            try:
                with stalls:
                    test(*args, **kwargs)
                return
            except AssertionError:
                if not left or not stalls.seen:
                    raise

    return tried


class Recorder:
    """Records what virtual speakers play, with the sound server's own program."""

    def __init__(self, server: VirtualAudio, path: Path, sink: str = "rt_out") -> None:
        self.path = path
        self._channels = 4 if sink == "rt_four" else 2
        names = ",".join(FOUR_CHANNELS.split(",")[: self._channels])
        with path.open("wb") as file:
            self._process = subprocess.Popen(
                ["parec", "-d", f"{sink}.monitor", "--raw", "--format=float32le", f"--rate={RATE}"]
                + [f"--channels={self._channels}", f"--channel-map={names}"],
                stdout=file,
                env=os.environ | server.environment,
            )
        deadline = time.monotonic() + 10
        while path.stat().st_size < 4 * 2 * RATE // 2:  # the first quarter of a second can be stale
            assert time.monotonic() < deadline, "the recorder hears nothing"
            time.sleep(0.02)

    def stop(self) -> np.ndarray:
        """End it; returns all it has heard, (channels, n)."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(timeout=10)
        raw = np.fromfile(self.path, "<f4")
        return raw[: len(raw) // self._channels * self._channels].reshape(-1, self._channels).T


def place_of(needle: np.ndarray, hay: np.ndarray) -> int:
    """Where `needle` lies in `hay` with the least squared error (music repeats itself, and louder)."""
    energy = np.concatenate([[0.0], np.cumsum(hay.astype(float) ** 2)])
    matches = correlate(hay.astype(float), needle.astype(float), mode="valid", method="fft")
    return int(np.argmin(energy[len(needle) :] - energy[: -len(needle)] - 2 * matches))


def tone_and_noise(begin: int, samples: int) -> np.ndarray:
    """(2, n) of an endless song: left a tone of 220 Hz at -12 dBFS, for clicks; right noise, which tells the place."""
    at = np.arange(begin, begin + samples)
    tone = 10 ** (-12 / 20) * np.sin(2 * np.pi * TONE_HZ * (at % RATE) / RATE)
    return np.stack([tone, NOISE[at % PERIOD]]).astype(np.float32)


def click_db(heard: np.ndarray) -> float:
    """Loudest sample above 5 kHz, in dBFS; the filter's own beginning left out."""
    above = sosfilt(butter(8, 5000, "highpass", fs=RATE, output="sos"), heard.astype(float))
    return 20 * float(np.log10(max(np.abs(above[2048:]).max(), 1e-9)))


class Heard:
    """A capture of the test song, compared with it window by window.

    Attributes:
        place: of the first sample, modulo PERIOD, as its last second tells.
        gains: what each window of 64 samples was multiplied with.
        errors: what is left of each, relative to the song.
    """

    def __init__(self, capture: np.ndarray) -> None:
        self.capture = capture[:, : capture.shape[1] // WINDOW * WINDOW]
        samples = self.capture.shape[1]
        last = place_of(2 * self.capture[1, -RATE // 2 :], tone_and_noise(0, PERIOD + RATE)[1]) % PERIOD
        self.place = (last - (samples - RATE // 2)) % PERIOD
        song = tone_and_noise(self.place, samples)[1].reshape(-1, WINDOW).astype(float)
        got = self.capture[1].reshape(-1, WINDOW).astype(float)
        self.gains = np.sum(got * song, axis=1) / np.sum(song**2, axis=1)
        rest = got - self.gains[:, None] * song
        self.errors = np.sqrt(np.sum(rest**2, axis=1) / np.sum(song**2, axis=1))

    def share(self, gain: float) -> float:
        """How much of it was heard with this gain."""
        return float(np.mean(np.abs(self.gains - gain) < 0.01))

    def assert_one_song_without_a_gap(self, *gains: float) -> int:
        """Every sample is there, once, at its place, with one of the gains or on its way; returns the changes of gain.

        A fade of 64 samples touches two windows.
        """
        index = np.argmin(np.abs(self.gains[:, None] - np.array(gains)), axis=1)
        changes = int(np.sum(np.diff(index) != 0))
        settled = np.min(np.abs(self.gains[:, None] - np.array(gains)), axis=1) < 0.01
        odd = np.flatnonzero((self.gains < min(gains) - 0.02) | (self.gains > max(gains) + 0.02))
        assert not len(odd), f"another gain, or a gap, at {odd[0] * WINDOW / RATE:.3f} s: {self.gains[odd[0]]:.3f}"
        assert np.sum(~settled | (self.errors > 1e-3)) <= 2 * FADE // WINDOW * changes, "another place in the song"
        return changes
