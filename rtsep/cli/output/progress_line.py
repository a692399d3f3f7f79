"""Progress of a long task, on stderr."""

from __future__ import annotations

import time
from typing import Self

from rtsep.ui import console
from rtsep.ui.text import cells, printable, shorten

TERMINAL_S = 0.2


class ProgressLine:
    """Share done and time left. On a terminal it is the status line, removed at the end of `with`.

    Args:
        before: amount done before this run, which does not count for the speed; None: the first amount shown.
        lines_s: seconds between lines if stderr is not a terminal; None: no lines.
    """

    def __init__(self, before: int | None = 0, lines_s: float | None = None) -> None:
        self._before, self._lines_s = before, lines_s
        self._start_s = self._last_s = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def show(self, label: str, done: int, total: int | None) -> None:
        """Update the line, a few times a second at most. `total`: None while it is unknown."""
        if self._before is None:
            self._before = done
        now_s, on_terminal = time.monotonic(), console.has_status()
        pause_s = TERMINAL_S if on_terminal else self._lines_s
        if pause_s is None or now_s - self._last_s < pause_s:
            return
        self._last_s = now_s
        progress = "     ?"
        if total:
            left_s = (now_s - self._start_s) * (total - done) / max(done - self._before, 1)
            progress = f"  {done / total:4.0%}  {duration(left_s)} left"
        if on_terminal:
            show_progress(label, progress)
        else:
            console.write_lines(printable(label) + progress)

    def clear(self) -> None:
        """Remove it."""
        console.clear_status()


def show_progress(label: str, progress: str) -> None:
    """Show a label and its progress as the status line. On a narrow terminal the label is shortened."""
    console.show_status(shorten(printable(label), console.columns() - 1 - cells(progress)) + progress)


def duration(seconds: float) -> str:
    """Format a time for people: ``43 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
