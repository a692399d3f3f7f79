"""Loop, cue and queue as they are heard: decoder thread, worker process, compiled callback, and a clock."""

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
from rtsep.timebase import FADE, HOP
from tests.player.fake_stream import FakeStream
from tests.waiting import wait_until

RATE = 44100
BLOCK = 512
SCALE = 2.0**20
LENGTHS = (12 * RATE + 123, RATE + 77, 3 * RATE)


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Songs whose every sample tells its own place: left the sample's number, right that of the song, over 2^20."""
    folder = tmp_path_factory.mktemp("songs")
    for track, length in enumerate(LENGTHS):
        left = np.arange(length) / SCALE
        right = np.full(length, track / 16)
        soundfile.write(folder / f"{track}.wav", np.stack([left, right], 1).astype(np.float32), RATE, subtype="FLOAT")
    return [folder / f"{track}.wav" for track in range(len(LENGTHS))]


@pytest.fixture
def playing(
    songs: list[Path], constant_bundle: Callable[..., Path]
) -> Iterator[Callable[..., tuple[FilePlayer, FakeStream]]]:
    """Maker of players of a queue on a clock that goes `speed` times as fast as the songs; dry it would be louder."""
    made: list[FilePlayer] = []

    def make(speed: float = 1.0, start_s: float = 0.0) -> tuple[FilePlayer, FakeStream]:
        streams: list[FakeStream] = []

        def opened(shared: SharedState) -> FakeStream:
            streams.append(FakeStream(shared, BLOCK, speed))
            return streams[-1]

        model = constant_bundle(vocals=0.5, instrumental=0.25)
        made.append(FilePlayer(*songs, model=model, open_stream=opened, start_s=start_s))
        made[-1].open()
        made[-1].play()
        return made[-1], streams[-1]

    yield make
    for player in made:
        player.close()


def heard_places(stream: FakeStream, first: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Sample number and track of everything heard, from block `first` on; silence is left out."""
    left, right = stream.heard[:, first * BLOCK :] / 0.75
    sounding = np.repeat([kind == Kind.WET for kind in stream.kinds[first : first + len(left) // BLOCK]], BLOCK)
    return (left * SCALE)[: len(sounding)][sounding], (right * 16)[: len(sounding)][sounding]


def test_a_queue_is_heard_without_a_gap(playing: Callable[..., tuple[FilePlayer, FakeStream]]) -> None:
    player, stream = playing(speed=3.0, start_s=10.0)
    wait_until(lambda: player.ended)
    status = player.status()
    assert (status.track, status.tracks, status.file.name, status.position_s) == (2, 3, "2.wav", 3.0)
    assert set(stream.kinds) <= {Kind.SILENT, Kind.WAITING, Kind.WET}
    samples, tracks = heard_places(stream)
    first = LENGTHS[0] - 10 * RATE
    expected = np.concatenate([np.arange(10 * RATE, LENGTHS[0]), np.arange(LENGTHS[1]), np.arange(LENGTHS[2])])
    assert np.abs(samples[FADE : len(expected)] - expected[FADE:]).max() < 3
    expected = np.repeat([0, 1, 2], [first, *LENGTHS[1:]])
    assert np.abs(tracks[FADE : len(expected)] - expected[FADE:]).max() < 1e-3


def test_next_and_previous_song(playing: Callable[..., tuple[FilePlayer, FakeStream]]) -> None:
    player, stream = playing(start_s=5.0)
    player.next()
    wait_until(lambda: player.place > (1, 4000))
    player.next()
    wait_until(lambda: player.place > (2, 4000))
    count = len(stream.kinds)
    player.next()  # there is none
    player.previous()
    wait_until(lambda: player.place.track == 1 and player.place.sample > 4000)
    player.previous()
    assert player.place == (0, 0)
    player.seek(6.0)
    wait_until(lambda: player.place.sample > 6 * RATE + 4000)
    player.previous()  # so late it means the beginning of this song
    wait_until(lambda: 4000 < player.place.sample < RATE)
    assert player.place.track == 0
    assert set(stream.kinds[count:]) <= {Kind.WAITING, Kind.WET}


def test_a_loop_is_set_heard_and_cleared(playing: Callable[..., tuple[FilePlayer, FakeStream]]) -> None:
    player, stream = playing(start_s=2.0)
    wait_until(lambda: player.position > 3 * RATE)
    player.toggle_loop()
    assert player.status().loop_s == (pytest.approx(3.0, abs=0.2), None)
    wait_until(lambda: player.position > 3.6 * RATE)
    player.toggle_loop()
    begin_s, end_s = player.loop_s or (0.0, 0.0)
    assert end_s is not None and end_s - begin_s == pytest.approx(0.6, abs=0.3)
    begin, end = round(begin_s * RATE), round(end_s * RATE)
    jumped = len(stream.kinds)
    wait_until(lambda: len(stream.kinds) > jumped + 3 * (end - begin) // BLOCK)
    samples, _ = heard_places(stream, jumped + 4)
    turns = np.flatnonzero((samples[:-1] > begin + 100) & (samples[1:] < begin + 50)) + 1  # where the fade is over
    assert len(turns) >= 2
    assert set(np.diff(turns)) == {end - begin}  # the very length, and nothing between
    for turn in turns:
        assert samples[turn] == pytest.approx(begin, abs=3)
    assert player.status().dry_s == 0
    player.toggle_loop()
    assert player.loop_s is None
    wait_until(lambda: player.position > end + RATE)  # plays on beyond the end
    assert player.status().dry_s == 0


def test_a_cue_brings_its_stems_along(playing: Callable[..., tuple[FilePlayer, FakeStream]]) -> None:
    player, stream = playing(start_s=1.0)
    wait_until(lambda: player.position > 2 * RATE)
    player.set_cue()
    cue_s = player.cue_s
    assert cue_s is not None
    wait_until(lambda: player.position > 4 * RATE)
    before = len(stream.kinds)
    player.go_to_cue()
    cue = round(cue_s * RATE)
    wait_until(lambda: cue + 2 * RATE < player.position < cue + 3 * RATE)
    back = next(i for i in range(before, len(stream.kinds)) if stream.positions[i] <= cue + BLOCK)
    while stream.kinds[back] != Kind.WET:
        back += 1
    samples, _ = heard_places(stream, back)
    assert np.abs(samples[FADE:] - cue - np.arange(FADE, len(samples))).max() < 3  # kept stems and new ones, one sound
    assert player.shared.stem.header().begin == cue // 1024 * 1024
    assert player.status().dry_s == 0


def test_a_key_means_what_was_heard_then(playing: Callable[..., tuple[FilePlayer, FakeStream]]) -> None:
    player, stream = playing(start_s=2.0)
    wait_until(lambda: player.position > 3 * RATE)
    stream.latency_s = 0.1  # a device that took the place of the first one
    player.pause()
    wait_until(lambda: player.shared.callback.read().kind == Kind.SILENT)
    player.set_cue()
    assert player.cue_s == pytest.approx(player.position / RATE - 0.1)


def test_a_large_step_near_the_end_does_not_skip_the_song(
    playing: Callable[..., tuple[FilePlayer, FakeStream]],
) -> None:
    player, _ = playing(start_s=LENGTHS[0] / RATE - 3)
    player.pause()
    for _ in range(3):
        player.nudge(60.0)
    last_second = LENGTHS[0] - RATE
    assert player.place == (0, last_second)
    player.seek(LENGTHS[0] / RATE - 0.5)  # within the last second it stays where it is
    player.nudge(5.0)
    assert player.place == (0, LENGTHS[0] - RATE // 2)


def test_what_follows_may_change_when_it_is_in_the_stream_already(
    playing: Callable[..., tuple[FilePlayer, FakeStream]],
) -> None:
    """The second song is read while the first one ends: it makes way for the third, and comes after that."""
    player, stream = playing(start_s=11.0)
    player.pause()
    wait_until(lambda: player.source.follows(player.epoch, player.shared.callback.position))
    player.move_song(2, 1)
    player.play()
    assert [player.source.songs[track].path.stem for track in player.source.queue.order] == ["0", "2", "1"]
    wait_until(lambda: player.ended)
    samples, tracks = heard_places(stream)
    first, second = np.flatnonzero(np.diff(np.round(tracks)))[:2] + 1
    assert np.round(tracks[[0, first + FADE, second + FADE]]).tolist() == [0, 2, 1]
    assert abs(second - first - LENGTHS[2]) <= FADE
    for begin, end in ((first, second), (second, second + LENGTHS[1])):
        assert np.abs(np.diff(samples[begin + FADE : end - FADE]) - 1).max() < 3
    # Sound goes on where it was when the queue changed, but for the hop that a jump begins with.
    steps = np.diff(samples[FADE : first - FADE])
    assert np.median(steps) == pytest.approx(1, abs=0.1) and np.abs(steps.sum() - len(steps)) < HOP


def test_a_song_added_behind_the_last_one_follows_it(
    playing: Callable[..., tuple[FilePlayer, FakeStream]], songs: list[Path]
) -> None:
    player, stream = playing()
    player.remove_song(2)
    player.remove_song(1)
    with pytest.raises(UsageError, match="only song"):
        player.remove_song(0)
    player.pause()
    player.seek(11.0)
    wait_until(lambda: player.source.follows(player.epoch, player.shared.callback.position))  # the end
    assert player.add_songs(songs[2], "missing.wav") == ["missing.wav does not exist"]
    player.play()
    wait_until(lambda: player.ended)
    status = player.status()
    assert (status.track, status.tracks, status.file.name, status.position_s) == (1, 2, "2.wav", 3.0)
    assert stream.kinds.count(Kind.DRY) == 0


def test_the_song_that_is_played_can_be_removed(playing: Callable[..., tuple[FilePlayer, FakeStream]]) -> None:
    player, _ = playing()
    player.next()
    player.set_cue()
    player.remove_song(1)
    wait_until(lambda: player.status().file.name == "2.wav")
    assert player.status().cue_s is None
    player.remove_song(1)  # the last one: the one before is played
    wait_until(lambda: player.status().file.name == "0.wav")
    for wrong in (-1, 1):
        with pytest.raises(UsageError, match="the queue has 1"):
            player.go_to_song(wrong)
