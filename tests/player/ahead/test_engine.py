"""Songs separated before they are played: a process that separates, a store, a feeder, a compiled callback, a clock."""

from __future__ import annotations

import functools
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtsep.errors import RtsepError
from rtsep.player.ahead.engine import MISSING, AheadEngine, Waiting
from rtsep.player.file_player import FilePlayer
from rtsep.player.queue.timeline import Place
from rtsep.shared.state import SharedState
from rtsep.shared.status import Kind
from rtsep.timebase import HOP
from tests.player.fake_stream import FakeStream
from tests.player.test_file_player import wait_until

RATE = 44100
LENGTHS = (3 * RATE + 123, RATE + 77)


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("songs")
    for number, length in enumerate(LENGTHS):
        samples = np.random.default_rng(number).uniform(-0.5, 0.5, (length, 2)).astype(np.float32)
        soundfile.write(folder / f"{number}.wav", samples, RATE, subtype="FLOAT")
    return [folder / f"{number}.wav" for number in range(len(LENGTHS))]


def model(folder: Path, pause_s: float = 0.0, stems: str = '"vocals", "other"') -> Path:
    """No instant network has its stems, unless others are named."""
    folder.mkdir()
    (folder / "recipe.toml").write_text(
        f'name = "halves"\nnetwork = "tests.networks:HalfSegments"\nstems = [{stems}]\n'
        f"[net]\npause_s = {pause_s}\n[segments]\noverlap = 0.5\n"
    )
    return folder


@pytest.fixture
def player(songs: list[Path]) -> Iterator[Callable[..., tuple[FilePlayer, list[FakeStream]]]]:
    """Maker of players of the queue, closed when the test ends, and of the streams that they open."""
    made: list[FilePlayer] = []

    def make(model: Path, speed: float = 4.0, **options: object) -> tuple[FilePlayer, list[FakeStream]]:
        streams: list[FakeStream] = []

        def opened(shared: SharedState) -> FakeStream:
            streams.append(FakeStream(shared, 512, speed))
            return streams[-1]

        made.append(FilePlayer(*songs, model=model, open_stream=opened, **options))  # type: ignore[arg-type]
        return made[-1], streams

    yield make
    for one in made:
        one.close()


def heard(stream: FakeStream) -> np.ndarray:
    """What was heard from the first block that plays on."""
    first = next(i for i, kind in enumerate(stream.kinds) if kind == Kind.WET)
    return stream.heard[:, 512 * first :]


@pytest.mark.parametrize("segments", [True, False])
def test_a_queue_is_heard_separated_from_the_first_sample_to_the_last(
    segments: bool,
    tmp_path: Path,
    songs: list[Path],
    player: Callable[..., tuple[FilePlayer, list[FakeStream]]],
    constant_bundle: Callable[..., Path],
) -> None:
    if segments:  # such a model is separated ahead without being asked
        made, streams = player(model(tmp_path / "halves"))
    else:
        made, streams = player(constant_bundle(vocals=0.5, other=0.5), ahead=True)
        made.remove_song(1)
        assert made.add_songs(songs[1]) == []  # it is separated too
        engine = made.engine
        assert isinstance(engine, AheadEngine)
        wait_until(lambda: engine.waiting(Place(2, 0), LENGTHS[1]) is None)
    made.open()
    made.set_gain("vocals", float("-inf"))
    blocks = len(streams[0].kinds)
    wait_until(lambda: len(streams[0].kinds) > blocks + 2)  # the fader has arrived
    made.play()
    wait_until(lambda: made.ended)
    status = made.status()
    assert (status.dry_s, status.messages, status.notices) == (0, (), ())
    assert status.wet_s == pytest.approx(sum(LENGTHS) / RATE, abs=0.01)
    assert status.engine.state == "ahead"
    made.close()
    expected = np.concatenate([soundfile.read(song, dtype="float32")[0].T for song in songs], axis=1) / 2
    found = heard(streams[0])[:, : expected.shape[1]]
    # The authors of such networks give the song's mean, here a thousandth, back to every stem.
    assert np.abs(found - expected)[:, 64:].max() < (1e-3 if segments else 1e-5)


def test_a_song_begins_when_the_rest_will_be_ready_in_time_and_beyond_that_is_dry(
    tmp_path: Path, player: Callable[..., tuple[FilePlayer, list[FakeStream]]]
) -> None:
    made, streams = player(model(tmp_path / "slow", pause_s=0.3), speed=1.0)  # a quarter of a second each
    told: list[Waiting] = []
    began = time.monotonic()
    made.open(on_wait=told.append)
    waited_s = time.monotonic() - began
    shares = [waiting.share for waiting in told]
    assert told and shares == sorted(shares, key=lambda share: share or 0.0)
    assert 0.1 < (shares[-1] or 0.0) < 1.0  # it did not wait for all
    assert any(waiting.left_s is not None and 0 < waiting.left_s < 6 for waiting in told)
    assert waited_s > 0.5
    made.play()
    made.next()  # of which nothing is there yet
    wait_until(lambda: Kind.DRY in streams[0].kinds)
    assert MISSING in made.status().notices
    made.previous()
    wait_until(lambda: streams[0].kinds[-1] == Kind.WET)
    assert MISSING not in made.status().notices
    count = len(streams[0].kinds)
    wait_until(lambda: made.place.track == 1)
    assert set(streams[0].kinds[count:]) == {Kind.WET}


@pytest.mark.usefixtures("default_bundle")
def test_it_begins_at_once_with_the_instant_network_and_crosses_over_after_jumps_too(tmp_path: Path) -> None:
    song = np.random.default_rng(5).uniform(-0.5, 0.5, (2, 14 * RATE)).astype(np.float32)
    soundfile.write(tmp_path / "song.wav", song.T, RATE, subtype="FLOAT")
    folder = model(tmp_path / "halves", pause_s=0.02, stems='"instrumental", "vocals"')
    told: list[Waiting] = []
    with FilePlayer(tmp_path / "song.wav", model=folder, open_stream=lambda shared: FakeStream(shared, 512)) as player:
        player.open(on_wait=told.append)
        assert told == []
        assert player.stems == ("vocals", "instrumental")  # in the order of the instant network
        assert player.status().engine.network == "frame-transformer-2stems"
        player.play()
        for place_s in (None, 1.0, 3.0):
            if place_s is not None:
                player.seek(place_s)
                wait_until(lambda: player.shared.callback.read().epoch == player.epoch)
            wait_until(lambda: player.status().engine.network == "halves")
            position = player.shared.callback.read().position + HOP  # behind the hop in which they fade into each other
            stems = np.zeros((4, 4096), np.float32)
            wait_until(functools.partial(player.shared.stem.read, position, stems, player.epoch))  # a moment ahead
            half = song[:, position : position + 4096] / 2
            np.testing.assert_allclose(stems, np.concatenate([half, half]), atol=2e-3)
        status = player.status()
        assert (status.notices, status.messages, status.engine.late_hops) == ((), (), 0)


def test_what_cannot_be_separated_is_one_line(tmp_path: Path, songs: list[Path]) -> None:
    folder = tmp_path / "untrained"
    folder.mkdir()
    (folder / "recipe.toml").write_text(
        'name = "untrained"\nnetwork = "rtsep.nn.frame_transformer:FrameTransformer"\n'
        'stems = ["vocals", "instrumental"]\n'
    )
    engine = AheadEngine(songs, folder)
    with pytest.raises(RtsepError, match="no weights") as caught:
        engine.wait_ready(60)
    assert "\n" not in str(caught.value)
    engine.close()


def test_a_process_that_dies_is_told_and_none_is_left(tmp_path: Path, songs: list[Path]) -> None:
    folder = model(tmp_path / "halves", pause_s=60.0)
    engines = [AheadEngine(songs, folder) for _ in range(2)]
    for engine in engines:
        engine.wait_ready(60)
    dying = engines[0]
    dying_pid, closed_pid = (engine._process.pid for engine in engines)
    assert dying_pid is not None and closed_pid is not None
    os.kill(dying_pid, signal.SIGKILL)
    with pytest.raises(RtsepError, match="died"):
        dying.wait_enough(lambda: (Place(0, 0), LENGTHS[0]), lambda waiting: None)
    began = time.monotonic()
    for engine in engines:
        engine.close()
    assert time.monotonic() - began < 4
    with pytest.raises(ProcessLookupError):
        os.kill(closed_pid, 0)
