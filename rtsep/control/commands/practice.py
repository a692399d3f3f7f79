"""Commands for practising: speed, key, lyrics, beats, and stems muted in a range."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from rtsep.control.commands.base import FileCommand
from rtsep.control.commands.mixing import Index, Name
from rtsep.control.commands.navigation import Position
from rtsep.player.practice.limits import (
    LARGEST_LYRICS_OFFSET_S,
    MAX_KEY,
    MAX_SPEED,
    MAX_TEMPO_BPM,
    MIN_SPEED,
    MIN_TEMPO_BPM,
)

if TYPE_CHECKING:
    from rtsep.control.desk import Desk

Speed = Annotated[float, Meta(ge=MIN_SPEED, le=MAX_SPEED, description="1 is the song's own, 2 twice as fast.")]
SpeedStep = Annotated[float, Meta(ge=-MAX_SPEED, le=MAX_SPEED, description="Step of the speed, such as 0.05.")]
Key = Annotated[float, Meta(ge=-MAX_KEY, le=MAX_KEY, description="Semitones up or down; cents are fractions of one.")]
KeyStep = Annotated[float, Meta(ge=-2 * MAX_KEY, le=2 * MAX_KEY, description="Step of the key, in semitones.")]
TempoBpm = Annotated[float, Meta(ge=MIN_TEMPO_BPM, le=MAX_TEMPO_BPM, description="Beats a minute.")]
LyricsOffset = Annotated[
    float,
    Meta(
        ge=-LARGEST_LYRICS_OFFSET_S,
        le=LARGEST_LYRICS_OFFSET_S,
        description="Seconds by which the lyrics of this song are shown later than they say; negative: earlier.",
    ),
]


class SetSpeed(FileCommand):
    """Play faster or slower in the same key."""

    speed: Speed

    def apply(self, desk: Desk) -> None:
        desk.file_player.set_speed(self.speed)


class ChangeSpeed(FileCommand):
    """Change the speed by a step."""

    step: SpeedStep

    def apply(self, desk: Desk) -> None:
        desk.file_player.change_speed(self.step)


class SetKey(FileCommand):
    """Play in another key at the same speed."""

    key: Key

    def apply(self, desk: Desk) -> None:
        desk.file_player.set_key(self.key)


class ChangeKey(FileCommand):
    """Change the key by a step."""

    step: KeyStep

    def apply(self, desk: Desk) -> None:
        desk.file_player.change_key(self.step)


class SetLyricsOffset(FileCommand):
    """Show the lyrics of this song later or earlier."""

    offset_s: LyricsOffset

    def apply(self, desk: Desk) -> None:
        desk.file_player.set_lyrics_offset(self.offset_s)


class TapTempo(FileCommand):
    """Tap the tempo: four times or more in time with the song."""

    def apply(self, desk: Desk) -> None:
        desk.file_player.tap_tempo()


class SetTempo(FileCommand):
    """Set the tempo of this song, and when a bar of it begins."""

    tempo_bpm: TempoBpm
    first_beat_s: Position = 0.0

    def apply(self, desk: Desk) -> None:
        desk.file_player.set_tempo(self.tempo_bpm, self.first_beat_s)


class ToggleMetronome(FileCommand):
    """Switch clicks on the beats on or off."""

    def apply(self, desk: Desk) -> None:
        desk.file_player.toggle_metronome()


class MuteRange(FileCommand):
    """Mute a stem between two times of this song."""

    stem: Index | Name
    start_s: Position
    end_s: Position

    def apply(self, desk: Desk) -> None:
        stem = desk.file_player.stems[desk.stem_index(self.stem)]
        desk.file_player.mute_range(stem, self.start_s, self.end_s)


class ClearMutedRanges(FileCommand):
    """Mute no stem of this song by its time any more."""

    def apply(self, desk: Desk) -> None:
        desk.file_player.clear_muted_ranges()
