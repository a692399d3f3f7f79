"""Commands about the queue of songs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from rtsep.control.commands.base import FileCommand

if TYPE_CHECKING:
    from rtsep.control.desk import Desk

Number = Annotated[int, Meta(ge=0, description="Place of a song in the queue, counted from 0.")]


class GoToSong(FileCommand):
    """Jump to the beginning of a song of the queue."""

    number: Number

    def apply(self, desk: Desk) -> None:
        desk.file_player.go_to_song(self.number)


class RemoveSong(FileCommand):
    """Remove a song from the queue; if it is being played, the next one is."""

    number: Number

    def apply(self, desk: Desk) -> None:
        desk.file_player.remove_song(self.number)


class MoveSong(FileCommand):
    """Move a song of the queue to another place in it."""

    number: Number
    to: Number

    def apply(self, desk: Desk) -> None:
        desk.file_player.move_song(self.number, self.to)
