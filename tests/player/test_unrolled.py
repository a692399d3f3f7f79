"""The stream of a queue and of a loop on the mixture ring: no sample between songs, none missing, none twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtsep.audio.files.reader import open_audio
from rtsep.audio.files.resample import EngineReader
from rtsep.player.queue.song import open_songs
from rtsep.player.queue.source import FileSource
from rtsep.player.queue.timeline import Loop, Place
from rtsep.shared.state import SharedState
from rtsep.timebase import FADE
from tests.audio.files.material import music, write, write_aac
from tests.player.queue.test_source import filled, move_play_head
from tests.waiting import wait_until

RATE = 44100
OPUS_DB, EXACT_DB = -45.0, -90.0


@pytest.fixture
def source(shared: SharedState) -> Iterator[Callable[[Sequence[Path]], FileSource]]:
    made: list[FileSource] = []

    def make(paths: Sequence[Path]) -> FileSource:
        made.append(FileSource(open_songs(paths)[0], shared))
        return made[-1]

    yield make
    for one in made:
        one.close()


def noise(path: Path, samples: int, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).uniform(-0.5, 0.5, (samples, 2)).astype(np.float32)
    soundfile.write(path, values, RATE, subtype="FLOAT")
    return values.T


def stream(shared: SharedState, begin: int, end: int, epoch: int) -> np.ndarray:
    out = np.zeros((2, end - begin), np.float32)
    assert shared.mixture.read(begin, out, epoch)
    return out


@pytest.mark.parametrize("form", ["wav", "flac", "mp3", "ogg", "opus", "m4a"])
def test_seeks_are_sample_exact_in_every_format(
    form: str, tmp_path: Path, shared: SharedState, source: Callable[[Sequence[Path]], FileSource]
) -> None:
    """Of the ring's samples: around the target, before it (they come from a second decoder) and after."""
    rate = 48000 if form == "opus" else RATE
    samples = music(12.0, rate)
    how = {"mp3": {"format": "MP3"}, "ogg": {"format": "OGG", "subtype": "VORBIS"}}
    how |= {"opus": {"format": "OGG", "subtype": "OPUS"}}
    path = tmp_path / f"song.{form}"
    if form == "m4a":
        write_aac(path, samples, rate)
    else:
        write(path, samples, rate, **how.get(form, {}))
    whole = EngineReader(open_audio(path)).read(13 * RATE)
    queue = source([path])
    for epoch, target in enumerate([7 * RATE + 311, 5 * RATE + 1, 9 * RATE], start=1):
        queue.start(epoch, Place(0, target))
        # On a busy machine nothing else may move for long while the past is decoded.
        wait_until(
            lambda epoch=epoch, target=target: filled(shared, epoch) and shared.mixture.begin <= target - 4 * RATE
        )
        begin, end = shared.mixture.begin, min(shared.mixture.end, whole.shape[1])
        error = stream(shared, begin, end, epoch) - whole[:, begin:end]
        error_db = 10 * np.log10(np.mean(error**2) / np.mean(whole**2) + 1e-20)
        assert error_db < (OPUS_DB if form == "opus" else EXACT_DB)


def test_a_queue_is_one_stream_without_a_gap(
    tmp_path: Path, shared: SharedState, source: Callable[[Sequence[Path]], FileSource]
) -> None:
    lengths = (2 * RATE + 77, 0, 8193, 1, RATE)
    paths = [tmp_path / f"{number}.wav" for number in range(len(lengths))]
    songs = [noise(path, length, seed) for seed, (path, length) in enumerate(zip(paths, lengths, strict=True))]
    queue = source(paths)
    queue.start(1, Place(0, 0))
    wait_until(lambda: filled(shared, 1))
    whole = np.concatenate(songs, axis=1)
    assert shared.mixture.header().eof == whole.shape[1]
    np.testing.assert_array_equal(stream(shared, 0, whole.shape[1], 1), whole)
    joins = np.cumsum((0, *lengths))
    for position in (0, joins[1] - 1, joins[1], joins[3] - 1, joins[3], joins[4], whole.shape[1] - 1):
        track = max(np.flatnonzero(joins[:-1] <= position))
        assert queue.place(1, int(position)) == Place(int(track), int(position - joins[track]))
    assert queue.place(2, 0) is None
    queue.start(2, Place(2, 5000))
    wait_until(lambda: filled(shared, 2))
    rest = np.concatenate(songs[2:], axis=1)
    np.testing.assert_array_equal(stream(shared, 4096, rest.shape[1], 2), rest[:, 4096:])


@pytest.mark.parametrize(("begin", "end"), [(RATE, RATE + 4410), (40, 8192 + 30), (0, 3 * RATE), (5000, 5000 + 16390)])
def test_a_loop_goes_round_with_a_short_fade_at_its_join(
    begin: int, end: int, tmp_path: Path, shared: SharedState, source: Callable[[Sequence[Path]], FileSource]
) -> None:
    song = noise(tmp_path / "song.wav", 4 * RATE, 1)
    queue = source([tmp_path / "song.wav"])
    queue.start(1, Place(0, begin), Loop(0, begin, end))
    wait_until(lambda: filled(shared, 1))
    length = end - begin
    assert shared.mixture.end > begin + 6 * RATE  # far beyond the end of the song
    turn = song[:, begin:end].copy()
    before = np.concatenate([np.zeros((2, FADE), np.float32), song], axis=1)[:, begin : begin + FADE]
    weight = np.arange(1, FADE + 1) / (FADE + 1)
    turn[:, -FADE:] = turn[:, -FADE:] * (1 - weight) + before * weight
    for number in range(min(5, 6 * RATE // length)):
        at = begin + number * length
        np.testing.assert_allclose(stream(shared, at, at + length, 1), turn, atol=1e-6)
        assert queue.place(1, at + length // 3) == Place(0, begin + length // 3)
    queue.start(2, Place(0, end), Loop(0, begin, end))  # beyond the loop: to the end
    wait_until(lambda: filled(shared, 2))
    assert shared.mixture.header().eof == song.shape[1]


def test_an_endless_loop_takes_no_more_memory(
    tmp_path: Path, shared: SharedState, source: Callable[[Sequence[Path]], FileSource]
) -> None:
    noise(tmp_path / "song.wav", RATE, 1)
    queue = source([tmp_path / "song.wav"])
    queue.start(1, Place(0, 0), Loop(0, 0, 4410))
    for position in range(0, 40 * RATE, 4 * RATE):
        move_play_head(shared, 1, position)
        wait_until(lambda: filled(shared, 1))
    assert len(queue._timeline[1]._pieces) < 130  # what the ring holds, and no more


def test_a_song_that_is_gone_is_told_and_the_next_one_follows(
    tmp_path: Path, shared: SharedState, source: Callable[[Sequence[Path]], FileSource]
) -> None:
    paths = [tmp_path / f"{number}.wav" for number in range(3)]
    songs = [noise(path, RATE, seed) for seed, path in enumerate(paths)]
    queue = source(paths)
    paths[1].unlink()
    queue.start(1, Place(0, 0))
    wait_until(lambda: filled(shared, 1))
    np.testing.assert_array_equal(stream(shared, 0, 2 * RATE, 1), np.concatenate([songs[0], songs[2]], axis=1))
    assert queue.messages == [f"{paths[1]} does not exist"]
    assert queue.place(1, RATE) == Place(2, 0)


def test_what_is_not_a_song_is_left_out_of_the_queue(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("cover.jpg", "song.wav", "missing.wav", "again.wav")]
    paths[0].write_text("nothing to hear")
    noise(paths[1], RATE, 1)
    noise(paths[3], RATE, 2)
    songs, left_out = open_songs([*paths, tmp_path])
    assert [song.path for song in songs] == [paths[1], paths[3]]
    assert [line.partition(" ")[0] for line in left_out] == [str(path) for path in (paths[0], paths[2], tmp_path)]
