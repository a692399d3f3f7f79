"""Commands that choose sound devices while playing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from rtsep.control.commands.base import Command, LiveCommand

if TYPE_CHECKING:
    from rtsep.control.desk import Desk

Device = Annotated[str, Meta(min_length=1, max_length=200, description="Number, name or unique part of the name.")]


class SetOutput(Command):
    """Play on another output device."""

    device: Device

    def apply(self, desk: Desk) -> None:
        desk.player.use_output(self.device)


class SetInput(LiveCommand):
    """Take the live sound from another input device."""

    device: Device

    def apply(self, desk: Desk) -> None:
        desk.live_player.use_device("input", self.device)
