"""A file on the mixture ring: every sample at its position, held back by the callback, whatever the file does."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtsep.errors import RtsepError
from rtsep.player.queue import source as source_module
from rtsep.player.queue.song import Song, open_songs
from rtsep.player.queue.source import BLOCK, FIRST_AHEAD, NEAR, PADDING, PAST, PREROLL, FileSource
from rtsep.player.queue.timeline import Loop, Place
from rtsep.shared import status as words_of
from rtsep.shared.rings import NO_EOF
from rtsep.shared.state import SharedState
from tests.waiting import wait_until

HOP = 1024
RATE = 44100
LENGTH = 15 * RATE + 77


@pytest.fixture(scope="module")
def counter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A song that counts: sample p is p / 2^20."""
    path = tmp_path_factory.mktemp("song") / "counter.wav"
    values = np.arange(LENGTH) / 2.0**20
    soundfile.write(path, np.stack([values, -values], axis=1).astype(np.float32), RATE, subtype="FLOAT")
    return path


@pytest.fixture
def source(counter: Path, shared: SharedState) -> Iterator[FileSource]:
    made = FileSource([Song(counter)], shared)
    yield made
    made.close()


def move_play_head(shared: SharedState, epoch: int, position: int) -> None:
    """What the callback writes."""
    shared.callback.fields[words_of.CALLBACK_EPOCH] = epoch
    shared.callback.fields[words_of.POSITION] = position


def filled(shared: SharedState, epoch: int) -> bool:
    """Whether the source has nothing left to do for now."""
    if shared.mixture.epoch != epoch:
        return False
    end = shared.mixture.end
    time.sleep(0.08)
    return shared.mixture.end == end


@pytest.mark.parametrize("target", [0, 5, 1023, 1024, 100_000, 10 * RATE, LENGTH - 1, LENGTH])
def test_samples_lie_at_their_positions(source: FileSource, shared: SharedState, target: int) -> None:
    source.start(1, Place(0, target))
    wait_until(lambda: filled(shared, 1))
    ring = shared.mixture.header()
    assert ring.start == target // HOP * HOP
    assert ring.begin == min(max(ring.start - PREROLL, 0), ring.start - NEAR)
    positions = np.arange(ring.begin, ring.end)
    expected = np.where((positions >= 0) & (positions < LENGTH), positions / 2.0**20, 0).astype(np.float32)
    out = np.zeros((2, len(positions)), np.float32)
    assert shared.mixture.read(ring.begin, out, 1)
    np.testing.assert_array_equal(out, np.stack([expected, -expected]))
    assert ring.eof == (LENGTH if ring.end >= LENGTH else NO_EOF)


def test_it_runs_ahead_until_the_ring_is_full_and_follows_the_play_head(
    source: FileSource, shared: SharedState
) -> None:
    source.start(1, Place(0, 0))
    wait_until(lambda: filled(shared, 1))
    assert 5 * RATE < shared.mixture.end < shared.mixture.capacity - PAST + RATE
    for position in range(0, LENGTH, 40_000):
        move_play_head(shared, 1, position)
        wait_until(lambda: filled(shared, 1))
        assert shared.mixture.begin <= max(position - PAST, 0)
        assert shared.mixture.end >= min(position + 5 * RATE, LENGTH)
    wait_until(lambda: shared.mixture.end >= LENGTH + PADDING)
    assert shared.mixture.header().eof == LENGTH
    assert source.songs[0].length == LENGTH
    assert source.messages == []


def test_an_old_play_head_does_not_hold_a_new_epoch_back(source: FileSource, shared: SharedState) -> None:
    move_play_head(shared, 1, 50)
    source.start(2, Place(0, 10 * RATE))
    wait_until(lambda: filled(shared, 2))
    assert shared.mixture.end >= LENGTH


def test_of_many_seeks_the_last_one_counts(source: FileSource, shared: SharedState) -> None:
    for epoch in range(1, 200):
        source.start(epoch, Place(0, epoch * 3000))
    wait_until(lambda: shared.mixture.epoch == 199 and shared.mixture.end > 199 * 3000 + HOP)
    assert shared.mixture.header().start == 199 * 3000 // HOP * HOP
    out = np.zeros((2, 100), np.float32)
    assert shared.mixture.read(199 * 3000, out, 199)
    np.testing.assert_array_equal(out[0], (np.arange(199 * 3000, 199 * 3000 + 100) / 2.0**20).astype(np.float32))


def test_other_rates_arrive_at_44100(tmp_path: Path, shared: SharedState) -> None:
    path = tmp_path / "tone.wav"
    soundfile.write(path, np.sin(2 * np.pi * 1000 * np.arange(3 * 48000) / 48000), 48000, subtype="FLOAT")
    source = FileSource([Song(path)], shared)
    source.start(1, Place(0, 2 * RATE))
    wait_until(lambda: filled(shared, 1))
    out = np.zeros((2, 4000), np.float32)
    assert shared.mixture.read(2 * RATE, out, 1)
    expected = np.sin(2 * np.pi * 1000 * np.arange(2 * RATE, 2 * RATE + 4000) / RATE)
    np.testing.assert_allclose(out, [expected, expected], atol=1e-4)
    assert source.songs[0].length == 3 * RATE
    source.close()


def test_bad_samples_are_silent_and_reported(tmp_path: Path, shared: SharedState) -> None:
    path = tmp_path / "bad.wav"
    values = np.full((3 * RATE, 2), 0.25, np.float32)
    values[2 * RATE, 1], values[2 * RATE + 9] = np.nan, 1e20
    soundfile.write(path, values, RATE, subtype="FLOAT")
    source = FileSource([Song(path)], shared)
    source.start(1, Place(0, 0))
    wait_until(lambda: filled(shared, 1))
    assert source.messages == [f"{path}: the sample at 2.000 s is not a number (NaN or infinite); it is silent"]
    out = np.zeros((2, 3 * RATE), np.float32)
    assert shared.mixture.read(0, out, 1)
    values[[2 * RATE, 2 * RATE + 9]] = 0.0
    np.testing.assert_array_equal(out, values.T)
    source.close()


class SlowSource(FileSource):
    """A source whose storage gives a block for every permit."""

    def __init__(self, path: Path, shared: SharedState, permits: threading.Semaphore) -> None:
        self.permits = permits
        super().__init__([Song(path)], shared)

    def _turn(self, request: tuple[int, Place, Loop | None] | None) -> None:
        self.permits.acquire()
        super()._turn(request)


def test_sound_before_the_past_where_storage_is_slow(counter: Path, shared: SharedState) -> None:
    """After a jump the past is decoded only while the play head has sound ahead of it."""
    permits = threading.Semaphore(0)
    source = SlowSource(counter, shared, permits)
    jump = 430 * HOP
    source.start(1, Place(0, jump))
    permits.release(3 + (NEAR + FIRST_AHEAD) // BLOCK)
    wait_until(lambda: shared.mixture.epoch == 1 and shared.mixture.end >= jump + FIRST_AHEAD)
    for position in range(jump, jump + 3 * RATE, RATE // 2):
        move_play_head(shared, 1, position)
        permits.release(RATE // 2 // BLOCK + 2)  # hardly more than real time takes
        wait_until(lambda position=position: shared.mixture.end >= position + FIRST_AHEAD, 10)
    permits.release(10_000)
    source.close()


def test_an_unforeseen_error_is_reported_and_a_jump_begins_anew(
    counter: Path, shared: SharedState, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = FileSource([Song(counter)], shared)
    with monkeypatch.context() as broken:
        broken.setattr(Song, "seek", lambda *_: 1 / 0)
        source.start(1, Place(0, RATE))
        wait_until(lambda: source.messages != [])
        assert "decoding stopped unexpectedly (ZeroDivisionError: division by zero)" in source.messages[0]
        wait_until(lambda: shared.mixture.header().eof != NO_EOF)
        assert shared.mixture.epoch == 1, "the play head gets to an end"
    source.start(2, Place(0, RATE))
    wait_until(lambda: filled(shared, 2))
    out = np.zeros((2, 100), np.float32)
    assert shared.mixture.read(RATE, out, 2)
    np.testing.assert_array_equal(out[0], (np.arange(RATE, RATE + 100) / 2.0**20).astype(np.float32))
    source.close()


def test_only_the_thread_closes_what_it_may_be_reading(
    counter: Path, shared: SharedState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mount that hangs: `close` returns, and the decoder stays open until the read has come back."""
    hanging, closed = threading.Event(), threading.Event()
    source = FileSource([Song(counter)], shared)
    read, close = Song.read, Song.close
    monkeypatch.setattr(Song, "read", lambda *args: (hanging.wait(20), read(*args))[1])
    monkeypatch.setattr(Song, "close", lambda song: (close(song), closed.set()))
    monkeypatch.setattr(source_module, "JOIN_S", 0.05)
    source.start(1, Place(0, 0))
    wait_until(lambda: shared.mixture.epoch == 1)
    source.close()
    assert not closed.is_set()
    hanging.set()
    assert closed.wait(10)


def test_an_empty_song_ends_at_once(tmp_path: Path, shared: SharedState) -> None:
    path = tmp_path / "nothing.wav"
    soundfile.write(path, np.zeros((0, 2), np.float32), RATE, subtype="FLOAT")
    source = FileSource([Song(path)], shared)
    source.start(1, Place(0, 0))
    wait_until(lambda: shared.mixture.header().eof == 0)
    assert source.messages == [f"{path} has no samples"]
    source.close()
    source.close()


def test_a_queue_without_any_song_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(RtsepError, match=r"missing.wav does not exist"):
        open_songs([tmp_path / "missing.wav"])
    with pytest.raises(RtsepError, match=r"none of 2 files can be played: .*a.wav does not exist"):
        open_songs([tmp_path / "a.wav", tmp_path / "b.wav"])
