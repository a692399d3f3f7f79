"""The choice of a sound device while playing."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from rtsep.control.commands.devices import SetInput, SetOutput
from rtsep.ui.app.dialogs import Dialog
from rtsep.ui.app.glyphs import Glyphs
from rtsep.ui.app.protocol import Request


class DeviceDialog(Dialog):
    """A list of devices; ENTER plays on one, or takes the live sound from it.

    Args:
        outputs, inputs: names; `inputs` is empty for songs.
        send: carries out the choice.
    """

    BINDINGS: ClassVar = [Binding("escape", "dismiss", "close")]

    def __init__(self, glyphs: Glyphs, outputs: list[str], inputs: list[str], send: Callable[[Request], None]) -> None:
        super().__init__()
        self._glyphs, self._send = glyphs, send
        self._commands = [*map(SetOutput, outputs), *map(SetInput, inputs)]

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog wide"):
            yield OptionList(*(Option(self._glyphs.text(_label(command))) for command in self._commands), markup=False)
            yield Static("ENTER choose  ESC close", markup=False)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Use it."""
        self._send(self._commands[event.option_index])
        self.dismiss()


def _label(command: SetOutput | SetInput) -> str:
    return f"{'output' if isinstance(command, SetOutput) else 'input '}  {command.device}"
