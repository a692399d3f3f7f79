"""Feedback loops in made-up time: input and output are the compiled callbacks, with a room between them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtsep.audio.callback.capture import CaptureControl, capture_block
from rtsep.audio.callback.control import CallbackControl
from rtsep.audio.callback.playback import mix_block
from rtsep.player.feedback_guard import FeedbackGuard
from rtsep.shared.state import SharedLayout, SharedState

RATE = 44100
BLOCK = 441
DISTANCE = 5292
LOOK_BLOCKS = 5
ONSET_S = 1.0


class Room:
    """What a microphone hears, played as it comes: `source` (n,) and `loop` times the output of `device_s` ago.

    That time grows by `wander` samples a second, as where a sound server keeps two clocks together.

    Attributes:
        heard: the output, (n,).
        muted_s: when the guard has found a loop for certain.
        gains: all that the guard set.
    """

    def __init__(
        self, source: np.ndarray, gain: float = 1.0, loop: float = 0.0, device_s: float = 0.06, wander: float = 0.0
    ) -> None:
        layout = SharedLayout(("one",))
        shared = SharedState(layout, bytearray(layout.nbytes))
        shared.initialise()
        shared.mixture.restart(1, 0, 0)
        output = CallbackControl(shared)
        capture = CaptureControl(shared, 2, output=output)
        shared.transport.bypass = shared.transport.playing = True
        guard = FeedbackGuard(shared, 1)
        delay = round(device_s * RATE)
        self.heard = np.zeros(len(source) // BLOCK * BLOCK, np.float32)
        self.muted_s: float | None = None
        self.gains = [1.0]
        block = np.zeros((BLOCK, 2), np.float32)
        for begin in range(0, len(self.heard), BLOCK):
            block[:] = source[begin : begin + BLOCK, None]
            late = np.arange(begin - delay, begin - delay + BLOCK) - wander * begin / RATE
            if late[0] >= 0:
                block += loop * np.interp(late, np.arange(begin), self.heard[:begin])[:, None]
            np.clip(block, -1.0, 1.0, out=block)
            capture_block(capture.fields, block, BLOCK)
            if begin == DISTANCE:
                shared.transport.post_behind(DISTANCE, 1, 0)
            mix_block(output.fields, block, BLOCK)
            self.heard[begin : begin + BLOCK] = block[:, 0]
            if begin // BLOCK % LOOK_BLOCKS == 0 and self.muted_s is None:
                if guard.look(DISTANCE, gain):
                    self.muted_s = begin / RATE
                self.gains += [guard.gain] if guard.gain != self.gains[-1] else []
                shared.transport.master = gain * guard.gain if self.muted_s is None else 0.0

    def peak(self, after_s: float) -> float:
        return float(np.abs(self.heard[round(after_s * RATE) :]).max())


def after_a_second(sound: np.ndarray, then_s: float) -> np.ndarray:
    """Silence, the sound, silence."""
    return np.concatenate([np.zeros(round(ONSET_S * RATE)), sound, np.zeros(round(then_s * RATE))])


def tone(seconds: float, level: float = 0.2, hertz: float = 330.0) -> np.ndarray:
    return level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)


def noise(seconds: float, level: float = 0.2) -> np.ndarray:
    return np.random.default_rng(1).uniform(-level, level, round(seconds * RATE))


@pytest.fixture(scope="module")
def mixture(song: Path) -> np.ndarray:
    """Eight seconds of the bundled song."""
    return soundfile.read(song / "mixture.flac", start=10 * RATE, frames=8 * RATE)[0][:, 0]


@pytest.mark.parametrize(
    ("sound", "gain", "device_s"),
    [
        (tone(0.3), 1.19, 0.02),
        (tone(0.3), 1.41, 0.15),
        (tone(0.3), 16.0, 0.06),
        (noise(0.05), 1.19, 0.06),
        (noise(0.05), 1.41, 0.3),
        (noise(0.05), 4.0, 0.02),
    ],
)
def test_a_loop_that_grows_is_muted(sound: np.ndarray, gain: float, device_s: float) -> None:
    room = Room(after_a_second(sound, 2.6), gain, 1.0, device_s)
    assert room.muted_s is not None
    assert room.peak(ONSET_S + 2.5) == 0.0


@pytest.mark.parametrize("gain", [1.41, 4.0])
def test_a_growing_loop_is_silent_after_a_second(gain: float) -> None:
    """The gain of faders at +3 and +12 dB, and a device as fast as most."""
    room = Room(after_a_second(tone(1.0), 0.1), gain, 1.0)
    assert room.peak(ONSET_S + 1.0) == 0.0


@pytest.mark.parametrize(("sound", "loop"), [(tone(0.35), 1.0), (noise(0.05), 1.0), (noise(0.35), -1.0)])
def test_a_loop_of_constant_level_is_muted_too(sound: np.ndarray, loop: float) -> None:
    room = Room(after_a_second(sound, 3.6), 1.0, loop)
    assert room.muted_s is not None
    assert room.peak(ONSET_S + 3.5) == 0.0


def test_a_full_loop_whose_length_wanders_is_muted() -> None:
    """The tone isn't the same from one round to the next; only its level tells."""
    room = Room(after_a_second(tone(0.3), 2.6), 1.41, 1.0, 0.15, wander=60.0)
    assert room.muted_s is not None
    assert room.peak(ONSET_S + 2.5) == 0.0


def test_a_loop_that_dies_away_is_left_alone() -> None:
    room = Room(after_a_second(noise(0.05), 3.0), 0.8, 1.0)
    assert room.gains == [1.0]


def test_a_song_that_feeds_back_is_muted(mixture: np.ndarray) -> None:
    assert Room(mixture, 1.41, 1.0).muted_s is not None


def test_a_song_is_not_touched(mixture: np.ndarray) -> None:
    room = Room(mixture)
    assert room.gains == [1.0]
    played = mixture[DISTANCE + BLOCK : len(room.heard) - DISTANCE + BLOCK]
    np.testing.assert_array_equal(room.heard[2 * DISTANCE :], played)


def test_a_song_that_the_microphone_hears_softly_is_not_touched(mixture: np.ndarray) -> None:
    assert Room(mixture, 1.0, 0.3).gains == [1.0]


def swell(decibels_per_s: float, seconds: float = 4.0) -> np.ndarray:
    level = np.minimum(decibels_per_s * np.arange(round(seconds * RATE)) / RATE - 50.0, -1.0)
    return 10 ** (level / 20) * tone(seconds, 1.0, 440.0)


def drum_machine(period_s: float) -> np.ndarray:
    hits = np.zeros(round(4 * RATE))
    hit = noise(0.08, 0.5) * np.exp(-np.arange(round(0.08 * RATE)) / 800)
    for begin in range(0, len(hits) - len(hit), round(period_s * RATE)):
        hits[begin : begin + len(hit)] += hit
    return hits


def claps() -> np.ndarray:
    random = np.random.default_rng(2)
    clap = noise(0.05, 0.8) * np.exp(-np.arange(round(0.05 * RATE)) / 500)
    return np.concatenate([np.concatenate([clap, np.zeros(random.integers(9000, 22000))]) for _ in range(9)])


@pytest.mark.parametrize(
    "sound",
    [
        pytest.param(after_a_second(tone(4.0), 0.0), id="held tone"),
        pytest.param(after_a_second(tone(4.0, 0.95), 0.0), id="loud held tone"),
        pytest.param(swell(12.0), id="slow crescendo"),
        pytest.param(swell(40.0), id="fast crescendo"),
        pytest.param(drum_machine(0.25), id="drum machine"),
        pytest.param(drum_machine(0.25) * np.linspace(0.02, 1.0, 4 * RATE), id="drum machine, crescendo"),
        pytest.param(claps(), id="claps"),
        pytest.param(after_a_second(noise(1.0, 0.95), 0.0), id="silence, then loud"),
        pytest.param(tone(4.0, 0.4) * (1.0 + 0.4 * tone(4.0, 1.0, 4.0)), id="tremolo"),
    ],
)
def test_a_sound_from_outside_is_never_muted(sound: np.ndarray) -> None:
    for gain in (1.0, 4.0):
        room = Room(sound, gain)
        assert 0.0 not in room.gains, f"muted with a gain of {gain:g}"


@pytest.mark.parametrize("stem", ["bass", "drums"])
def test_a_single_instrument_is_never_muted(song: Path, stem: str) -> None:
    """A bass holds its tones, and sampled drums repeat themselves."""
    sound = 2.0 * soundfile.read(song / f"{stem}.flac", start=2 * RATE, frames=16 * RATE)[0][:, 0]
    assert 0.0 not in Room(sound, 2.0).gains
