"""The unrolled stream and back: every position knows its song and sample."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtsep.player.queue.timeline import Place, Timeline

PIECES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 10**9), st.integers(0, 50_000)), min_size=1, max_size=12)


def unrolled(begin: int, pieces: list[tuple[int, int, int]]) -> tuple[Timeline, list[tuple[int, Place]]]:
    """A timeline of pieces (track, sample, length), and every stream position with its place, told one by one."""
    track, sample, length = pieces[0]
    timeline, position = Timeline(begin, Place(track, sample)), begin + length
    told = [(begin + i, Place(track, sample + i)) for i in (0, length // 2, length - 1) if 0 <= i < length]
    for track, sample, length in pieces[1:]:
        timeline.join(position, Place(track, sample))
        told += [(position + i, Place(track, sample + i)) for i in (0, length // 2, length - 1) if 0 <= i < length]
        position += length
    return timeline, told


@given(st.integers(-(10**6), 10**9), PIECES)
def test_every_position_lies_where_it_was_put(begin: int, pieces: list[tuple[int, int, int]]) -> None:
    timeline, told = unrolled(begin, pieces)
    for position, place in told:
        assert timeline.place(position) == place
        piece = timeline.piece(position)
        assert piece.begin <= position
        assert piece.end is None or position < piece.end


@given(st.integers(0, 10**6), PIECES, st.integers(0, 400_000))
def test_what_was_forgotten_changes_nothing_after_it(
    begin: int, pieces: list[tuple[int, int, int]], offset: int
) -> None:
    timeline, told = unrolled(begin, pieces)
    timeline.forget(begin + offset)
    for position, place in told:
        if position >= begin + offset:
            assert timeline.place(position) == place


@given(st.integers(0, 10**6), st.integers(1, 10**6), st.integers(0, 10**7))
def test_a_loop_comes_round_and_round(begin: int, length: int, offset: int) -> None:
    """As the source does: joined turn by turn, what is over forgotten."""
    offset %= 30 * length
    timeline = Timeline(begin, Place(0, begin))
    for turn in range(1, 31):
        timeline.join(begin + turn * length, Place(0, begin))
    timeline.forget(begin + offset)
    assert timeline.place(begin + offset) == Place(0, begin + offset % length)


def test_a_join_before_the_last_one_is_refused() -> None:
    timeline = Timeline(0, Place(0, 0))
    timeline.join(100, Place(1, 0))
    with pytest.raises(ValueError, match="99"):
        timeline.join(99, Place(2, 0))
