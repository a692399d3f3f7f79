"""The whole path but the device: decoder thread, worker process, compiled callback, and a clock that calls
it."""

from __future__ import annotations

import gc
import os
import signal
import time
from collections.abc import Callable, Iterator
from math import ceil
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile

from rtsep.engine.latency import algorithmic_latency
from rtsep.errors import RtsepError, UsageError
from rtsep.player.file_player import FilePlayer
from rtsep.player.meters import Levels
from rtsep.shared.state import SharedState
from rtsep.shared.status import Kind
from tests.player.fake_stream import FakeStream
from tests.waiting import wait_until

RATE = 44100
SECONDS = 20
SCALE = 2.0**20


@pytest.fixture(scope="module")
def ramp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A song whose every sample tells its own position: left p / 2^20, right minus that."""
    positions = np.arange(SECONDS * RATE + 123) / SCALE
    path = tmp_path_factory.mktemp("song") / "ramp.wav"
    soundfile.write(path, np.stack([positions, -positions], axis=1).astype(np.float32), RATE, subtype="FLOAT")
    return path


class ManualPlayback:
    """A player with a fake stream; `stream` is the last one opened."""

    def __init__(self, path: Path, model: Path, **options: object) -> None:
        self.block = int(options.pop("block", 512))  # type: ignore[call-overload]
        self.speed = float(options.pop("speed", 1.0))  # type: ignore[arg-type]
        self.stream: FakeStream
        self.player = FilePlayer(path, model=model, open_stream=self._open, **options)  # type: ignore[arg-type]

    def _open(self, shared: SharedState) -> FakeStream:
        self.stream = FakeStream(shared, self.block, self.speed)
        return self.stream


@pytest.fixture
def manual_playback(ramp: Path, constant_bundle: Callable[..., Path]) -> Iterator[Callable[..., ManualPlayback]]:
    """Maker of opened players, closed when the test ends."""
    made: list[ManualPlayback] = []

    def make(path: Path = ramp, model: Path | None = None, **options: object) -> ManualPlayback:
        hand = ManualPlayback(path, model or constant_bundle(vocals=0.5, instrumental=0.5), **options)
        made.append(hand)
        hand.player.open()
        return hand

    yield make
    for hand in made:
        hand.player.close()


@pytest.mark.parametrize("block", [256, 1024])
def test_a_song_is_heard_from_the_first_sample_to_the_last(
    manual_playback: Callable[..., ManualPlayback], ramp: Path, block: int
) -> None:
    hand = manual_playback(block=block, speed=6.0)
    hand.player.set_gain("vocals", float("-inf"))
    blocks = len(hand.stream.kinds)
    wait_until(lambda: len(hand.stream.kinds) > blocks + 2)  # the fader has arrived
    hand.player.play()
    wait_until(lambda: hand.player.ended)
    hand.player.close()
    heard = hand.stream.heard
    first = int(np.flatnonzero(heard[0])[0])
    expected = 0.5 * soundfile.read(ramp, dtype="float32")[0].T
    begin = first - first % block  # the first block that plays
    got = heard[:, begin : begin + expected.shape[1]]
    assert np.abs(got - expected)[:, 64:].max() < 1e-6  # 64 samples fade in
    assert set(hand.stream.kinds) <= {Kind.SILENT, Kind.WET}
    assert not heard[:, begin + expected.shape[1] + 64 :].any()
    status = hand.player.source.songs[0].length
    assert status == expected.shape[1]


def test_seeks_land_on_the_sample_and_nothing_old_is_heard(manual_playback: Callable[..., ManualPlayback]) -> None:
    hand = manual_playback(chunk=4)
    hand.player.set_gain("instrumental", float("-inf"))
    hand.player.play()
    wait_until(lambda: len(hand.stream.kinds) > 20)
    for target_s in (7.3, 0.01, 11.0, 3.0):
        target = round(target_s * RATE)
        before = len(hand.stream.kinds)
        asked = time.monotonic()
        hand.player.seek(target_s)
        wait_until(lambda target=target: hand.player.position > target + 4000)
        assert time.monotonic() - asked < 1.0
        count = len(hand.stream.kinds)
        heard = hand.stream.heard[0, before * 512 : count * 512]
        landed = (target + 1, target + 512)
        back = next(i for i in range(before, count) if landed[0] <= hand.stream.positions[i] <= landed[1])
        assert hand.stream.kinds[back] == Kind.WET
        positions = heard[(back - before) * 512 + 64 :] * 2 * SCALE
        expected = np.arange(target + 64, target + 64 + len(positions))
        assert np.abs(positions - expected).max() < 3  # a millionth of the scale: every sample is its own
        waiting = [i for i in range(before, back) if hand.stream.kinds[i] == Kind.WAITING]
        for i in waiting[1:]:
            assert not heard[(i - before) * 512 : (i - before + 1) * 512].any()
        assert hand.stream.kinds[-1] == Kind.WET
    assert Kind.DRY not in hand.stream.kinds


def test_hammering_on_the_arrow_keys_adds_up(manual_playback: Callable[..., ManualPlayback]) -> None:
    hand = manual_playback()
    hand.player.play()
    wait_until(lambda: hand.player.position > 2000)
    for _ in range(4):
        hand.player.nudge(2.0)
    assert 8.0 < hand.player.position / RATE < 9.0
    for _ in range(20):
        hand.player.nudge(-5.0)
    assert hand.player.position == 0
    wait_until(lambda: hand.player.position > 1000)
    hand.player.nudge(1000.0)
    wait_until(lambda: hand.player.ended)
    hand.player.seek(1.0)
    wait_until(lambda: not hand.player.ended and hand.player.position > RATE + 1000)
    assert hand.stream.kinds[-1] == Kind.WET


def test_pause_stands_still_in_silence(manual_playback: Callable[..., ManualPlayback]) -> None:
    hand = manual_playback()
    hand.player.play()
    wait_until(lambda: hand.player.position > 5000)
    hand.player.toggle_pause()
    time.sleep(0.1)
    position, count = hand.player.position, len(hand.stream.kinds)
    time.sleep(0.2)
    assert hand.player.position == position
    assert not hand.stream.heard[:, count * 512 :].any()
    hand.player.toggle_pause()
    wait_until(lambda: hand.player.position > position + 5000)


def test_faders_mutes_solo_and_bypass(
    manual_playback: Callable[..., ManualPlayback], constant_bundle: Callable[..., Path]
) -> None:
    hand = manual_playback(model=constant_bundle(vocals=0.25, instrumental=0.75))
    player, transport = hand.player, hand.player.shared.transport

    def gains() -> list[float]:
        return [transport.gain(0), transport.gain(1)]

    player.set_gain("vocals", -6.0)
    assert gains() == pytest.approx([10 ** (-0.3), 1.0])
    player.toggle_mute(1)
    assert gains() == pytest.approx([10 ** (-0.3), 0.0])
    player.toggle_solo(1)
    assert gains() == [0.0, 1.0]  # alone, and muted no longer
    player.toggle_solo(0)
    assert gains() == pytest.approx([10 ** (-0.3), 0.0])
    player.toggle_solo(0)
    assert gains() == pytest.approx([10 ** (-0.3), 1.0])
    player.set_gain("vocals", float("-inf"))
    player.toggle_solo(0)  # alone and at the very bottom would be silence
    assert gains() == [1.0, 0.0]
    player.toggle_solo(0)
    assert gains() == [1.0, 1.0]
    player.set_gain("vocals", float("-inf"))
    player.toggle_mute(0)  # the key that mutes also brings back what began silent
    assert gains() == [1.0, 1.0]
    player.toggle_mute(0)
    player.all_on()
    assert gains() == [1.0, 1.0]
    for _ in range(100):
        player.change_gain(0, -1.0)
    assert gains()[0] == 0.0
    for _ in range(100):
        player.change_gain(0, 1.0)
    assert gains()[0] == pytest.approx(10 ** (12 / 20))
    with pytest.raises(UsageError, match="vocals, instrumental"):
        player.set_gain("banjo", 0.0)
    player.change_volume(-6.0)
    assert transport.master == pytest.approx(10 ** (-0.3))
    player.set_gain("vocals", float("-inf"))
    player.set_volume(0.0)
    player.play()
    wait_until(lambda: player.position > 2 * RATE)
    assert player.status().levels[0] == Levels(-100.0, -100.0)
    wet = hand.stream.heard[0, -512:].mean() * SCALE / player.position
    player.toggle_bypass()
    time.sleep(0.1)
    dry = hand.stream.heard[0, -512:].mean() * SCALE / player.position
    assert (wet, dry) == pytest.approx((0.75, 1.0), abs=0.03)
    assert player.status().bypass
    assert player.status().bypass_s > 0.05


def test_levels_are_those_of_what_is_heard(tmp_path: Path, manual_playback: Callable[..., ManualPlayback]) -> None:
    path = tmp_path / "tone.wav"
    tone = np.sin(2 * np.pi * 441 * np.arange(4 * RATE) / RATE)
    soundfile.write(path, np.stack([tone, tone], axis=1), RATE, subtype="FLOAT")
    hand = manual_playback(path)
    hand.player.set_gain("vocals", -20.0)
    hand.player.play()
    wait_until(lambda: hand.player.position > RATE)
    status = hand.player.status()
    assert [stem.rms_db for stem in status.levels] == pytest.approx([-29.0, -9.0], abs=0.3)  # half a sine: -6 - 3 dB
    assert [stem.peak_db for stem in status.levels] == pytest.approx([-26.0, -6.0], abs=0.3)
    assert status.output.peak_db == pytest.approx(20 * np.log10(0.5 * 1.1), abs=0.3)
    assert (status.playing, status.ended, status.length_s) == (True, False, 4.0)
    assert status.latency.algorithmic == algorithmic_latency(1, 512)  # live, an automatic chunk is one frame
    assert status.engine.compute_p99_ms > 0
    assert status.latency.margin == ceil((status.engine.compute_p99_ms / 1000 + 0.010) * 44100)


def test_a_killed_worker_comes_back_and_the_song_goes_on(
    manual_playback: Callable[..., ManualPlayback], ramp: Path
) -> None:
    """Separated at half, dry at full: every sample heard is one or the other, at the right position."""
    hand = manual_playback(chunk=4)
    hand.player.set_gain("instrumental", float("-inf"))
    hand.player.play()
    wait_until(lambda: hand.player.position > RATE)
    pid = hand.player.engine.worker_pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    killed = time.monotonic()
    wait_until(lambda: hand.player.engine.worker_pid not in (None, pid))
    assert time.monotonic() - killed < 1.0
    end = hand.player.shared.stem.end
    wait_until(lambda: hand.player.position > end + RATE and hand.stream.kinds[-1] == Kind.WET, limit_s=20)
    status = hand.player.status()
    assert status.engine.restarts == 1
    count = len(hand.stream.kinds)
    first = next(i for i, kind in enumerate(hand.stream.kinds) if kind == Kind.WET)
    heard = hand.stream.heard[0, first * 512 : count * 512]
    kinds = np.repeat(np.array([int(kind) for kind in hand.stream.kinds[first:count]]), 512)
    whole = np.arange(len(heard)) / SCALE
    steady = np.repeat(np.diff(kinds[::512], prepend=-1) == 0, 512)  # blocks without a cross-fade
    factor = np.where(kinds == int(Kind.WET), 0.5, 1.0)
    assert np.abs(heard - factor * whole)[steady].max() < 1e-5


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts descriptors in /proc")
def test_closing_leaves_no_process_and_no_descriptor(ramp: Path, constant_bundle: Callable[..., Path]) -> None:
    def fail_in_the_middle() -> None:
        with FilePlayer(ramp, model=constant_bundle()) as player:
            players.append(player)
            player.open()
            pids.append(player.engine.worker_pid)
            raise ZeroDivisionError

    players: list[FilePlayer] = []
    pids: list[int | None] = []
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(ZeroDivisionError):
        fail_in_the_middle()
    assert pids[0] is not None
    assert not psutil.pid_exists(pids[0])
    players.pop().close()  # twice is once
    gc.collect()  # the shared state's memory goes with the last array over it
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


@pytest.mark.parametrize("harm", ["truncated", "deleted"])
def test_a_file_that_is_harmed_while_it_plays_is_played_as_far_as_it_goes(
    harm: str, tmp_path: Path, manual_playback: Callable[..., ManualPlayback]
) -> None:
    path = tmp_path / "harmed.wav"
    positions = np.arange(20 * RATE) / SCALE
    soundfile.write(path, np.stack([positions, -positions], axis=1).astype(np.float32), RATE, subtype="FLOAT")
    hand = manual_playback(path, speed=8.0)
    if harm == "truncated":
        os.truncate(path, path.stat().st_size // 2 // 8192 * 8192)
    else:
        path.unlink()
    hand.player.play()
    wait_until(lambda: hand.player.ended, limit_s=30)
    status = hand.player.status()
    assert status.dry_s == 0
    heard = hand.stream.heard[0]
    if harm == "truncated":
        (message,) = status.messages
        assert "harmed.wav" in message
        assert "\n" not in message
        assert 9.9 < status.position_s < 10.1
        assert heard.max() == pytest.approx(status.position_s * RATE / SCALE, rel=1e-3)
    else:
        assert status.messages == ()
        assert status.position_s == 20.0


def test_source_and_engine_both_have_their_say(manual_playback: Callable[..., ManualPlayback]) -> None:
    player = manual_playback().player
    player.source.songs[0]._end_message = "the file is cut off"
    player.engine._failure = "no worker"
    assert player.status().messages == ("the file is cut off", "no worker")


def test_what_is_not_there_is_one_line_and_leaves_nothing(ramp: Path, constant_bundle: Callable[..., Path]) -> None:
    with pytest.raises(RtsepError, match="does not exist"):
        FilePlayer("missing.wav", model=constant_bundle())
    with pytest.raises(RtsepError, match="no-such-model"):
        FilePlayer(ramp, model="no-such-model")
    with pytest.raises(UsageError, match="chunk=33"):
        FilePlayer(ramp, model=constant_bundle(), chunk=33)
    with pytest.raises(UsageError, match="tpu"):
        FilePlayer(ramp, model=constant_bundle(), compute="tpu")
    children = psutil.Process().children()
    assert not [child for child in children if "rtsep.engine.worker" in " ".join(child.cmdline())]
