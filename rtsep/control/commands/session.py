"""Commands about the run itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtsep.control.commands.base import Command

if TYPE_CHECKING:
    from rtsep.control.desk import Desk


class Help(Command):
    """Show the keys; for the face that was asked, which looks for this command itself."""

    def apply(self, desk: Desk) -> None:
        pass


class Palette(Command):
    """Find a command by what it does; for the face that was asked, as `Help`."""

    def apply(self, desk: Desk) -> None:
        pass


class Show(Command):
    """Show a panel; for the face that was asked, as `Help`."""

    panel: str

    def apply(self, desk: Desk) -> None:
        pass


class Quit(Command):
    """Quit."""

    def apply(self, desk: Desk) -> None:
        desk.quit()
