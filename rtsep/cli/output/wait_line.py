"""Why nothing plays yet."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from rtsep.cli.output.progress_line import show_progress
from rtsep.ui import console, status_line

if TYPE_CHECKING:
    from rtsep.player.ahead.engine import Waiting

STARTING = ((1.0, "starting"), (10.0, "still starting: compiling, first run only, about 30 s"))
"""Shown when starting takes longer than so many seconds. With everything compiled it takes less than ten."""


class WaitLine:
    """The status line until something plays. If stderr is not a terminal, each reason is a message, once.

    Args:
        quiet: write nothing at all.
        clock: seconds that never go back.
    """

    def __init__(self, quiet: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._quiet = quiet
        self._clock = clock
        self._start_s = clock()
        self._song: tuple[str, Waiting] | None = None
        self._said: set[str] = set()

    def separating(self, name: str, waiting: Waiting) -> None:
        """Record that a song is being separated before it can start."""
        self._song = name, waiting

    def show(self) -> None:
        """Show the current reason."""
        if self._quiet:
            return
        if self._song is not None:
            self._show_song(*self._song)
        elif due := self._starting():
            self._show(due)

    def text(self) -> str:
        """The current reason, for a screen of its own."""
        if self._song is None:
            return self._starting() or STARTING[0][1]
        name, waiting = self._song
        share = "" if waiting.share is None else f"\n{waiting.share:.0%}"
        return f"separating {name} ahead{share}\n{_starts(waiting)}".rstrip()

    def _starting(self) -> str:
        """What has been going on for so long; empty in the first second."""
        waited_s = self._clock() - self._start_s
        return next((text for after_s, text in reversed(STARTING) if waited_s > after_s), "")

    def _show_song(self, name: str, waiting: Waiting) -> None:
        starts = _starts(waiting)
        if console.has_status():
            share = "   ?" if waiting.share is None else f"{waiting.share:4.0%}"
            show_progress(f"separating {name} ahead", f"  {share}  {starts}")
        elif starts and name not in self._said:
            self._said.add(name)
            console.say(f"separating {name} ahead, {starts}")

    def _show(self, text: str) -> None:
        if console.has_status():
            console.show_status(text)
        elif text not in self._said:
            self._said.add(text)
            console.say(text)


def _starts(waiting: Waiting) -> str:
    return "" if waiting.left_s is None else f"starts in {status_line.clock(waiting.left_s + 1)}"
