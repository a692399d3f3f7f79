"""A queue of songs as the source of a shared state: a decoder thread that keeps the mixture ring filled around the
play head.

The ring gets one stream without gaps: the next song's first sample follows the last one of the song before, and a
loop's first sample follows its last, as often as it is played. Downstream nobody knows; `place` tells where a position
of the stream lies.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence

import numpy as np

from rtsep.player.queue.song import Float32, Song
from rtsep.player.queue.song_queue import SongQueue
from rtsep.player.queue.timeline import Loop, Piece, Place, Timeline
from rtsep.separation.backends.stepper import MAX_CHUNK
from rtsep.separation.options import FIRST_FRAMES, MAX_CONTEXT_FRAMES, MAX_LOOKAHEAD_FRAMES
from rtsep.shared.state import SharedState
from rtsep.system.guarded_thread import describe, guarded_thread
from rtsep.timebase import FADE, HOP, SAMPLE_RATE, SUPPORT_HOPS

BLOCK = 8192
NEAR = FIRST_FRAMES * HOP
"""Samples before a seek's target that are decoded first of all: the first step looks no further back. It ends 4 hops
beyond the target or later, and its first window begins 3 before it."""
FIRST_AHEAD = 5 * BLOCK
"""Then so much beyond the play head, before the rest of the past: less than a second, so that what is heard a second
after a jump is separated with the past known."""
PREROLL = (MAX_CONTEXT_FRAMES + SUPPORT_HOPS + MAX_CHUNK) * HOP
"""Samples before a seek's target that are there in the end: the past that a network may look back to, from a border of
its longest step on."""
PAST = (MAX_CONTEXT_FRAMES + SUPPORT_HOPS) * HOP + SAMPLE_RATE
"""Samples behind the play head that stay in the ring: the longest context and a second."""
PADDING = (SUPPORT_HOPS + MAX_LOOKAHEAD_FRAMES + MAX_CHUNK + 1) * HOP
"""Zeros beyond the end, so that the last sample comes out of window, lookahead and the largest chunk."""
WAIT_S = 0.02
JOIN_S = 5.0


class FileSource:
    """Decodes songs into the mixture ring of a shared state, held back by the callback's position. Nothing waits for
    it.

    A song that is cut off or unreadable from some point on is played to its last good sample; the next one follows, and
    `messages` say so. What nobody foresaw ends the sound there, with a message; the next jump starts again.

    Args:
        songs: what is played, in this order; see `rtsep.player.queue.song.open_songs`.
        shared: whose mixture ring this object writes, alone.

    Attributes:
        queue: the songs and their order. None but this object's thread may call the songs' methods.
    """

    def __init__(self, songs: Sequence[Song], shared: SharedState) -> None:
        self.queue = SongQueue(songs)
        self._shared = shared
        self._ring = shared.mixture
        self._silence = np.zeros((shared.layout.channels, BLOCK), np.float32)
        self._request: tuple[int, Place, Loop | None] | None = None
        self._wake = threading.Condition()
        self._closing = False
        self._timeline: tuple[int, Timeline] = (-1, Timeline(0, Place(0, 0)))
        self._epoch = -1
        self._start = 0
        self._next = Place(0, 0)
        self._loop: Loop | None = None
        self._past: Iterator[None] | None = None
        self._eof: int | None = None
        self._failure: str | None = None
        self._thread = guarded_thread(self._run, "rtsep-decoder", "the decoder", self._fail)
        self._thread.start()

    @property
    def songs(self) -> Sequence[Song]:
        """What is known about each file, by its track."""
        return self.queue.songs

    @property
    def messages(self) -> list[str]:
        """What was wrong with songs so far, a line each; empty while all is well."""
        messages = [message for song in self.songs for message in song.messages]
        return messages if self._failure is None else [*messages, self._failure]

    def start(self, epoch: int, place: Place, loop: Loop | None = None) -> None:
        """Start again as `epoch` for a play head that will jump to stream position ``place.sample``.

        The stream turns back at the end of `loop` if `place` lies before that. Returns at once; the newest call wins.
        """
        with self._wake:
            self._request = (epoch, place, loop)
            self._wake.notify()

    def place(self, epoch: int, position: int) -> Place | None:
        """What lies at `position` of the stream of `epoch`; None if the source has not come to that epoch yet."""
        known, timeline = self._timeline
        return timeline.place(position) if known == epoch else None

    def piece(self, epoch: int, position: int) -> Piece | None:
        """The stretch of one song around `position`; None as `place`."""
        known, timeline = self._timeline
        return timeline.piece(position) if known == epoch else None

    def follows(self, epoch: int, position: int) -> bool:
        """Whether the stream already goes on behind the song at `position`: with another one, or with its end."""
        piece = self.piece(epoch, position)
        return piece is not None and (piece.end is not None or self._eof is not None)

    def close(self) -> None:
        """End the thread, which closes the files. May be called twice."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        # A decoder on storage that hangs is left alone: closed under its thread, it would crash.
        self._thread.join(timeout=JOIN_S)

    # -- the decoder's thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        request = None
        try:
            while not self._closing:
                try:
                    request = self._next_request()
                    self._turn(request)
                except Exception as error:
                    self._give_up(request, error)
        finally:
            for song in self.songs:
                song.close()

    def _next_request(self) -> tuple[int, Place, Loop | None] | None:
        with self._wake:
            if self._request is None and not self._closing and self._past is None and not self._has_room():
                self._wake.wait(WAIT_S)
            request, self._request = self._request, None
            return request

    def _turn(self, request: tuple[int, Place, Loop | None] | None) -> None:
        """A block at a time: a jump is not kept waiting."""
        if request is not None:
            self._restart(*request)
        elif self._past is not None and (self._is_ahead() or not self._has_room()):
            if next(self._past, "done") == "done":
                self._past = None
        elif self._has_room():
            self._fill()

    def _give_up(self, request: tuple[int, Place, Loop | None] | None, error: Exception) -> None:
        """End the stream where it is; the play head plays to there, and dry what is not separated."""
        self._fail(f"decoding stopped unexpectedly ({describe(error)}); seek to start it again")
        self._past = None
        if request is not None and self._ring.epoch != request[0]:  # it was to be the beginning of a stream
            epoch, place, _ = request
            self._epoch, self._start = epoch, place.sample
            self._timeline = (epoch, Timeline(place.sample, place))
            self._ring.restart(epoch, place.sample, place.sample)
        self._eof = self._ring.end
        self._ring.finish(self._eof)
        time.sleep(WAIT_S)  # should it fail again at once

    def _fail(self, message: str) -> None:
        self._failure = message

    def _is_ahead(self) -> bool:
        """Whether the play head will not come to the end of the ring soon."""
        return self._ring.end >= self._position() + FIRST_AHEAD

    def _has_room(self) -> bool:
        if self._epoch < 0:
            return False
        end = self._ring.end
        if self._eof is not None and end >= self._eof + PADDING:
            return False
        return end + BLOCK <= self._position() - PAST + self._ring.capacity

    def _position(self) -> int:
        head = self._shared.callback.read()
        return head.position if head.epoch == self._epoch else self._start

    def _restart(self, epoch: int, place: Place, loop: Loop | None) -> None:
        if place.track != self._next.track:
            self.songs[self._next.track].close()
        song = self.songs[place.track]
        self._epoch = epoch
        self._start = place.sample // HOP * HOP
        self._eof = None
        begin = self._start - NEAR
        self._loop = loop if loop is not None and loop.track == place.track and place.sample < loop.end else None
        self._next = Place(place.track, max(0, begin))
        self._timeline = (epoch, Timeline(begin, Place(place.track, begin)))
        self._ring.restart(epoch, begin, self._start)
        song.seek(self._next.sample)
        while self._ring.end < 0:  # the silence before the song
            self._ring.write(self._silence[:, : min(BLOCK, -self._ring.end)])
        self._past = self._fetch_past(song, begin) if begin > 0 else None

    def _fill(self) -> None:
        if self._eof is not None:
            self._ring.write(self._silence)
            return
        track, sample = self._next
        song, loop, wanted = self.songs[track], self._loop, BLOCK
        if loop is not None:
            left = loop.end - sample
            # Never a last block too short for its cross-fade.
            wanted = left - FADE if BLOCK < left < BLOCK + FADE else min(BLOCK, left)
        block = song.read(wanted)
        end = self._ring.end + block.shape[1]
        self._next = Place(track, sample + block.shape[1])
        # What follows is made known before END passes it, or the play head could be where nobody knows.
        if block.shape[1] < wanted:
            self._follow_with_next_song(end)
        elif loop is not None and self._next.sample == loop.end:
            self._turn_back(song, loop, block, end)
        if block.shape[1] > 0:
            self._ring.write(block)

    def _follow_with_next_song(self, end: int) -> None:
        self._loop = None
        with self.queue.lock:
            track = self.queue.after(self._next.track)
            if track is None:
                self._eof = max(end, 0)
                self._ring.finish(self._eof)
                return
            self.songs[self._next.track].close()
            self.songs[track].seek(0)
            self._join(end, Place(track, 0))

    def _turn_back(self, song: Song, loop: Loop, block: Float32, end: int) -> None:
        """Let the beginning of the loop follow; the last samples of `block` fade into those before the beginning."""
        fade = min(FADE, block.shape[1])
        lead = min(fade, loop.begin)
        song.seek(loop.begin - lead)
        before = np.zeros((block.shape[0], fade), np.float32)
        before[:, fade - lead :] = song.read(lead)
        weight = np.arange(1, fade + 1, dtype=np.float32) / np.float32(fade + 1)
        block[:, -fade:] += (before - block[:, -fade:]) * weight
        self._join(end, Place(loop.track, loop.begin))

    def _join(self, end: int, place: Place) -> None:
        timeline = self._timeline[1]
        timeline.join(end, place)
        timeline.forget(self._position() - PAST)
        self._next = place

    def _fetch_past(self, song: Song, end: int) -> Iterator[None]:
        """Put the samples before `end` that a full context needs before those in the ring, once all are there."""
        begin = max(0, self._start - PREROLL)
        blocks = []
        for block in song.past(begin, end, BLOCK):
            blocks.append(block)
            yield
        samples = np.concatenate(blocks, axis=1) if blocks else self._silence[:, :0]
        # Where decoding is slow the play head may have gone on so far that this past is none any more.
        has_room = self._ring.begin == end and self._ring.end - begin <= self._ring.capacity
        if samples.shape[1] == end - begin and has_room:
            self._ring.prepend(samples)
