"""The lyrics of the song that a player plays: found once for each song, and shifted in time by the user."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rtsep.player.practice.limits import check_lyrics_offset
from rtsep.player.practice.lyric_files import find_lyrics
from rtsep.player.practice.lyrics import Lyrics


@dataclass(frozen=True)
class Sung:
    """What is sung at a moment: number and text of the line, and number of its word; None where none is."""

    line: int | None
    word: int | None
    text: str


class Singing:
    """The part of a player that has lyrics.

    Attributes:
        lyrics_offsets_s: by song, how much later its lyrics are shown than they say.
    """

    def __init__(self) -> None:
        self._lyrics: dict[Path, Lyrics | None] = {}
        self.lyrics_offsets_s: dict[Path, float] = {}

    @property
    def song_path(self) -> Path:
        """The file of the song that is played."""
        raise NotImplementedError

    @property
    def lyrics(self) -> Lyrics | None:
        """The lyrics of this song, from a file beside it or its tags; None if there are none."""
        path = self.song_path
        if path not in self._lyrics:
            self._lyrics[path] = find_lyrics(path)
        return self._lyrics[path]

    @property
    def lyrics_offset_s(self) -> float:
        """Seconds by which the lyrics of this song are shown later than they say; negative: earlier."""
        return self.lyrics_offsets_s.get(self.song_path, 0.0)

    def set_lyrics_offset(self, offset_s: float) -> None:
        """Show the lyrics of this song later, or earlier. ArgumentError beyond a minute."""
        self.lyrics_offsets_s[self.song_path] = check_lyrics_offset(offset_s)

    def sung(self, position_s: float) -> Sung | None:
        """What is sung at a time of this song; None for a song without lyrics that have times."""
        lyrics = self.lyrics
        if lyrics is None or not lyrics.timed:
            return None
        line, word = lyrics.at(position_s - self.lyrics_offset_s)
        return Sung(line, word, "" if line is None else lyrics.lines[line].text)
