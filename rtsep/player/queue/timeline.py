"""Which place of which song lies at a position of the stream: the queue without gaps and the loop, unrolled.

The rings know one stream, whose positions only ever grow. Where a song ends and the next begins, or where the end of a
loop is followed by its beginning, the stream continues and a new piece of the timeline begins.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple


class Place(NamedTuple):
    """A sample (at 44.1 kHz) of a song; `track` is the song's number in `rtsep.player.queue.song_queue.SongQueue`."""

    track: int
    sample: int


class Loop(NamedTuple):
    """Samples [begin, end) of a song, again and again."""

    track: int
    begin: int
    end: int


class Piece(NamedTuple):
    """From stream position `begin` on lies what follows `place`; up to `end`, None while that is not known."""

    begin: int
    end: int | None
    place: Place


class Timeline:
    """The pieces of one epoch. One thread writes; others may ask at any time: a list is replaced, never changed.

    Args:
        begin: first position of the stream.
        place: what lies there.
    """

    def __init__(self, begin: int, place: Place) -> None:
        self._pieces: list[tuple[int, Place]] = [(begin, place)]

    def join(self, position: int, place: Place) -> None:
        """From `position` on, not before the last join, lies what follows `place`."""
        if position < self._pieces[-1][0]:
            raise ValueError(f"a join at {position} lies before the last one at {self._pieces[-1][0]}")
        self._pieces = [*self._pieces, (position, place)]

    def forget(self, position: int) -> None:
        """Drop the pieces that end before `position`: an endless loop takes no more memory than a song."""
        self._pieces = self._pieces[self._index(self._pieces, position) :]

    def piece(self, position: int) -> Piece:
        """The piece around `position`; the first one where `position` lies before it."""
        pieces = self._pieces
        index = self._index(pieces, position)
        end = pieces[index + 1][0] if index + 1 < len(pieces) else None
        return Piece(pieces[index][0], end, pieces[index][1])

    def place(self, position: int) -> Place:
        """What lies at `position`."""
        begin, _, (track, sample) = self.piece(position)
        return Place(track, sample + position - begin)

    @staticmethod
    def _index(pieces: list[tuple[int, Place]], position: int) -> int:
        return max(bisect_right(pieces, position, key=lambda piece: piece[0]) - 1, 0)
