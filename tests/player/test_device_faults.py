"""Audio servers that die and devices that go away: the play head stands still, and the sound comes back by itself."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from rtsep.audio.callback.routing import Outlet
from rtsep.audio.devices.discovery import Device, find_device, load_sounddevice
from rtsep.audio.streams.device_stream import OutputStream
from rtsep.errors import RtsepError
from rtsep.player.device_keeper import OutputKeeper, Side
from rtsep.shared.state import SharedLayout, SharedState
from rtsep.timebase import FADE
from tests.listening import RATE, Heard, Recorder, click_db, tone_and_noise
from tests.virtual_audio import VirtualAudio
from tests.waiting import wait_until

LOST = 'output device "{}" stopped responding; reconnecting'
BACK = 'sound resumed to "{}"'
SONG = tone_and_noise(0, 2**19)


class Kept:
    """A shared state with twelve seconds of the test song, played through a keeper; `lines` is what the user is
    told."""

    def __init__(self, device: Device, or_default: bool) -> None:
        self.lines: list[str] = []
        self.hidden = False
        self.routes: dict[str, Outlet] = {}
        self.shared = SharedState.create(SharedLayout(("one", "two")))
        self.shared.mixture.restart(1, 0, 0)
        self.shared.mixture.write(SONG)
        self.shared.transport.post(0, 1, 0)
        self.shared.transport.playing = True
        self.keeper = OutputKeeper(
            self.shared,
            Side(device, "output", or_default),
            self._open_on,
            self.lines.append,
        )
        self.keeper.start()

    def _open_on(self, device: Device) -> OutputStream:
        if self.hidden:
            raise RtsepError("the test is not ready for it")
        return OutputStream(self.shared, device.index, latency=0.1, routes=self.routes)

    @property
    def position(self) -> int:
        return self.shared.callback.position

    def close(self) -> None:
        self.keeper.stop()
        self.keeper.close()
        self.shared.close()


@pytest.fixture
def keep(virtual_audio: VirtualAudio) -> Iterator[Callable[..., Kept]]:
    """Maker of keepers; whatever became of the server, it is as it was when the test ends."""
    made: list[Kept] = []

    def make(device: str, or_default: bool = False) -> Kept:
        made.append(Kept(find_device(device), or_default))
        wait_until(lambda: made[-1].position > RATE // 2)
        return made[-1]

    yield make
    for kept in made:
        kept.close()
    virtual_audio.restart()


def pactl(*arguments: str) -> None:
    subprocess.run(["pactl", *arguments], check=True, capture_output=True, timeout=10)


def test_a_server_that_dies_and_returns(keep: Callable[..., Kept], virtual_audio: VirtualAudio) -> None:
    kept = keep("rt_out")
    virtual_audio.kill()
    lost_s = wait_until(lambda: bool(kept.lines))
    stands = kept.position
    time.sleep(1.5)
    assert kept.lines == [LOST.format("rt_out")]
    assert kept.position == stands
    began = time.monotonic()
    virtual_audio.restart()
    wait_until(lambda: len(kept.lines) == 2)
    back_s = time.monotonic() - began
    assert kept.lines[1:] == [BACK.format("rt_out")]
    print(f"told {lost_s:.2f} s after the server died, sound {back_s:.2f} s after it was started again")
    assert lost_s < 2.0
    assert back_s <= 3.0
    wait_until(lambda: kept.position > stands + RATE)
    assert len(kept.lines) == 2


def test_the_first_sample_after_a_loss_is_the_next_one(
    keep: Callable[..., Kept], virtual_audio: VirtualAudio, tmp_path: Path
) -> None:
    kept = keep("rt_out")
    kept.hidden = True
    virtual_audio.kill()
    wait_until(lambda: bool(kept.lines))
    stands = kept.position
    virtual_audio.restart()
    recorder = Recorder(virtual_audio, tmp_path / "capture.raw")
    kept.hidden = False
    wait_until(lambda: kept.position > stands + 2 * RATE)
    capture = recorder.stop()
    first = int(np.flatnonzero(capture[1])[0])
    heard = Heard(capture[:, first + FADE :])
    heard.assert_one_song_without_a_gap(1.0)
    assert click_db(capture[0]) < -40
    assert heard.place == stands + FADE


@pytest.mark.parametrize("asked_for", [True, False])
def test_a_device_that_is_removed(keep: Callable[..., Kept], asked_for: bool) -> None:
    kept = keep("rt_out", or_default=not asked_for)
    pactl("unload-module", "module-null-sink")  # all of them, or the server would move the stream to another
    wait_until(lambda: bool(kept.lines))
    stands = kept.position
    pactl("load-module", "module-null-sink", "sink_name=spare", "norewinds=1")
    time.sleep(1.5)
    if asked_for:
        assert kept.position == stands
        pactl("load-module", "module-null-sink", "sink_name=rt_out", "norewinds=1")
    back_s = wait_until(lambda: len(kept.lines) == 2)
    assert back_s <= 3.0
    assert kept.lines == [LOST.format("rt_out"), BACK.format("rt_out" if asked_for else "default")]
    assert stands <= kept.position


def test_another_device_that_has_too_few_channels_is_told_once(
    keep: Callable[..., Kept], monkeypatch: pytest.MonkeyPatch
) -> None:
    sounddevice = load_sounddevice()
    ask = sounddevice.query_devices
    # ALSA's plug claims as many channels as it can convert.
    stereo = {"max_output_channels": 2}
    monkeypatch.setattr(sounddevice, "query_devices", lambda *a, **k: ask(*a, **k) | stereo if a or k else ask())
    kept = keep("rt_out", or_default=True)
    kept.routes = {"one": Outlet(2, 3)}
    pactl("unload-module", "module-null-sink")
    wait_until(lambda: bool(kept.lines))
    pactl("load-module", "module-null-sink", "sink_name=spare", "norewinds=1")
    wait_until(lambda: len(kept.lines) == 2)
    time.sleep(2.5)  # tries
    assert kept.lines == [LOST.format("rt_out"), 'cannot send one to channels 3-4: "default" has 2 channels']
    kept.routes = {}
    wait_until(lambda: kept.lines[2:] == [BACK.format("default")])


def test_a_stream_that_was_given_up_moves_nothing_any_more(keep: Callable[..., Kept]) -> None:
    kept = keep("rt_out")
    stream = kept.keeper._stream
    assert isinstance(stream, OutputStream)
    stream._control.disable()
    lost_s = wait_until(lambda: len(kept.lines) == 2)
    assert lost_s < 2.0
    assert kept.lines == [LOST.format("rt_out"), BACK.format("rt_out")]
