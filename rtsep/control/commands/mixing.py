"""Commands of the mixer: faders, mutes, solos, bypass and volume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from rtsep.control.commands.base import Command
from rtsep.player.faders import MAX_GAIN_DB, MIN_GAIN_DB

if TYPE_CHECKING:
    from rtsep.control.desk import Desk

Index = Annotated[int, Meta(ge=0, description="Number of a stem, counted from 0.")]
Name = Annotated[str, Meta(max_length=40, description="Name of a stem, such as vocals.")]
GainDb = Annotated[float, Meta(ge=MIN_GAIN_DB, le=MAX_GAIN_DB, description="Gain in dB.")]
StepDb = Annotated[float, Meta(ge=-100, le=100, description="Step in dB.")]


class ToggleMute(Command):
    """Mute or unmute a stem."""

    stem: Index | Name

    def apply(self, desk: Desk) -> None:
        desk.player.toggle_mute(desk.stem_index(self.stem))


class SetMute(Command):
    """Mute a stem, or unmute it."""

    stem: Index | Name
    muted: bool

    def apply(self, desk: Desk) -> None:
        desk.player.set_muted(desk.stem_index(self.stem), self.muted)


class ToggleSolo(Command):
    """Solo a stem, or all stems again."""

    stem: Index | Name

    def apply(self, desk: Desk) -> None:
        desk.player.toggle_solo(desk.stem_index(self.stem))


class AllOn(Command):
    """Switch all stems on: no mute, no solo, no fader at the bottom."""

    def apply(self, desk: Desk) -> None:
        desk.player.all_on()


class SetGain(Command):
    """Set the fader of a stem; no gain (null) is silence."""

    stem: Index | Name
    gain_db: GainDb | None

    def apply(self, desk: Desk) -> None:
        index = desk.stem_index(self.stem)
        desk.player.set_gain(desk.player.stems[index], float("-inf") if self.gain_db is None else self.gain_db)


class ChangeGain(Command):
    """Move the fader of the selected stem, or of the one named."""

    step_db: StepDb
    stem: Index | Name | None = None

    def apply(self, desk: Desk) -> None:
        desk.player.change_gain(desk.selected if self.stem is None else desk.stem_index(self.stem), self.step_db)


class SelectNext(Command):
    """Select the next stem: its fader follows + and -."""

    def apply(self, desk: Desk) -> None:
        desk.select((desk.selected + 1) % len(desk.player.stems))


class Select(Command):
    """Select a stem."""

    stem: Index | Name

    def apply(self, desk: Desk) -> None:
        desk.select(desk.stem_index(self.stem))


class ToggleBypass(Command):
    """Switch between the original mix and the stems."""

    def apply(self, desk: Desk) -> None:
        desk.player.toggle_bypass()


class SetVolume(Command):
    """Set the volume of the output."""

    volume_db: GainDb

    def apply(self, desk: Desk) -> None:
        desk.player.set_volume(self.volume_db)


class ChangeVolume(Command):
    """Change the volume of the output by a step."""

    step_db: StepDb

    def apply(self, desk: Desk) -> None:
        desk.player.change_volume(self.step_db)
