"""What covers the player for a moment: the keys, and the values of a command."""

from __future__ import annotations

import shlex
from typing import Any, ClassVar, get_args

import msgspec
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from rtsep.control.commands.base import Command
from rtsep.control.table import KeyTable
from rtsep.errors import UsageError


class Dialog(ModalScreen[Any]):
    """A modal screen that ESC closes."""

    BINDINGS: ClassVar = [Binding("escape", "dismiss", "close")]


class KeysDialog(Dialog):
    """The table of keys. Any key but those that scroll closes it."""

    SCROLLING = ("up", "down", "pageup", "pagedown", "home", "end")

    def __init__(self, keys: KeyTable) -> None:
        super().__init__()
        self._keys = keys

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog"):
            yield Static(self._keys.text(), markup=False)

    def on_key(self, event: events.Key) -> None:
        """Close, unless it scrolls."""
        if event.key not in self.SCROLLING:
            event.stop()
            self.dismiss()


class ValuesDialog(Dialog):
    """Asks for the values of a command's fields, in one line. Returns the command."""

    def __init__(self, kind: type[Command]) -> None:
        super().__init__()
        self._kind = kind

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(f"{self._kind.text()}\n{usage(self._kind)}", markup=False)
            yield Input()
            yield Static("", id="problem", markup=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Return the command, or show what is wrong with the values."""
        try:
            self.dismiss(parse(self._kind, event.value))
        except UsageError as error:
            self.query_one("#problem", Static).update(str(error))


def usage(kind: type[Command]) -> str:
    """The fields of a command and what they mean, one a line."""
    lines = []
    for field in msgspec.structs.fields(kind):
        optional = "" if field.required else " (may be left out)"
        lines.append(f"{field.name}{optional}: {_description(field.type)}")
    return "\n".join(lines)


def parse(kind: type[Command], words: str) -> Command:
    """A command from the values of its fields, in their order, separated by spaces; a name with spaces in quotes.

    UsageError with the reason if they are not possible.
    """
    fields = msgspec.structs.fields(kind)
    try:
        values = shlex.split(words)
        if len(values) > len(fields):
            raise ValueError(f"{len(values)} values for {len(fields)} fields")
        given = {field.encode_name: value for field, value in zip(fields, values, strict=False)}
        return msgspec.convert({"command": kind.name(), **given}, kind, strict=False)
    except ValueError as error:  # msgspec's too
        raise UsageError(f"{kind.name()}: {error}") from error


def _description(of: Any) -> str:
    """What the annotation of a field says."""
    return " Or: ".join(_said(of)) or "a value"


def _said(of: Any) -> list[str]:
    own = [part.description for part in getattr(of, "__metadata__", ()) if part.description]
    return own or [text for part in get_args(of) for text in _said(part)]
