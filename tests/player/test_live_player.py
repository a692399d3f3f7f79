"""Live sound without a device: one thread captures and plays in blocks, the worker and all else is real."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtsep.audio.callback.capture import CaptureControl, capture_block
from rtsep.audio.devices.discovery import Device
from rtsep.engine.latency import algorithmic_latency
from rtsep.engine.live_engine import NOTICES
from rtsep.errors import RtsepError
from rtsep.player.device_keeper import Side
from rtsep.player.live_latency import jitter_of
from rtsep.player.live_player import LivePlayer
from rtsep.shared.state import SharedState
from rtsep.shared.status import Kind, Transport, WorkerProblem
from tests.player.fake_stream import PacedStream
from tests.waiting import wait_until

RATE = 44100
SONG = np.random.default_rng(7).uniform(-0.4, 0.4, (2 * RATE + 13, 2)).astype(np.float32)


class FakeLive(PacedStream):
    """Fits `LivePlayer(open_on)`: input is SONG over and over, output is kept.

    `lost`: blocks not asked for; `missed`: blocks not given. With `loop` the input is the output of 50 ms ago instead,
    scaled with it, and one block of SONG.
    """

    duplex = True
    transit_s = None
    reported_latency_s = 0.01

    def __init__(self, shared: SharedState, block: int = 441) -> None:
        super().__init__(shared, block)
        self.capture = CaptureControl(shared, 2, output=self.output)
        self.lost = self.missed = 0
        self.loop: float | None = None
        self.gives = True
        self._kick = 0.2
        self._taken = 0
        self._pieces: list[np.ndarray] = []
        self.kinds: list[Kind] = []

    @property
    def heard(self) -> np.ndarray:
        """All output so far, (n, 2); sample i went out in the block in which sample i came in."""
        return np.concatenate(list(self._pieces))

    def _exchange(self) -> None:
        if not self.gives:
            return
        block = SONG[np.arange(self._taken, self._taken + self.block) % len(SONG)]
        if self.loop is not None:
            kick, self._kick = self._kick, 0.0
            block = (kick * block + self.loop * self._pieces[-5]).astype(np.float32)
        if self.missed > 0:
            self.missed -= 1
        else:
            capture_block(self.capture.fields, np.ascontiguousarray(block), self.block)
        self._taken += self.block
        if self.lost > 0:
            self.lost -= 1
            self._pieces.append(np.zeros((self.block, 2), np.float32))
        else:
            self._pieces.append(self.mix())
        self.kinds.append(self.shared.callback.read().kind)


DEVICE = Device(0, "fake", "none", 2, 2, 44100.0, False, False)
SIDES = Side(DEVICE, "input"), Side(DEVICE, "output")
BUNDLE = """name = "halves"
network = "rtsep.nn.constant:ConstantMask"
stems = ["vocals", "instrumental"]
[net]
gains = [0.5, 0.5]
"""
Live = Callable[..., tuple[LivePlayer, FakeLive]]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Maker of open players with their fake streams; vocals are muted, the rest is half as loud as the song."""
    made: list[LivePlayer] = []
    model = tmp_path_factory.mktemp("halves")
    (model / "recipe.toml").write_text(BUNDLE)

    def make(**options: object) -> tuple[LivePlayer, FakeLive]:
        streams: list[FakeLive] = []

        def open_on(shared: SharedState, *_: Device) -> FakeLive:
            streams.append(FakeLive(shared))
            return streams[-1]

        made.append(LivePlayer(open_on, *SIDES, model=model, **options))  # type: ignore[arg-type]
        made[-1].set_gain("vocals", float("-inf"))
        made[-1].open()
        return made[-1], streams[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rtsep.player.live_player.CALIBRATION_S", 0.6)
        patch.setattr("rtsep.player.live_player.STAMPS_LIMIT_S", 0.0)
        yield make
    for player in made:
        player.close()


@pytest.fixture(scope="module")
def one(live: Live) -> tuple[LivePlayer, FakeLive]:
    """A player for several tests, which leave it as it was."""
    return live()


def delay_of(stream: FakeLive, samples: int = RATE // 2) -> int:
    """Samples by which the end of what was heard is behind what came in; half as loud, or it is an error."""
    heard = stream.heard
    end = len(heard)
    for delay in range(1, 30000):
        at = np.arange(end - samples - delay, end - delay) % len(SONG)
        if np.abs(heard[-samples : -samples + 50] - 0.5 * SONG[at[:50]]).max() < 1e-4:
            np.testing.assert_allclose(heard[-samples:], 0.5 * SONG[at], atol=1e-5)
            return delay
    raise AssertionError("what is heard is not what came in")


@pytest.mark.parametrize(("chunk", "latency", "support"), [(None, "standard", 4096), (4, "low", 2048)])
def test_what_comes_in_is_heard_separated_at_the_distance_told(
    live: Live, chunk: int | None, latency: str, support: int
) -> None:
    player, stream = live(chunk=chunk, latency=latency)
    wait_until(lambda: stream.kinds[-100:] == [Kind.WET] * 100)
    parts = player.latency()
    assert parts.algorithmic == algorithmic_latency(chunk or 1, 441, support=support)
    assert parts.margin % 441 == 0
    assert 0 < parts.margin <= 0.25 * RATE + 441
    assert parts.device == 441  # what the stream says of itself: nobody gives time stamps here
    assert not player.status().live.device_measured  # type: ignore[union-attr]
    # Of the distance the block itself is heard while the next one comes in.
    assert delay_of(stream, 20000) == parts.algorithmic + parts.margin - 441


def test_pause_is_silence_and_nothing_stops_meanwhile(one: tuple[LivePlayer, FakeLive]) -> None:
    player, stream = one
    wait_until(lambda: stream.kinds[-30:] == [Kind.WET] * 30)
    player.pause()
    assert not player.status().playing
    player.change_volume(1.0)  # does not wake it
    time.sleep(0.1)
    position = player.shared.callback.position
    time.sleep(0.2)
    assert not stream.heard[-2000:].any()
    assert player.shared.callback.position > position
    player.change_volume(-1.0)
    player.toggle_pause()
    count = len(stream.kinds)
    wait_until(lambda: len(stream.kinds) > count + 60)
    assert set(stream.kinds[count:]) <= {Kind.WET, Kind.DRY}  # dry where the machine is busy; no waiting, no silence
    assert np.abs(stream.heard[-2000:]).max() > 0.1


def test_a_volume_change_while_paused_lets_nothing_through(
    one: tuple[LivePlayer, FakeLive], monkeypatch: pytest.MonkeyPatch
) -> None:
    player, _ = one
    player.pause()
    masters: list[float] = []
    with monkeypatch.context() as patch:
        patch.setattr(Transport, "master", property(fset=lambda _, value: masters.append(value)))
        player.change_volume(1.0)
        player.change_volume(-1.0)
    player.toggle_pause()
    assert len(masters) >= 2
    assert set(masters) == {0.0}


def test_a_feedback_loop_is_muted_until_the_user_resumes(live: Live) -> None:
    player, stream = live()
    for stem in player.stems:
        player.set_gain(stem, 3.0)
    stream.loop = 1.0
    wait_until(lambda: not player.status().playing)
    assert sum("feedback loop" in notice for notice in player.status().notices) == 1
    wait_until(lambda: not stream.heard[-2000:].any())
    player.toggle_pause()
    assert player.status().playing
    player.close()


def test_a_margin_that_is_too_small_grows_and_is_told(one: tuple[LivePlayer, FakeLive]) -> None:
    player, stream = one
    wait_until(lambda: stream.kinds[-30:] == [Kind.WET] * 30)
    player.live_latency.margin = -441
    player.live_latency.jump()
    wait_until(lambda: stream.kinds[-1] == Kind.DRY)
    wait_until(lambda: stream.kinds[-60:] == [Kind.WET] * 60)
    assert player.live_latency.margin >= 0
    notices = player.status().notices
    assert notices
    assert all("ms late; margin raised to" in notice for notice in notices)
    assert player.status().late_blocks > 0


def test_dry_sound_stays_where_it_is_however_long_it_lasts(one: tuple[LivePlayer, FakeLive]) -> None:
    player, _ = one
    wait_until(lambda: player.status().kind == Kind.WET)
    pid = player.engine.worker_pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: player.status().kind == Kind.DRY)
        time.sleep(0.2)
        jumps, margin = player.live_latency.jumps, player.live_latency.margin
        time.sleep(2.0)
        assert player.status().kind == Kind.DRY
        assert (player.live_latency.jumps, player.live_latency.margin) == (jumps, margin)
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: player.status().kind == Kind.WET)
    time.sleep(0.6)
    assert player.live_latency.margin < margin + 1323  # a hop in whole blocks: what so long a lateness would have added


def test_a_pause_of_the_machine_while_it_listens_is_not_taken_for_the_devices_jitter() -> None:
    bursts = [1000, 1256, 1512] * 40
    assert jitter_of(bursts) == 512
    assert jitter_of([*bursts[:50], *range(5000, 1000, -256), *bursts[50:]]) == 512
    assert jitter_of([1000]) == 0


def test_sound_lost_by_the_output_does_not_lengthen_the_latency(one: tuple[LivePlayer, FakeLive]) -> None:
    player, stream = one
    wait_until(lambda: stream.kinds[-30:] == [Kind.WET] * 30)
    margin = player.live_latency.margin
    stream.lost = 20
    wait_until(lambda: stream.lost == 0)
    wait_until(lambda: any("devices lost 200 ms" in notice for notice in player.status().notices))
    wait_until(lambda: player.shared.callback.read().distance == player.live_latency.samples)
    assert player.live_latency.margin <= margin + 1323
    assert player.status().live.rejumps >= 1  # type: ignore[union-attr]


def test_sound_lost_by_the_input_does_not_either_though_stems_are_late_meanwhile(
    one: tuple[LivePlayer, FakeLive],
) -> None:
    player, stream = one
    wait_until(lambda: stream.kinds[-30:] == [Kind.WET] * 30)
    margin = player.live_latency.margin
    stream.missed = 5
    wait_until(lambda: any("devices lost 50 ms" in notice for notice in player.status().notices))
    wait_until(lambda: stream.kinds[-30:] == [Kind.WET] * 30)
    assert Kind.DRY in stream.kinds
    assert player.live_latency.margin < margin + 1323  # a hop in whole blocks: what late stems would have added


def test_a_worker_that_dies_leaves_the_dry_sound_and_comes_back(one: tuple[LivePlayer, FakeLive]) -> None:
    player, stream = one
    wait_until(lambda: stream.kinds[-30:] == [Kind.WET] * 30)
    pid = player.engine.worker_pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: stream.kinds[-1] == Kind.DRY)
    wait_until(lambda: stream.kinds[-60:] == [Kind.WET] * 60, limit_s=40)
    assert player.engine.restarts == 1
    assert player.live_latency.margin < 0.25 * RATE + 441  # its absence is not taken for lateness
    told = [notice for notice in player.status().notices if "ms late" in notice]
    assert all(float(notice.split()[2]) < 260 for notice in told)


def test_what_the_worker_has_to_say_is_told(one: tuple[LivePlayer, FakeLive]) -> None:
    player, _ = one
    player.shared.worker.problem = WorkerProblem.TOO_SLOW
    assert NOTICES[WorkerProblem.TOO_SLOW] in player.status().notices
    player.shared.worker.problem = WorkerProblem.NONE
    player.engine.device_error = "cuda:0 failed"
    assert "cuda:0 failed; continuing on the CPU" in player.status().notices
    player.engine.device_error = None


def test_it_is_recorded_meanwhile(live: Live, tmp_path: Path) -> None:
    player, _ = live(record=tmp_path / "take")
    begin = player._recorder._position  # type: ignore[union-attr]
    wait_until(lambda: player.status().live.recorded_s > 1.0)  # type: ignore[union-attr]
    assert list((tmp_path / "take").glob("*.wav")) == []  # named only when they are complete
    player.close()
    mixture, vocals, rest = (
        soundfile.read(tmp_path / "take" / f"{name}.wav", dtype="float32")[0]
        for name in ("mixture", "vocals", "instrumental")
    )
    first = begin % len(SONG)
    np.testing.assert_array_equal(mixture[:1000], SONG[np.arange(first, first + 1000) % len(SONG)])
    assert len(mixture) == len(vocals) == len(rest)
    np.testing.assert_allclose(vocals + rest, mixture, atol=1e-5)
    assert player.status().live.recording_gaps == 0  # type: ignore[union-attr]
    with pytest.raises(RtsepError, match="exists already"):
        LivePlayer(lambda shared, *_: FakeLive(shared), *SIDES, model=player.engine._model, record=tmp_path / "take")


def test_an_input_that_gives_nothing_is_one_line(
    constant_bundle: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("rtsep.player.live_latency.INPUT_LIMIT_S", 0.2)

    def open_on(shared: SharedState, *_: Device) -> FakeLive:
        stream = FakeLive(shared)
        stream.gives = False
        return stream

    with (
        pytest.raises(RtsepError, match="the input device delivers no sound"),
        LivePlayer(open_on, *SIDES, model=constant_bundle(), record=tmp_path / "take") as player,
    ):
        player.open()
    assert list((tmp_path / "take").iterdir()) == []
