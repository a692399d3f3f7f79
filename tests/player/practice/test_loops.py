"""Loops by time and by name, their joint, and the speed that grows with each round."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtsep.errors import UsageError
from rtsep.player.file_player import FilePlayer
from rtsep.shared.state import SharedState
from rtsep.shared.status import Kind
from tests.player.fake_stream import FakeStream
from tests.player.practice.practice_bench import RATE, high_passed_dbfs, tone
from tests.waiting import wait_until


@pytest.fixture
def opened(tmp_path: Path, constant_bundle: Callable[..., Path]) -> Iterator[tuple[FilePlayer, FakeStream]]:
    """A tone of four seconds, opened and paused, at twice the speed of time."""
    path = tmp_path / "song.wav"
    soundfile.write(path, tone(220.0, 4.0).T, RATE, subtype="FLOAT")
    streams: list[FakeStream] = []

    def open_stream(shared: SharedState) -> FakeStream:
        streams.append(FakeStream(shared, speed=2.0))
        return streams[0]

    with FilePlayer(path, model=constant_bundle(vocals=0.5, instrumental=0.5), open_stream=open_stream) as player:
        player.open()
        wait_until(lambda: len(streams[0].positions) > 0)
        yield player, streams[0]


def test_a_loop_set_by_times_turns_to_the_sample_without_a_click_and_faster_each_time(
    opened: tuple[FilePlayer, FakeStream],
) -> None:
    player, stream = opened
    player.play()
    player.set_loop(1.0, 1.5037)
    assert player.loop_s == (1.0, pytest.approx(1.5037, abs=1e-4))
    wait_until(lambda: stream.kinds[-1] == Kind.WET and stream.positions[-1] > RATE + 4000)
    first = len(stream.positions)
    wait_until(lambda: stream.positions[-1] > 3 * RATE)  # positions of the stream go on, round after round
    assert 1.0 * RATE <= player.position <= 1.51 * RATE
    rounds = {player.source.piece(player.epoch, p).begin for p in stream.positions[-40:]}  # type: ignore[union-attr]
    length = round(1.5037 * RATE) - RATE
    assert all((begin - RATE) % length == 0 for begin in rounds if begin >= RATE)
    signal = stream.heard[0, first * 512 :]
    assert high_passed_dbfs(signal) < -40.0
    assert np.sqrt(np.mean(signal[2000:-2000].reshape(-1)[: 512 * 50].reshape(-1, 512) ** 2, axis=1)).min() > 0.2
    player.set_loop_speed_up(0.05)
    wait_until(lambda: player.speed >= 1.1)
    player.set_loop_speed_up(0.0)
    player.clear_loop()
    assert player.loop_s is None


def test_a_stem_is_muted_in_its_range_only_and_bars_are_looped(opened: tuple[FilePlayer, FakeStream]) -> None:
    player, _ = opened
    player.mute_range("vocals", 1.0, 2.0)
    gains = []
    for position_s in (0.5, 1.5, 2.5):
        player.seek(position_s)
        wait_until(lambda at=position_s: player.linear_gain(0) == (0.0 if 1.0 <= at < 2.0 else 1.0))
        gains.append((player.linear_gain(0), player.linear_gain(1)))
    assert gains == [(1.0, 1.0), (0.0, 1.0), (1.0, 1.0)]
    with pytest.raises(UsageError, match="tempo is not known yet"):
        player.loop_bars(1)
    with pytest.raises(UsageError, match="tempo is not known yet"):
        player.toggle_metronome()
    player.set_tempo(240.0, 0.1)
    player.loop_bars(1)
    assert player.loop_s == (pytest.approx(2.6, abs=1e-4), pytest.approx(3.6, abs=1e-4))
    player.toggle_metronome()
    assert player.status().metronome
    player.play()
    wait_until(lambda: player.speed_delay > 0)
    player.toggle_metronome()
    assert not player.status().messages


def test_loops_have_names_and_come_back_by_them(opened: tuple[FilePlayer, FakeStream]) -> None:
    player, _ = opened
    with pytest.raises(UsageError, match="no loop to save"):
        player.save_loop("verse")
    player.set_loop(0.5, 2.0)
    player.save_loop("verse")
    player.set_loop(2.0, 100.0)
    assert player.loop_s == (2.0, 4.0)
    player.save_loop("end")
    player.use_loop("verse")
    assert player.loop_s == (0.5, 2.0)
    assert player.position == RATE // 2
    player.remove_loop("end")
    assert [loop.name for loop in player.loops] == ["verse"]
    with pytest.raises(UsageError, match='no loop "end" of song.wav; there are verse'):
        player.use_loop("end")
    with pytest.raises(UsageError, match="loop 1 to 1.05 s: expected at least 0.1 s"):
        player.set_loop(1.0, 1.05)
    with pytest.raises(UsageError, match="printable"):
        player.save_loop("a\nb")
