"""A line on stderr about something that takes long."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import Self

TERMINAL_S = 0.2


def write_over(text: str) -> None:
    """Put the text in place of the last line of stderr, a terminal."""
    print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


class ProgressLine:
    """Share done and time left; on a terminal written over, a few times a second, and gone at the end of `with`.

    The work goes on where stderr refuses it, as a terminal that is being closed does before its signal comes.

    Args:
        before: how much was done before it began, of what goes on; None: what is told first.
        lines_s: where stderr is no terminal, a line of its own so often; None for nothing.
    """

    def __init__(self, before: int | None = 0, lines_s: float | None = None) -> None:
        self._before, self._lines_s = before, lines_s
        self._began = self._last = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def show(self, said: str, done: int, total: int | None) -> None:
        """Tell it, unless that was done just now. `total`: None while it is not known."""
        if self._before is None:
            self._before = done
        now, terminal = time.monotonic(), sys.stderr.isatty()
        pause_s = TERMINAL_S if terminal else self._lines_s
        if pause_s is None or now - self._last < pause_s:
            return
        self._last = now
        text = f"{said}     ?"
        if total:
            left_s = (now - self._began) * (total - done) / max(done - self._before, 1)
            text = f"{said}  {done / total:4.0%}  {duration(left_s)} left"
        with suppress(OSError):
            if terminal:
                write_over(text)
            else:
                print(text, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Make room for another line."""
        with suppress(OSError):
            if sys.stderr.isatty():
                write_over("")


def duration(seconds: float) -> str:
    """``43 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
