"""The progress line of a song that is separated before it can begin."""

from __future__ import annotations

import sys
import time

from rtsep.cli.output.progress_line import write_over
from rtsep.player.ahead.engine import Waiting
from rtsep.ui.status_line import clock

REFRESH_S = 0.2


class WaitingLine:
    """On a terminal a line that is written over; elsewhere one line, once it is known how long it takes.

    Args:
        name: of the song.
        quiet: say nothing at all.
    """

    def __init__(self, name: str, quiet: bool) -> None:
        self._name, self._quiet = name, quiet
        self._shown_s = float("-inf")
        self._said = False

    def show(self, waiting: Waiting) -> None:
        """Say how far it is, a few times a second."""
        now_s = time.monotonic()
        if self._quiet or now_s - self._shown_s < REFRESH_S:
            return
        self._shown_s = now_s
        begins = "" if waiting.left_s is None else f"begins in {clock(waiting.left_s + 1)}"
        if sys.stderr.isatty():
            share = "   ?" if waiting.share is None else f"{waiting.share:4.0%}"
            write_over(f"separating {self._name} ahead  {share}  {begins}")
        elif begins and not self._said:
            self._said = True
            print(f"rtsep: separating {self._name} ahead, {begins}", file=sys.stderr)

    def clear(self) -> None:
        """Take the line away."""
        if not self._quiet and sys.stderr.isatty():
            write_over("")
