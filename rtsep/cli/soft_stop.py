"""Signals that ask a long run to end: the first lets it end what it is at."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ENDING = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if sys.platform != "win32" else []))


@contextmanager
def soft_stop(stop: Callable[[], None], patient: bool) -> Iterator[None]:
    """Within, control-C and its like call `stop`; once the block has ended, they do what they would have done.

    Args:
        stop: asks the run to end soon; called in the main thread, between any two lines of it.
        patient: whether a second signal changes nothing; else it does at once what it would have done.
    """
    before = {}
    came: list[int] = []

    def handle(number: int, frame: object) -> None:
        came.append(number)
        if not patient:
            signal.signal(number, before[number])
        stop()

    with contextlib.suppress(ValueError):  # not the main thread: whoever called owns the signals
        for number in ENDING:
            if signal.getsignal(number) != signal.SIG_IGN:
                before[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0])
