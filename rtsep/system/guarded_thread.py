"""Background threads whose errors reach the user: an unhandled exception becomes a message, not a silent stop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from rtsep.errors import RtsepError


def guarded_thread(
    run: Callable[[], object], name: str, what: str, report: Callable[[str], object]
) -> threading.Thread:
    """A daemon thread, not yet started, that runs `run`; if that raises, `report` gets one line and the thread ends.

    The traceback goes to the log (`logging`, logger ``rtsep``, level DEBUG).

    Args:
        name: of the thread, for debuggers.
        what: subject of the line, such as "the decoder". The text of an RtsepError is used as it is.
        report: called in the new thread.
    """

    def guarded() -> None:
        try:
            run()
        except Exception as error:
            logging.getLogger("rtsep").debug("thread %s failed", name, exc_info=True)
            known = isinstance(error, RtsepError)
            report(str(error) if known else f"{what} failed: {describe(error)}")

    return threading.Thread(target=guarded, name=name, daemon=True)


def describe(error: BaseException) -> str:
    """An unexpected exception in one line: its type and the first line of its text."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__
