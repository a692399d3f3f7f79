"""Speed and key of a whole player: decoder thread, worker process, stage thread, compiled callback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtsep.errors import ArgumentError, UsageError
from rtsep.player.file_player import FilePlayer
from rtsep.shared.state import SharedState
from rtsep.shared.status import Kind
from tests.player.fake_stream import FakeStream
from tests.player.practice.practice_bench import RATE, frequency_hz, tone
from tests.waiting import wait_until


def test_a_song_at_half_speed_in_another_key_from_a_jump_to_its_end(
    tmp_path: Path, constant_bundle: Callable[..., Path]
) -> None:
    path = tmp_path / "song.wav"
    soundfile.write(path, tone(440.0, 6.0).T, RATE, subtype="FLOAT")
    streams: list[FakeStream] = []

    def open_stream(shared: SharedState) -> FakeStream:
        streams.append(FakeStream(shared))
        return streams[0]

    with FilePlayer(path, model=constant_bundle(vocals=0.5, instrumental=0.5), open_stream=open_stream) as player:
        player.open()
        player.play()
        wait_until(lambda: player.position > 4000)
        player.set_speed(0.5)
        player.set_key(3.0)
        wait_until(lambda: player.speed_delay > 0)
        status = player.status()
        assert (status.speed, status.key) == (0.5, 3.0)
        assert 0.02 * RATE < status.latency.practice < 0.6 * RATE
        player.seek(5.0)
        wait_until(lambda: player.ended)
        assert player.position == 6 * RATE
        assert not player.status().messages
    stream = streams[0]
    jumped = next(i for i, position in enumerate(stream.positions) if position >= 5 * RATE)
    played = [i for i in range(jumped, len(stream.kinds)) if stream.kinds[i] == Kind.WET]
    assert len(played) * 512 == pytest.approx(2 * RATE, abs=3 * 512)
    heard = stream.heard[0, (played[0] + 4) * 512 : (played[0] + 80) * 512]
    assert 1200 * np.log2(frequency_hz(heard) / 440.0) == pytest.approx(300.0, abs=1.0)


def test_what_cannot_be_played_is_refused_in_one_line(tmp_path: Path, constant_bundle: Callable[..., Path]) -> None:
    path = tmp_path / "song.wav"
    soundfile.write(path, np.zeros((RATE, 2)), RATE)
    with FilePlayer(path, model=constant_bundle(vocals=1.0), routed=True) as player:
        with pytest.raises(ArgumentError, match=r"speed=0.2: expected 0.25 to 2"):
            player.set_speed(0.2)
        with pytest.raises(ArgumentError, match="key=nan: expected -12 to 12 semitones"):
            player.set_key(float("nan"))
        with pytest.raises(UsageError, match="outlets of their own"):
            player.change_speed(-0.05)
        player.set_speed(1.0)
        player.change_key(0.0)
