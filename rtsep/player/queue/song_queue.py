"""The songs that are played one after the other, in an order that may change meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from rtsep.errors import UsageError
from rtsep.player.queue.song import Song


class SongQueue:
    """Songs and their order. A song's track number is given when it is added and never changes; its place in the queue
    may. One thread changes the order; the decoder's reads it.

    Args:
        songs: the first ones, in their order.

    Attributes:
        songs: all that were ever added, by track number; one that was removed may still be heard until the jump.
        order: the track numbers of those in the queue.
        changes: counts the changes of the order.
        lock: held while the order is changed, and by the decoder from asking what follows until it is known.
    """

    def __init__(self, songs: Sequence[Song]) -> None:
        self.songs = list(songs)
        self.order = tuple(range(len(self.songs)))
        self.changes = 0
        self.lock = threading.RLock()

    def __len__(self) -> int:
        return len(self.order)

    def track(self, number: int) -> int:
        """Track of the song at place `number` of the queue, counted from 0; UsageError if there is none."""
        order = self.order
        if not 0 <= number < len(order):
            raise UsageError(f"no song {number + 1}; the queue has {len(order)}")
        return order[number]

    def number(self, track: int) -> int:
        """Place of a track in the queue; 0 if it was removed."""
        order = self.order
        return order.index(track) if track in order else 0

    def after(self, track: int) -> int | None:
        """The track that follows; None behind the last one."""
        return self._beside(track, 1)

    def before(self, track: int) -> int | None:
        """The track before; None at the first one."""
        return self._beside(track, -1)

    def add(self, songs: Sequence[Song]) -> None:
        """Add songs at the end."""
        with self.lock:
            first = len(self.songs)
            self.songs += songs
            self._set(self.order + tuple(range(first, len(self.songs))))

    def remove(self, number: int) -> int:
        """Remove the song at place `number`; returns its track. UsageError for the only song, or if there is none."""
        with self.lock:
            track = self.track(number)
            if len(self.order) == 1:
                raise UsageError("the only song of the queue cannot be removed; add another one first")
            self._set(tuple(other for other in self.order if other != track))
        return track

    def move(self, number: int, to: int) -> None:
        """Move the song at place `number` to place `to`. UsageError if there is no such place."""
        with self.lock:
            track = self.track(number)
            self.track(to)
            others = [other for other in self.order if other != track]
            self._set((*others[:to], track, *others[to:]))

    def _set(self, order: tuple[int, ...]) -> None:
        self.order = order
        self.changes += 1

    def _beside(self, track: int, step: int) -> int | None:
        order = self.order
        place = order.index(track) + step if track in order else -1
        return order[place] if 0 <= place < len(order) else None
