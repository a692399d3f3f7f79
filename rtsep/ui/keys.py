"""The keys of each kind of player: what a key press does, the help screen and the documentation come from one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

SMALL_SEEK_S = 5.0
LARGE_SEEK_S = 60.0
GAIN_STEP_DB = 1.0
SHIFTED_DIGITS = "!@#$%^&*"
"""What SHIFT+1 to SHIFT+8 type on a US keyboard; a terminal reports characters, not keys."""


class Controls(Protocol):
    """What keys act on: a player, and what belongs to its screen. Stems are counted from 0.

    Attributes:
        player: `rtsep.player.file_player.FilePlayer` or `rtsep.player.live_player.LivePlayer`.
    """

    player: Any

    def toggle_mute(self, stem: int) -> None: ...
    def toggle_solo(self, stem: int) -> None: ...
    def select_next(self) -> None: ...
    def change_gain(self, step_db: float) -> None: ...
    def show_help(self) -> None: ...
    def quit(self) -> None: ...


@dataclass(frozen=True)
class Binding:
    """`keys` as `rtsep.ui.keyboard` names them; `shown` and `text` for people; `act` does it, on the player or not."""

    keys: tuple[str, ...]
    shown: str
    text: str
    act: Callable[[Controls, str], None]
    needs_player: bool = True


@dataclass(frozen=True)
class KeyTable:
    """The keys of one kind of player."""

    bindings: tuple[Binding, ...]

    def find(self, key: str) -> Binding | None:
        """The binding of `key`; None if it stands for nothing."""
        return next((binding for binding in self.bindings if key in binding.keys), None)

    def text(self) -> str:
        """The table for the screen, one line a binding."""
        width = max(len(binding.shown) for binding in self.bindings)
        return "\n".join(f"{binding.shown:<{width}}  {binding.text}" for binding in self.bindings)

    def sentence(self) -> str:
        """The table as one sentence, for `--help`."""
        return "Keys: " + "; ".join(f"{binding.shown} {binding.text}" for binding in self.bindings) + "."

    def markdown(self) -> str:
        """The table in Markdown, for the documentation."""
        rows = [f"| `{binding.shown}` | {binding.text} |" for binding in self.bindings]
        return "\n".join(["| key | action |", "|---|---|", *rows])


_NAVIGATION = (
    Binding((" ", "p"), "SPACE p", "pause or resume", lambda c, _: c.player.toggle_pause()),
    Binding(("left",), "LEFT", "5 s back", lambda c, _: c.player.nudge(-SMALL_SEEK_S)),
    Binding(("right",), "RIGHT", "5 s forward", lambda c, _: c.player.nudge(SMALL_SEEK_S)),
    Binding(("down",), "DOWN", "60 s back", lambda c, _: c.player.nudge(-LARGE_SEEK_S)),
    Binding(("up",), "UP", "60 s forward", lambda c, _: c.player.nudge(LARGE_SEEK_S)),
    Binding(("l",), "l", "set loop start, set loop end, clear loop", lambda c, _: c.player.toggle_loop()),
    Binding(("c",), "c", "set the cue point", lambda c, _: c.player.set_cue()),
    Binding(("v",), "v", "jump to the cue point", lambda c, _: c.player.go_to_cue()),
    Binding(("<",), "<", "start of song, previous song", lambda c, _: c.player.previous()),
    Binding((">",), ">", "next song", lambda c, _: c.player.next()),
)
_PAUSE_LIVE = (Binding((" ", "p"), "SPACE p", "mute or unmute the output", lambda c, _: c.player.toggle_pause()),)
_MIXING = (
    Binding(tuple("12345678"), "1 ... 8", "mute or unmute a stem", lambda c, key: c.toggle_mute(int(key) - 1)),
    Binding(
        tuple(SHIFTED_DIGITS),
        "SHIFT+1 ... 8",
        "solo a stem, or all stems again",
        lambda c, key: c.toggle_solo(SHIFTED_DIGITS.index(key)),
    ),
    Binding(("0",), "0", "all stems on", lambda c, _: c.player.all_on()),
    Binding(("b",), "b", "bypass: hear the original mix", lambda c, _: c.player.toggle_bypass()),
    Binding(("tab",), "TAB", "select the next stem", lambda c, _: c.select_next()),
    Binding(("+", "="), "+", "selected stem 1 dB louder", lambda c, _: c.change_gain(GAIN_STEP_DB)),
    Binding(("-", "_"), "-", "selected stem 1 dB softer", lambda c, _: c.change_gain(-GAIN_STEP_DB)),
    Binding((",",), ",", "volume 1 dB down", lambda c, _: c.player.change_volume(-GAIN_STEP_DB)),
    Binding((".",), ".", "volume 1 dB up", lambda c, _: c.player.change_volume(GAIN_STEP_DB)),
    Binding(("?",), "?", "show the keys", lambda c, _: c.show_help(), needs_player=False),
    Binding(("q",), "q", "quit", lambda c, _: c.quit(), needs_player=False),
)

PLAY_KEYS = KeyTable((*_NAVIGATION, *_MIXING))
LIVE_KEYS = KeyTable((*_PAUSE_LIVE, *_MIXING))
