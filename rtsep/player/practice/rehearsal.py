"""What a player of songs does with marks in a song: loops with names, beats, and stems muted in a range."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import UsageError
from rtsep.player.mixer import Mixer
from rtsep.player.practice.beats import Beats, Clicks, TapTempo
from rtsep.player.practice.limits import check_speed_step, check_tempo
from rtsep.player.practice.loops import LoopBook, NamedLoop
from rtsep.player.practice.singing import Singing
from rtsep.player.practice.tempo import Tempo
from rtsep.player.queue.navigation import Navigator
from rtsep.timebase import SAMPLE_RATE


@dataclass(frozen=True)
class MutedRange:
    """A stem that is muted from one time of a song to another, in seconds."""

    stem: str
    start_s: float
    end_s: float


class Rehearsal(Mixer, Navigator, Tempo, Singing):
    """The part of a player of songs that joins loop and speed. Its other parts are initialised one by one.

    Attributes:
        loop_book: the loops with names, by song.
        beats_of_song: tempo and first beat, by song.
        muted_ranges_of_song: where stems are muted, by song.
    """

    def __init__(self) -> None:
        self.loop_book = LoopBook()
        self.beats_of_song: dict[Path, Beats] = {}
        self.muted_ranges_of_song: dict[Path, list[MutedRange]] = {}
        self._taps, self._clicks = TapTempo(), Clicks()
        self._speed_up = 0.0
        self._round: tuple[int, int] | None = None

    @property
    def loops(self) -> list[NamedLoop]:
        """The loops of this song that have names."""
        return self.loop_book.loops(self.song_path)

    @property
    def loop_speed_up(self) -> float:
        """By how much a loop gets faster each time round."""
        return self._speed_up

    def save_loop(self, name: str) -> None:
        """Keep the loop that is set under a name. UsageError without one, and for a bad name."""
        if self.loop_s is None or self.loop_s[1] is None:
            raise UsageError(f'no loop to save as "{name}"; set its start and end first')
        self.loop_book.save(self.song_path, NamedLoop(name, self.loop_s[0], self.loop_s[1]))

    def use_loop(self, name: str) -> None:
        """Set the loop of this song that has that name. UsageError if there is none."""
        loop = self.loop_book.find(self.song_path, name)
        self.set_loop(loop.start_s, loop.end_s)

    def remove_loop(self, name: str) -> None:
        """Forget the loop of this song that has that name; if it is played, it is played on. UsageError as above."""
        self.loop_book.remove(self.song_path, name)

    def set_loop_speed_up(self, step: float) -> None:
        """Get faster by `step` each time the loop comes round, up to twice the song's speed; 0 keeps the speed."""
        check_speed_step(step)
        if step != 0.0:
            self.check_practice()
        self._speed_up = step

    # -- beats -----------------------------------------------------------------------------------------------

    @property
    def beats(self) -> Beats | None:
        """The beats of this song; None while nobody knows its tempo."""
        return self.beats_of_song.get(self.song_path)

    @property
    def metronome(self) -> bool:
        """Whether there are clicks on the beats."""
        return self._stage.click is not None

    def tap_tempo(self) -> None:
        """Count a beat that is heard now; with four the tempo is known. The first of a count begins a bar."""
        beats = self._taps.tap(self._heard_s)
        if beats is not None:
            self.beats_of_song[self.song_path] = beats

    def set_tempo(self, tempo_bpm: float, first_beat_s: float) -> None:
        """Set the tempo of this song and when a bar of it begins. ArgumentError for no tempo of a song."""
        self.beats_of_song[self.song_path] = Beats(check_tempo(tempo_bpm), first_beat_s)

    def toggle_metronome(self) -> None:
        """Click on the beats, or no longer. UsageError while the tempo is unknown, or if not possible here."""
        self.check_practice()
        if self._stage.click is None:
            self._known_beats()
        self._stage.click = self._click if self._stage.click is None else None
        self._stage.set(self.speed, self.key)

    def loop_bars(self, bars: int) -> None:
        """Loop so many bars from the beat on that is nearest to what is heard. UsageError as of the metronome."""
        beats = self._known_beats()
        start_s = max(beats.nearest(self._heard_s), 0.0)
        self.set_loop(start_s, start_s + bars * beats.beats_a_bar * beats.beat_s)

    def _known_beats(self) -> Beats:
        if self.beats is None:
            raise UsageError("the tempo is not known yet: tap it four times along with the song (key t)")
        return self.beats

    @property
    def _heard_s(self) -> float:
        return (self.place.sample - self.delay) / SAMPLE_RATE

    def _click(self, epoch: int, position: int, block: NDArray[np.float32]) -> None:
        """Add the clicks of a block of the stream, which may have the end of a song or of a loop in it."""
        while block.shape[1] > 0 and (piece := self.source.piece(epoch, position)) is not None:
            count = block.shape[1] if piece.end is None else min(block.shape[1], max(piece.end - position, 1))
            beats = self.beats_of_song.get(self.source.songs[piece.place.track].path)
            if beats is not None:
                self._clicks.add(beats, piece.place.sample + position - piece.begin, block[:, :count])
            position, block = position + count, block[:, count:]

    # -- muted ranges ----------------------------------------------------------------------------------------

    @property
    def muted_ranges(self) -> list[MutedRange]:
        """Where stems of this song are muted."""
        return self.muted_ranges_of_song.get(self.song_path, [])

    def mute_range(self, stem: str, start_s: float, end_s: float) -> None:
        """Mute a stem between two times of this song. UsageError for no such stem, and for an empty range."""
        self.stem_index(stem)
        if not 0 <= start_s < end_s:
            raise UsageError(f"range {start_s:g} to {end_s:g} s: expected a start before the end, from 0 on")
        self.muted_ranges_of_song[self.song_path] = [*self.muted_ranges, MutedRange(stem, start_s, end_s)]

    def clear_muted_ranges(self) -> None:
        """Mute no stem of this song by its time any more."""
        self.muted_ranges_of_song.pop(self.song_path, None)

    def _mute_marked(self) -> None:
        # While speed or key are changed, a fader acts later: what is mixed now is looked at, not what is heard.
        time_s = (self.place.sample + self.speed_delay * self.speed) / SAMPLE_RATE
        marked = (muted for muted in self.muted_ranges if muted.start_s <= time_s < muted.end_s)
        self.mute_here(frozenset(self.stems.index(muted.stem) for muted in marked))

    def look(self) -> None:
        """Called some fifty times a second by the thread of speed and key: what is marked where the song is?"""
        self._mute_marked()
        if self._speed_up == 0.0 or self._loop is None:
            self._round = None
            return
        head = self.shared.callback.read()
        piece = self.source.piece(head.epoch, head.position)
        if piece is None:
            return
        before, self._round = self._round, (head.epoch, piece.begin)
        is_later = before is not None and before[0] == head.epoch and piece.begin > before[1]
        if is_later and piece.place.sample == self._loop.begin:
            self.change_speed(self._speed_up)
