"""Where a player plays: jumps, the loop, the cue and the queue of songs.

A jump to a place that was played before, the beginning of the loop or the cue, takes the stems along that were
separated then: the worker publishes them at once, and nobody waits for decoder or network.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import UsageError
from rtsep.player.queue.song import Song
from rtsep.player.queue.song_queue import SongQueue
from rtsep.player.queue.source import FileSource
from rtsep.player.queue.timeline import Loop, Place
from rtsep.shared.state import SharedState
from rtsep.timebase import FADE, HOP, SAMPLE_RATE

PATIENCE_S = 0.35
"""Silence after a jump before the dry sound is taken: longer than a seek takes, shorter than anybody wonders."""
LEAST_KEPT_HOPS = 8
"""Fewer are not worth keeping: the sound after them would come too late."""
SHORTEST_LOOP_S = 0.1
END_S = 1.0
"""Before the end of a song: as far as `nudge` goes, so that a large step near the end does not skip the song."""
RESTART_S = 3.0
"""Later than this into a song, `previous` leads to its beginning."""


@dataclass(frozen=True)
class Mark:
    """A place and the stems (rows, n * hop) that begin with its hop; None if they could not be had."""

    place: Place
    stems: NDArray[np.float32] | None


class Navigator:
    """The part of a player that moves the play head of a shared state over the songs of a source; for one thread.

    Args:
        shared, source: what is played.
        first: where to begin.
        patience_s: silence at the beginning before the dry sound is taken.
    """

    def __init__(self, shared: SharedState, source: FileSource, first: Place, patience_s: float) -> None:
        self.shared = shared
        self.source = source
        self._lock = threading.Lock()
        self._epoch = 0
        self._mail = 0
        self._target = first
        self._begin: Mark | None = None
        self._loop: Loop | None = None
        self._cue: Mark | None = None
        self.jump(first, patience_s=patience_s)

    @property
    def delay(self) -> int:
        """Samples between the callback and the ear of now: a key means what was heard when it was pressed."""
        return 0

    @property
    def epoch(self) -> int:
        """Counts the jumps."""
        return self._epoch

    @property
    def place(self) -> Place:
        """The song and the sample that is played next, or that the jump under way goes to."""
        head = self.shared.callback.read()
        if head.ack != self._mail:
            return self._target
        return self.source.place(head.epoch, head.position) or self._target

    @property
    def position(self) -> int:
        """The sample of `place`."""
        return self.place.sample

    @property
    def ended(self) -> bool:
        """Whether the last song has been played to its end."""
        head = self.shared.callback.read()
        return head.ended and head.ack == self._mail

    @property
    def loop_s(self) -> tuple[float, float | None] | None:
        """Beginning and end of the loop in seconds of its song; the end is None until it is set."""
        if self._begin is None:
            return None
        begin_s = self._begin.place.sample / SAMPLE_RATE
        return begin_s, None if self._loop is None else self._loop.end / SAMPLE_RATE

    @property
    def cue_s(self) -> float | None:
        """The cue in seconds of its song."""
        return None if self._cue is None else self._cue.place.sample / SAMPLE_RATE

    def seek(self, position_s: float) -> None:
        """Jump to a time of this song; beyond it is its end."""
        self._go(self.place.track, round(position_s * SAMPLE_RATE))

    def nudge(self, seconds: float) -> None:
        """Jump by a time, from where the last jump goes if that is still under way; never beyond the last second."""
        track, sample = self.place
        target, length = sample + round(seconds * SAMPLE_RATE), self.source.songs[track].length
        if seconds > 0 and length is not None:
            target = max(sample, min(target, length - round(END_S * SAMPLE_RATE)))
        if target != sample:
            self._go(track, target)

    def previous(self) -> None:
        """To the beginning of this song; from there to the song before."""
        track, sample = self.place
        before = self._queue.before(track) if sample < RESTART_S * SAMPLE_RATE else None
        self._change_song(track if before is None else before)

    def next(self) -> None:
        """To the next song, if there is one."""
        track = self._queue.after(self.place.track)
        if track is not None:
            self._change_song(track)

    def go_to_song(self, number: int) -> None:
        """To the beginning of a song of the queue, counted from 0; UsageError if there are fewer."""
        self._change_song(self._queue.track(number))

    def append_songs(self, songs: Sequence[Song]) -> None:
        """Add songs at the end of the queue."""
        with self._keeping_on():
            self._queue.add(songs)

    def remove_song(self, number: int) -> None:
        """Remove a song from the queue; if it is being played, the next one is, or else the one before.

        UsageError for the only song, or if there are fewer.
        """
        track = self._queue.track(number)
        beside = self._queue.after(track) if self._queue.after(track) is not None else self._queue.before(track)
        with self._keeping_on():
            self._queue.remove(number)
        if self._cue is not None and self._cue.place.track == track:
            self._cue = None
        if self.place.track == track and beside is not None:
            self._change_song(beside)

    def move_song(self, number: int, to: int) -> None:
        """Move a song of the queue to another place in it; UsageError if there are fewer."""
        with self._keeping_on():
            self._queue.move(number, to)

    def toggle_loop(self) -> None:
        """Set the beginning of the loop; then its end, and jump to its beginning; then clear it and play on."""
        heard = self._mark()
        begin = self._begin
        if self._loop is not None:
            self.clear_loop()
        elif begin is None or not self._can_end(begin.place, heard.place):
            self._begin = heard
        else:
            self._loop = Loop(begin.place.track, begin.place.sample, heard.place.sample)
            self._jump_to_mark(begin)

    def set_loop(self, start_s: float, end_s: float) -> None:
        """Loop between two times of this song; play on where that is between them, else jump to the start.

        An end beyond the song's is its end. UsageError for a loop that is too short.
        """
        place = self.place
        start, end = max(0, round(start_s * SAMPLE_RATE)), round(end_s * SAMPLE_RATE)
        length = self.source.songs[place.track].length
        if length is not None:
            end = min(end, length)
        if end - start < SHORTEST_LOOP_S * SAMPLE_RATE:
            raise UsageError(f"loop {start_s:g} to {end_s:g} s: expected at least {SHORTEST_LOOP_S:g} s of the song")
        self._begin, self._loop = Mark(Place(place.track, start), None), Loop(place.track, start, end)
        self._jump_to_mark(self._mark(0) if start <= place.sample < end else self._begin)

    def clear_loop(self) -> None:
        """Clear the loop, or its start, and play on."""
        is_set = self._loop is not None
        self._begin = self._loop = None
        if is_set:
            # What was read ahead turns back at the end of the loop: the song has to be read again from here.
            self._jump_to_mark(self._mark(0))

    def set_cue(self) -> None:
        """Remember what is heard now."""
        self._cue = self._mark()

    def go_to_cue(self) -> None:
        """Jump to the cue; without one to the beginning of the song."""
        if self._cue is None:
            self._change_song(self.place.track)
        else:
            self._jump_to_mark(self._cue)

    def jump(self, place: Place, stems: NDArray[np.float32] | None = None, patience_s: float = PATIENCE_S) -> None:
        """Let the play head go to `place`, whose hop `stems` (rows, n * hop) begin with, if they were kept."""
        with self._lock:
            self._epoch += 1
            self._target = place
            if stems is not None:  # before the source shows the worker the new epoch
                self._hand_over(place, stems)
            self.source.start(self._epoch, place, self._loop)
            self._mail = self.shared.transport.post(place.sample, self._epoch, round(patience_s * SAMPLE_RATE))

    # -- how -------------------------------------------------------------------------------------------------

    @property
    def _queue(self) -> SongQueue:
        return self.source.queue

    @contextmanager
    def _keeping_on(self) -> Iterator[None]:
        """While the queue changes: if what was to follow this song is in the stream already, read on from here anew."""
        track = self.place.track
        before = self._queue.after(track)
        yield
        head = self.shared.callback.read()
        has_jumped = head.ack == self._mail
        position = head.position if has_jumped else self._target.sample
        is_changed = track in self._queue.order and self._queue.after(track) != before
        is_over = has_jumped and head.ended
        if is_changed and self._loop is None and not is_over and self.source.follows(self._epoch, position):
            self._jump_to_mark(self._mark(0))

    def _hand_over(self, place: Place, stems: NDArray[np.float32]) -> None:
        """Put kept stems where the worker looks for them, as far as they go along with the stream to come."""
        begin = place.sample // HOP * HOP
        hops = stems.shape[1] // HOP
        if self._loop is not None and self._loop.track == place.track and place.sample < self._loop.end:
            hops = min(hops, (self._loop.end - FADE - begin) // HOP)  # there the stream turns back; it did not then
        if hops >= LEAST_KEPT_HOPS:
            self.shared.kept.restart(self._epoch, begin, begin)
            self.shared.kept.write(stems[:, : hops * HOP])

    def _go(self, track: int, sample: int) -> None:
        length = self.source.songs[track].length
        self.jump(Place(track, max(0, sample if length is None else min(sample, length))))

    def _change_song(self, track: int) -> None:
        if self._begin is not None and self._begin.place.track != track:
            self._begin = self._loop = None
        self.jump(Place(track, 0))

    def _jump_to_mark(self, mark: Mark) -> None:
        self.jump(mark.place, mark.stems)

    @staticmethod
    def _can_end(begin: Place, end: Place) -> bool:
        return begin.track == end.track and end.sample - begin.sample >= SHORTEST_LOOP_S * SAMPLE_RATE

    def _mark(self, delay: int | None = None) -> Mark:
        """What was played `delay` samples ago, by default what is heard now, and its stems as far as they are there."""
        head = self.shared.callback.read()
        position = head.position - (self.delay if delay is None else delay)
        piece = self.source.piece(head.epoch, position)
        place = self.source.place(head.epoch, position)
        if head.ack != self._mail or piece is None or place is None or place.sample < 0:
            return Mark(self._target, None)
        begin = position - place.sample % HOP
        ring = self.shared.stem.header()
        end = min(ring.end, begin + self.shared.kept.capacity)
        if piece.end is not None:  # before the next song, or the fade to the loop's beginning
            end = min(end, piece.end - FADE)
        hops = (end - begin) // HOP
        if hops < LEAST_KEPT_HOPS or begin < max(piece.begin, 0):
            return Mark(place, None)
        stems = np.zeros((self.shared.stem.rows, hops * HOP), np.float32)
        return Mark(place, stems if self.shared.stem.read(begin, stems, head.epoch) else None)
