"""How far a long piece of work is, in a line on stderr that is written over."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

PROGRESS_S = 0.2


def progress(said: str) -> Callable[[int, int | None], None]:
    """A function of what is done and what there is, which shows it a few times a second; only on a terminal."""
    began = last = time.monotonic()
    first: int | None = None  # what was done before

    def show(done: int, total: int | None) -> None:
        nonlocal first, last
        if first is None:
            first = done
        now = time.monotonic()
        if not sys.stderr.isatty() or now - last < PROGRESS_S:
            return
        last = now
        share = f"{done / total:4.0%}" if total else "   ?"
        left = f"{(now - began) * (total - done) / (done - first):.0f} s left" if total and done > first else ""
        print(f"\r\x1b[K{said}  {share}  {left}", end="", file=sys.stderr, flush=True)

    return show


def clear_progress() -> None:
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
