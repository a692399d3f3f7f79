"""A song in the rings of a shared state, the compiled callback, and the practice stage, in made-up time."""

from __future__ import annotations

import numpy as np

from rtsep.audio.callback.control import CallbackControl
from rtsep.audio.callback.playback import mix_block
from rtsep.audio.callback.routing import NO_ROUTES, Routes, channels_needed
from rtsep.player.practice.stage import PracticeStage
from rtsep.shared.state import SharedLayout, SharedState
from rtsep.shared.status import PlayHead

RATE = 44100
BLOCK = 512


class PracticeBench:
    """Plays `song` (2, n), whose first stem is all of it and whose second is silence, in blocks of 512.

    Attributes:
        heads: the play head after each block.
    """

    def __init__(self, song: np.ndarray, routes: Routes = NO_ROUTES) -> None:
        layout = SharedLayout(("vocals", "drums"))
        self.shared = SharedState(layout, bytearray(layout.nbytes))
        self.shared.initialise()
        self.samples = np.pad(song, ((0, 2), (0, 20000))).astype(np.float32)
        for ring in (self.shared.mixture, self.shared.stem):
            ring.restart(1, 0, 0)
            ring.write(self.samples[: ring.rows])
        self.shared.mixture.finish(song.shape[1])
        self.shared.transport.post(0, 1, 0)
        self.shared.transport.playing = True
        self.stage = PracticeStage(self.shared)  # not started: its turns are taken between the blocks
        self._channels = channels_needed(routes)
        self.control = CallbackControl(self.shared, self._channels, routes=routes)
        self.heads: list[PlayHead] = []

    def play(self, blocks: int | None = None) -> np.ndarray:
        """What is heard (channels, n) in so many blocks, or to the end."""
        heard = []
        while blocks is None or len(heard) < blocks:
            while self.stage.turn():
                pass
            out = np.zeros((BLOCK, self._channels), np.float32)
            mix_block(self.control.fields, out, BLOCK)
            heard.append(out.T)
            self.heads.append(self.shared.callback.read())
            if blocks is None and self.heads[-1].ended:
                break
        return np.concatenate(heard, axis=1)


def tone(frequency_hz: float, seconds: float) -> np.ndarray:
    """A tone (2, n) of amplitude 0.5."""
    return 0.5 * np.sin(2 * np.pi * frequency_hz * np.arange(round(seconds * RATE)) / RATE) * np.ones((2, 1))


def frequency_hz(signal: np.ndarray) -> float:
    """Of the strongest partial: the peak of a parabola through the logarithms of the highest bins."""
    length = 2**20
    spectrum = np.abs(np.fft.rfft(signal * np.hanning(len(signal)), length))
    peak = int(np.argmax(spectrum))
    below, at, above = np.log(spectrum[peak - 1 : peak + 2])
    return (peak + 0.5 * (below - above) / (below - 2 * at + above)) * RATE / length


def high_passed_dbfs(signal: np.ndarray, cutoff_hz: float = 5000.0) -> float:
    """The loudest sample of `signal` above `cutoff_hz`, in dBFS; its ends are faded, where it begins and stops."""
    place = np.arange(len(signal))
    edges = np.clip(np.minimum(place, place[::-1]) / 2000, 0.0, 1.0)
    spectrum = np.fft.rfft(signal * (0.5 - 0.5 * np.cos(np.pi * edges)))
    spectrum[: round(cutoff_hz * len(signal) / RATE)] = 0.0
    return float(20 * np.log10(np.abs(np.fft.irfft(spectrum, len(signal))).max()))
