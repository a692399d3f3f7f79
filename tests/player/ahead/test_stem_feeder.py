"""Stored stems on the stem ring: at the positions of the song that they belong to, through queues, loops and gaps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from rtsep.player.ahead.stem_feeder import AHEAD_LIMIT, BLOCK, RESTART_LEAD, StemFeeder
from rtsep.player.ahead.stem_store import StemStore
from rtsep.player.queue.song import Song
from rtsep.player.queue.source import FileSource
from rtsep.player.queue.timeline import Loop, Place
from rtsep.shared.state import SharedState
from tests.player.queue.test_source import filled, move_play_head, wait_until
from tests.player.test_unrolled import RATE, noise

Made = tuple[FileSource, StemStore, StemFeeder]


@pytest.fixture
def feeding(tmp_path: Path, shared: SharedState) -> Iterator[Callable[[Sequence[int], Sequence[int]], Made]]:
    """Maker of a queue of songs of given lengths, and of a store with half of each song's first samples, so many."""
    closing: list[FileSource | StemStore] = []

    def make(lengths: Sequence[int], stored: Sequence[int]) -> Made:
        songs = [noise(tmp_path / f"{n}.wav", length, n) for n, length in enumerate(lengths)]
        source = FileSource([Song(tmp_path / f"{n}.wav") for n in range(len(songs))], shared)
        store = StemStore(2, len(songs))
        for number, (song, count) in enumerate(zip(songs, stored, strict=True)):
            store.append(number, song[:, :count].T / 2)
        closing.extend((source, store))
        return source, store, StemFeeder(shared, source, store)

    yield make
    for one in closing:
        one.close()


def play(shared: SharedState, feeder: StemFeeder, begin: int, end: int, epoch: int = 1) -> None:
    """Compare stems and mixture from `begin` to `end`, with the play head half a second behind what is compared."""
    for position in range(begin, end, RATE // 2):
        count = min(RATE // 2, end - position)
        move_play_head(shared, epoch, position)
        wait_until(lambda count=count, position=position: shared.mixture.end >= position + count)
        while feeder.turn() == 0:
            pass
        stems, mixture = np.zeros((2, count), np.float32), np.zeros((2, count), np.float32)
        assert shared.stem.read(position, stems, epoch) and shared.mixture.read(position, mixture, epoch)
        np.testing.assert_allclose(stems, mixture / 2, atol=1e-6)


def test_stems_follow_a_queue(shared: SharedState, feeding: Callable[[Sequence[int], Sequence[int]], Made]) -> None:
    lengths = (2 * RATE + 77, 0, 8193, 1, RATE)
    source, _, feeder = feeding(lengths, lengths)
    assert feeder.turn() > 0  # nothing plays yet
    source.start(1, Place(0, 5000))
    wait_until(lambda: filled(shared, 1))
    play(shared, feeder, 5000, sum(lengths))
    assert shared.stem.end == sum(lengths)
    source.start(2, Place(4, 123))
    wait_until(lambda: filled(shared, 2))
    play(shared, feeder, 0, RATE, epoch=2)


def test_an_unexpected_error_ends_in_one_line(
    shared: SharedState, feeding: Callable[[Sequence[int], Sequence[int]], Made]
) -> None:
    source, store, feeder = feeding((RATE,), (RATE,))
    source.start(1, Place(0, 0))
    wait_until(lambda: filled(shared, 1))
    store.close()
    feeder.start()
    wait_until(lambda: feeder.failure is not None)
    feeder.close()
    assert feeder.failure == "reading the separated stems failed: ValueError: seek of closed file"


@pytest.mark.parametrize(("begin", "end"), [(RATE, RATE + 4410), (40, 8192 + 30), (0, 3 * RATE), (5000, 5000 + 16390)])
def test_stems_turn_back_with_a_loop(
    begin: int, end: int, shared: SharedState, feeding: Callable[[Sequence[int], Sequence[int]], Made]
) -> None:
    source, _, feeder = feeding([4 * RATE], [4 * RATE])
    source.start(1, Place(0, begin), Loop(0, begin, end))
    wait_until(lambda: filled(shared, 1))
    play(shared, feeder, begin, begin + 7 * RATE)


def test_what_is_not_stored_is_missing_until_it_is(
    shared: SharedState, feeding: Callable[[Sequence[int], Sequence[int]], Made]
) -> None:
    source, store, feeder = feeding([10 * RATE], [RATE])
    source.start(1, Place(0, 0))
    wait_until(lambda: filled(shared, 1))
    play(shared, feeder, 0, RATE)
    assert shared.stem.end == RATE and not feeder.missing
    head = RATE + 1000
    move_play_head(shared, 1, head)
    assert feeder.turn() > 0 and feeder.missing
    song = np.zeros((2, 3 * RATE), np.float32)
    assert shared.mixture.read(RATE, song, 1)
    store.append(0, song.T / 2)
    play(shared, feeder, head + RESTART_LEAD, 4 * RATE)
    assert not feeder.missing


def test_the_ring_is_filled_two_seconds_ahead(
    shared: SharedState, feeding: Callable[[Sequence[int], Sequence[int]], Made]
) -> None:
    source, _, feeder = feeding([9 * RATE], [9 * RATE])
    source.start(1, Place(0, RATE))
    wait_until(lambda: filled(shared, 1))
    while feeder.turn() == 0:
        pass
    assert shared.stem.begin == RATE // 1024 * 1024
    assert shared.stem.end == shared.stem.begin + AHEAD_LIMIT
    assert feeder.published == AHEAD_LIMIT > BLOCK


def test_a_store_gives_back_what_it_got() -> None:
    store = StemStore(3, 2)
    songs = [np.arange(count * 3, dtype=np.float32).reshape(count, 3) + 1000 * count for count in (7, 5)]
    for number, song in enumerate(songs):
        for part in np.split(song, [2]):
            store.append(number, part)
    assert (store.count(0), store.count(1), store.complete(1)) == (7, 5, False)
    store.finish(1)
    assert store.complete(1) and not store.complete(0)
    np.testing.assert_array_equal(store.read(0, 1, 6), songs[0][1:].T)
    np.testing.assert_array_equal(store.read(1, 0, 5), songs[1].T)
    assert store.read(1, 5, 0).shape == (3, 0)
    for begin, count in ((-1, 2), (4, 2)):
        with pytest.raises(ValueError, match="not stored"):
            store.read(1, begin, count)
    store.close()
