"""Live devices that are lost: which one is reported, and whether the system's default replaces it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtsep.audio.devices.discovery import find_device
from rtsep.audio.streams.live_stream import LiveStream
from rtsep.player.device_keeper import Side
from rtsep.player.live_player import LivePlayer
from rtsep.shared.status import Kind
from tests.listening import RATE, Recorder, excused_by_stalls
from tests.player.test_device_faults import pactl
from tests.virtual_audio import VirtualAudio
from tests.waiting import wait_until

LOST = '{} device "{}" stopped responding; reconnecting'
BACK = 'sound resumed from "{}" to "{}"'
Go = Callable[..., LivePlayer]


@pytest.fixture
def go(
    virtual_audio: VirtualAudio, constant_bundle: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Go]:
    """Maker of live players from a microphone that is there whatever becomes of the loudspeakers."""
    monkeypatch.setattr("rtsep.player.live_player.CALIBRATION_S", 0.5)
    monkeypatch.setattr("rtsep.player.live_player.RECALIBRATION_S", 0.3)
    monkeypatch.setattr("rtsep.player.live_player.STAMPS_LIMIT_S", 0.0)
    monkeypatch.setattr("rtsep.player.live_latency.INPUT_LIMIT_S", 0.5)
    pactl("unload-module", "module-remap-source")
    pactl("load-module", "module-null-source", "source_name=rt_mic", "rate=44100", "max_latency_msec=10")
    made: list[LivePlayer] = []

    def make(output: str, or_default: str) -> LivePlayer:
        made.append(
            LivePlayer(
                lambda shared, input, output: LiveStream(shared, input, output, 441),
                Side(find_device("rt_mic", "input"), "input", or_default == "input"),
                Side(find_device(output), "output", or_default == "output"),
                model=constant_bundle(vocals=0.5, instrumental=0.5),
            )
        )
        made[-1].open()
        wait_until(lambda: made[-1].status().kind == Kind.WET)
        return made[-1]

    yield make
    for player in made:
        player.close()
    virtual_audio.restart()


def lines(player: LivePlayer) -> list[str]:
    """What was told of devices, without the times; a margin may grow meanwhile."""
    return [line.partition(" (at ")[0] for line in player.status().notices if " (at " in line]


@excused_by_stalls
def test_a_cable_from_output_to_input_is_silent_a_second_after_the_sound_grows(
    virtual_audio: VirtualAudio, constant_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    """Nothing in the names tells of the cable. A beep goes round at +3 dB."""
    soundfile.write(tmp_path / "beep.wav", 0.2 * np.sin(2 * np.pi * 330 * np.arange(RATE // 3) / RATE), RATE)
    pactl("load-module", "module-loopback", "source=rt_out.monitor", "sink=rt_mic_feed", "latency_msec=20")
    try:
        with LivePlayer(
            lambda shared, input, output: LiveStream(shared, input, output, 256),
            Side(find_device("rt_mic", "input"), "input"),
            Side(find_device("rt_out"), "output"),
            model=constant_bundle(vocals=0.5, instrumental=0.5),
        ) as player:
            for stem in player.stems:
                player.set_gain(stem, 3.0)
            player.open()
            recorder = Recorder(virtual_audio, tmp_path / "capture.raw")
            subprocess.run(["paplay", "--device=rt_mic_feed", str(tmp_path / "beep.wav")], check=True, timeout=20)
            wait_until(lambda: not player.status().playing)
            time.sleep(1.0)
            heard = np.abs(recorder.stop()[0])
            assert any("feedback loop" in notice for notice in player.status().notices)
    finally:
        pactl("unload-module", "module-loopback")
    grown = int(np.flatnonzero(heard > 0.25)[0])  # louder than the beep
    assert not heard[grown + RATE :].any()


@pytest.mark.parametrize("asked_for", [True, False])
def test_an_output_that_is_removed(go: Go, asked_for: bool) -> None:
    player = go("rt_out", or_default="" if asked_for else "output")
    pactl("unload-module", "module-null-sink")  # all of them, or the server would move the stream to another
    wait_until(lambda: lines(player) == [LOST.format("output", "rt_out")])
    pactl("load-module", "module-null-sink", "sink_name=spare", "norewinds=1")
    if asked_for:
        time.sleep(1.5)
        assert len(lines(player)) == 1
        pactl("load-module", "module-null-sink", "sink_name=rt_out", "norewinds=1")
    back_s = wait_until(lambda: len(lines(player)) == 2)
    assert back_s <= 3.0
    assert lines(player)[1] == BACK.format("rt_mic", "rt_out" if asked_for else "default")
    wait_until(lambda: player.status().kind == Kind.WET)
    playing = subprocess.run(["pactl", "list", "sink-inputs"], capture_output=True, text=True, timeout=10).stdout
    assert playing.count("Sink Input #") == 1


@pytest.mark.parametrize("output", ["rt_out", "default"])
def test_an_input_that_stops_is_replaced_unless_the_replacement_would_pick_up_the_output(go: Go, output: str) -> None:
    """The system's default input and output are one device to PortAudio, whose loudspeakers it may hear."""
    pactl("load-module", "module-null-source", "source_name=spare_mic", "rate=44100", "max_latency_msec=10")
    pactl("set-default-source", "spare_mic")
    player = go(output, or_default="input")
    pactl("suspend-source", "rt_mic", "1")
    wait_until(lambda: lines(player)[:1] == [LOST.format("input", "rt_mic")])
    if output == "rt_out":
        wait_until(lambda: lines(player)[1:] == [BACK.format("default", "rt_out")])
    else:
        time.sleep(4.0)  # several tries
        assert lines(player)[1:] == ['"default" would pick up "default" and cause feedback; looking for another device']
        pactl("suspend-source", "rt_mic", "0")
        wait_until(lambda: lines(player)[2:] == [BACK.format("rt_mic", "default")])
    wait_until(lambda: player.status().kind == Kind.WET)
