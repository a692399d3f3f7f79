"""Commands that move the play head: pause, jumps, loop, cue and songs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from rtsep.control.commands.base import LONGEST_SONG_S, Command, FileCommand

if TYPE_CHECKING:
    from rtsep.control.desk import Desk

Position = Annotated[float, Meta(ge=0, le=LONGEST_SONG_S, description="Seconds from the beginning of the song.")]
Step = Annotated[float, Meta(ge=-LONGEST_SONG_S, le=LONGEST_SONG_S, description="Seconds; negative: back.")]


class TogglePause(Command):
    """Pause or resume; live: mute or unmute the output."""

    def apply(self, desk: Desk) -> None:
        desk.player.toggle_pause()


class Play(Command):
    """Play, or resume."""

    def apply(self, desk: Desk) -> None:
        desk.player.play()


class Pause(Command):
    """Stop the play head; live: mute the output."""

    def apply(self, desk: Desk) -> None:
        desk.player.pause()


class Seek(FileCommand):
    """Jump to a time of the song."""

    position_s: Position

    def apply(self, desk: Desk) -> None:
        desk.file_player.seek(self.position_s)


class Nudge(FileCommand):
    """Jump forward or back by some seconds."""

    seconds: Step

    def apply(self, desk: Desk) -> None:
        desk.file_player.nudge(self.seconds)


class ToggleLoop(FileCommand):
    """Set loop start, set loop end, clear loop, one after the other."""

    def apply(self, desk: Desk) -> None:
        desk.file_player.toggle_loop()


class SetCue(FileCommand):
    """Set the cue point where the song is heard now."""

    def apply(self, desk: Desk) -> None:
        desk.file_player.set_cue()


class GoToCue(FileCommand):
    """Jump to the cue point, or to the beginning of the song without one."""

    def apply(self, desk: Desk) -> None:
        desk.file_player.go_to_cue()


class Previous(FileCommand):
    """Jump to the start of the song; from there to the song before."""

    def apply(self, desk: Desk) -> None:
        desk.file_player.previous()


class Next(FileCommand):
    """Jump to the next song."""

    def apply(self, desk: Desk) -> None:
        desk.file_player.next()
