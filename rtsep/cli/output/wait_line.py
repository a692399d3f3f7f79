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
            return
        waited_s = self._clock() - self._start_s
        due = [text for after_s, text in STARTING if waited_s > after_s]
        if due:
            self._show(due[-1])

    def _show_song(self, name: str, waiting: Waiting) -> None:
        starts = "" if waiting.left_s is None else f"starts in {status_line.clock(waiting.left_s + 1)}"
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
