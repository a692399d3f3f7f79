"""The one table of keys: the terminal obeys it, the help screen and the documentation are made from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

SMALL_SEEK_S = 5.0
LARGE_SEEK_S = 60.0
GAIN_STEP_DB = 1.0
MAX_STEMS = 8
SHIFTED_DIGITS = "!@#$%^&*"
"""What SHIFT+1 to SHIFT+8 type on a US keyboard; a terminal tells nothing better."""


class Controls(Protocol):
    """What keys can do. Stems are counted from 0; a number that no stem has is ignored."""

    def toggle_pause(self) -> None: ...
    def nudge(self, seconds: float) -> None: ...
    def toggle_loop(self) -> None: ...
    def set_cue(self) -> None: ...
    def go_to_cue(self) -> None: ...
    def previous(self) -> None: ...
    def next(self) -> None: ...
    def toggle_mute(self, stem: int) -> None: ...
    def toggle_solo(self, stem: int) -> None: ...
    def all_on(self) -> None: ...
    def toggle_bypass(self) -> None: ...
    def select_next(self) -> None: ...
    def change_gain(self, step_db: float) -> None: ...
    def change_volume(self, step_db: float) -> None: ...
    def toggle_help(self) -> None: ...
    def quit(self) -> None: ...


@dataclass(frozen=True)
class Binding:
    """`keys` as `rtsep.ui.terminal` names them; `shown` and `text` for people; `act` does it."""

    keys: tuple[str, ...]
    shown: str
    text: str
    act: Callable[[Controls, str], None]


BINDINGS: tuple[Binding, ...] = (
    Binding((" ", "p"), "SPACE p", "pause, go on", lambda c, _: c.toggle_pause()),
    Binding(("left",), "LEFT", "5 s back", lambda c, _: c.nudge(-SMALL_SEEK_S)),
    Binding(("right",), "RIGHT", "5 s on", lambda c, _: c.nudge(SMALL_SEEK_S)),
    Binding(("down",), "DOWN", "60 s back", lambda c, _: c.nudge(-LARGE_SEEK_S)),
    Binding(("up",), "UP", "60 s on", lambda c, _: c.nudge(LARGE_SEEK_S)),
    Binding(("l",), "l", "loop: from here; to here; no loop", lambda c, _: c.toggle_loop()),
    Binding(("c",), "c", "remember this place", lambda c, _: c.set_cue()),
    Binding(("v",), "v", "back to the place remembered", lambda c, _: c.go_to_cue()),
    Binding(("<",), "<", "begin of the song, song before", lambda c, _: c.previous()),
    Binding((">",), ">", "next song", lambda c, _: c.next()),
    Binding(
        tuple("12345678"),
        "1 ... 8",
        "mute a stem, or bring it back",
        lambda c, key: c.toggle_mute(int(key) - 1),
    ),
    Binding(
        tuple(SHIFTED_DIGITS),
        "SHIFT+1 ... 8",
        "hear a stem alone, or all again",
        lambda c, key: c.toggle_solo(SHIFTED_DIGITS.index(key)),
    ),
    Binding(("0",), "0", "all stems on", lambda c, _: c.all_on()),
    Binding(("b",), "b", "bypass: the song as it is", lambda c, _: c.toggle_bypass()),
    Binding(("tab",), "TAB", "select the next stem", lambda c, _: c.select_next()),
    Binding(("+", "="), "+", "selected stem 1 dB louder", lambda c, _: c.change_gain(GAIN_STEP_DB)),
    Binding(("-", "_"), "-", "selected stem 1 dB softer", lambda c, _: c.change_gain(-GAIN_STEP_DB)),
    Binding((",",), ",", "everything 1 dB softer", lambda c, _: c.change_volume(-GAIN_STEP_DB)),
    Binding((".",), ".", "everything 1 dB louder", lambda c, _: c.change_volume(GAIN_STEP_DB)),
    Binding(("?",), "?", "this help", lambda c, _: c.toggle_help()),
    Binding(("q",), "q", "quit", lambda c, _: c.quit()),
)

_BY_KEY = {key: binding for binding in BINDINGS for key in binding.keys}


def press(key: str, controls: Controls) -> bool:
    """Do what `key` stands for; False if it stands for nothing."""
    binding = _BY_KEY.get(key)
    if binding is None:
        return False
    binding.act(controls, key)
    return True


def help_text() -> str:
    """The table for the screen, one line a binding."""
    width = max(len(binding.shown) for binding in BINDINGS)
    return "\n".join(f"{binding.shown:<{width}}  {binding.text}" for binding in BINDINGS)


def help_sentence() -> str:
    """The table as one sentence, for `--help`."""
    return "Keys: " + "; ".join(f"{binding.shown} {binding.text}" for binding in BINDINGS) + "."


def help_markdown() -> str:
    """The table in Markdown, for the documentation."""
    rows = [f"| `{binding.shown}` | {binding.text} |" for binding in BINDINGS]
    return "\n".join(["| key | what it does |", "|---|---|", *rows])
