"""Commands about loops: set by times, kept by names, getting faster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from rtsep.control.commands.base import FileCommand
from rtsep.control.commands.navigation import Position
from rtsep.player.practice.limits import LARGEST_SPEED_STEP

if TYPE_CHECKING:
    from rtsep.control.desk import Desk

LoopName = Annotated[str, Meta(min_length=1, max_length=60, description="Name of a loop of this song.")]
SpeedUp = Annotated[
    float,
    Meta(ge=0, le=LARGEST_SPEED_STEP, description="Step of the speed each time round, such as 0.05; 0: none."),
]
Bars = Annotated[int, Meta(ge=1, le=64, description="Number of bars.")]


class SetLoop(FileCommand):
    """Loop between two times of the song."""

    start_s: Position
    end_s: Position

    def apply(self, desk: Desk) -> None:
        desk.file_player.set_loop(self.start_s, self.end_s)


class ClearLoop(FileCommand):
    """Clear the loop and play on."""

    def apply(self, desk: Desk) -> None:
        desk.file_player.clear_loop()


class LoopBars(FileCommand):
    """Loop so many bars from the beat that is heard now; the tempo must be known."""

    bars: Bars

    def apply(self, desk: Desk) -> None:
        desk.file_player.loop_bars(self.bars)


class SaveLoop(FileCommand):
    """Keep the loop that is set under a name."""

    loop: LoopName

    def apply(self, desk: Desk) -> None:
        desk.file_player.save_loop(self.loop)


class UseLoop(FileCommand):
    """Set the loop of this song that has that name."""

    loop: LoopName

    def apply(self, desk: Desk) -> None:
        desk.file_player.use_loop(self.loop)


class RemoveLoop(FileCommand):
    """Forget the loop of this song that has that name."""

    loop: LoopName

    def apply(self, desk: Desk) -> None:
        desk.file_player.remove_loop(self.loop)


class SetLoopSpeedUp(FileCommand):
    """Get faster each time the loop comes round."""

    step: SpeedUp

    def apply(self, desk: Desk) -> None:
        desk.file_player.set_loop_speed_up(self.step)
