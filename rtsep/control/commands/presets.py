"""Commands that set all faders at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from rtsep.control.commands.base import Command

if TYPE_CHECKING:
    from rtsep.control.desk import Desk

PresetName = Annotated[str, Meta(min_length=1, max_length=60, description="Name of a preset, such as karaoke.")]


class UsePreset(Command):
    """Set all faders as a preset has them."""

    preset: PresetName

    def apply(self, desk: Desk) -> None:
        desk.use_preset(self.preset)


class NextPreset(Command):
    """Use the next preset that this model has the stems for; after the last one all stems."""

    def apply(self, desk: Desk) -> None:
        desk.next_preset()
