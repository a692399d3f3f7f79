"""Signals that end a long run: it finishes what it is doing first."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

ENDING = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if sys.platform != "win32" else []))


@contextmanager
def soft_stop(stop: Callable[[], None], message: str) -> Iterator[None]:
    """Within, Ctrl-C, SIGTERM and SIGHUP call `stop`; after the block they have their usual effect.

    Only a Ctrl-C that follows another signal ends the run at once: a terminal that is closed sends SIGHUP twice, from
    its shell and from the kernel, and a supervisor may send SIGTERM twice.

    Args:
        stop: asks the run to end soon; called in the main thread, between any two lines of it.
        message: a line for stderr when the first signal comes; "" for none.
    """
    before: dict[int, Any] = {}
    came: list[int] = []

    def handle(number: int, frame: object) -> None:
        came.append(number)
        if len(came) > 1:
            return
        signal.signal(signal.SIGINT, before.get(signal.SIGINT, signal.SIG_IGN))
        stop()
        if message:
            _say(f"\n{message}\n")

    if threading.current_thread() is threading.main_thread():  # in other threads the caller owns the signals
        before = {number: signal.getsignal(number) for number in ENDING}
        before = {number: handler for number, handler in before.items() if handler != signal.SIG_IGN}
        for number in before:
            signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0])


def _say(text: str) -> None:
    """Write to stderr directly, since the signal may have come in the middle of a `print`."""
    try:
        os.write(2, text.encode())
    except OSError:  # the terminal has gone; later messages must not end the run
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(nowhere, stream)
        os.close(nowhere)
