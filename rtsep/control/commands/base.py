"""What a command is: a message with typed fields that can be carried out on a desk."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import msgspec

if TYPE_CHECKING:
    from rtsep.control.desk import Desk

LONGEST_SONG_S = 360_000.0
"""100 hours: positions and steps beyond are no times of a song."""


def verb(class_name: str) -> str:
    """Name of a command for programs: ToggleMute -> toggle_mute."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in class_name).lstrip("_")


class Command(msgspec.Struct, tag_field="command", tag=verb, forbid_unknown_fields=True):
    """Something that a user can ask of a player. The first line of a subclass's docstring is its help.

    Attributes:
        songs, live: whether a player of songs has it, and one of live sound.
    """

    songs: ClassVar[bool] = True
    live: ClassVar[bool] = True

    def apply(self, desk: Desk) -> None:
        """Carry it out. UsageError if the player doesn't have what it names."""
        raise NotImplementedError

    @classmethod
    def name(cls) -> str:
        """What programs call it."""
        return str(cls.__struct_config__.tag)

    @classmethod
    def text(cls) -> str:
        """What it does, in a few words."""
        return (cls.__doc__ or "").split("\n")[0].rstrip(".")


class FileCommand(Command):
    """A command for songs only: live sound cannot be wound."""

    live: ClassVar[bool] = False


class LiveCommand(Command):
    """A command for live sound only: songs have no input."""

    songs: ClassVar[bool] = False
