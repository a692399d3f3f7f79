"""Loops with names, kept for each song, and a loop that gets faster each time round."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rtsep.errors import UsageError

LONGEST_NAME = 60
MOST_LOOPS = 100
"""Of one song."""


@dataclass(frozen=True)
class NamedLoop:
    """A loop of a song, in seconds of it."""

    name: str
    start_s: float
    end_s: float


class LoopBook:
    """Loops by song, each with a name of its own there. Plain lists, so that they can be saved and restored."""

    def __init__(self) -> None:
        self.of_song: dict[Path, list[NamedLoop]] = {}

    def loops(self, song: Path) -> list[NamedLoop]:
        """The loops of a song, as they were saved."""
        return list(self.of_song.get(song, []))

    def save(self, song: Path, loop: NamedLoop) -> None:
        """Save a loop, in place of one with the same name. UsageError for a bad name, and for too many."""
        if not 1 <= len(loop.name.strip()) <= LONGEST_NAME or not loop.name.isprintable():
            raise UsageError(f"loop name {loop.name!r}: expected 1 to {LONGEST_NAME} printable characters")
        others = [other for other in self.loops(song) if other.name != loop.name]
        if len(others) >= MOST_LOOPS:
            raise UsageError(f"{song.name} has {MOST_LOOPS} loops already: remove one")
        self.of_song[song] = [*others, loop]

    def find(self, song: Path, name: str) -> NamedLoop:
        """A loop of a song by its name; UsageError with the names that there are."""
        for loop in self.loops(song):
            if loop.name == name:
                return loop
        names = ", ".join(loop.name for loop in self.loops(song))
        raise UsageError(f'no loop "{name}" of {song.name}; ' + (f"there are {names}" if names else "none is saved"))

    def remove(self, song: Path, name: str) -> None:
        """Remove a loop of a song; UsageError if there is none of that name."""
        loop = self.find(song, name)
        self.of_song[song] = [other for other in self.loops(song) if other != loop]
