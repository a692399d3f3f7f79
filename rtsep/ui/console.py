"""What rtsep writes: messages and one status line on stderr, data on stdout.

Messages and status may come from any thread and never mix on one row. Nothing here raises an encoding error, and a
message that stderr refuses (a terminal that was just closed) is dropped: it must not end the work it is about.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress

from rtsep.ui.text import cut, printable

FALLBACK_COLUMNS = 80

_lock = threading.RLock()
_status_is_up = False
_diverted: Callable[[list[str]], object] | None = None
_held: deque[str] = deque(maxlen=100)
"""The last lines that were diverted: shown when the terminal is back."""


def make_streams_safe() -> None:
    """Let stdout write file names as the bytes that they are, and stderr write escapes, whatever their encoding."""
    codecs.register_error("rtsep.file_names", _file_name_bytes)
    for stream, errors in ((sys.stdout, "rtsep.file_names"), (sys.stderr, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)


def _file_name_bytes(error: UnicodeError) -> tuple[str | bytes, int]:
    """The error handler of stdout: the bytes of the file system; escapes for what no file name can contain."""
    assert isinstance(error, UnicodeEncodeError)
    try:
        return os.fsencode(error.object[error.start : error.end]), error.end
    except UnicodeEncodeError:
        return codecs.backslashreplace_errors(error)


def say(text: object) -> None:
    """Write a message for people, one line on stderr."""
    write_lines(f"rtsep: {printable(text)}")


def write_lines(text: str) -> None:
    """Write lines for people on stderr."""
    lines = [printable(line) for line in text.split("\n")]
    with _lock:
        if _diverted is None:
            _write("".join(f"{line}\n" for line in lines), status_is_up=False)
        else:
            _held.extend(lines)
            _diverted(lines)


def say_lines(lines: Iterable[str]) -> None:
    """Write lines for people on stderr, made printable one by one."""
    write_lines("\n".join(map(printable, lines)))


def divert(receive: Callable[[list[str]], object] | None, leave: str = "") -> None:
    """Give lines for people to `receive` while something else draws on the terminal, and show no status line.

    None ends that: `leave` and the last hundred of those lines are written to the terminal.
    """
    global _diverted
    with _lock:
        clear_status()
        _diverted = receive
        if receive is None:
            _write(leave, status_is_up=False)
            _write("".join(f"{line}\n" for line in _held), status_is_up=False)
            _held.clear()


def put(text: object) -> None:
    """Write one line of data on stdout: unchanged for programs, printable on a terminal."""
    with _lock:
        clear_status()
        print(printable(text) if sys.stdout.isatty() else text, flush=True)


def has_status() -> bool:
    """Whether there is a status line: stderr is a terminal."""
    try:
        return sys.stderr.isatty()
    except ValueError:  # closed
        return False


def show_status(line: str) -> None:
    """Replace the status line with printable text, cut to the width of the terminal. Nothing without one."""
    if has_status() and _diverted is None:
        # Wrapping is off meanwhile: terminals differ in how wide some emoji are, and a wrapped line is never replaced.
        _write(f"\r\x1b[?7l{cut(line, columns() - 1)}\x1b[K\x1b[?7h", status_is_up=True)


def clear_status() -> None:
    """Remove the status line."""
    _write("", status_is_up=False)


def columns() -> int:
    """Width of the terminal that shows the status line; 80 where it is unknown."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or FALLBACK_COLUMNS
    except (OSError, ValueError):  # not a terminal, or without a descriptor
        return FALLBACK_COLUMNS


def _write(text: str, *, status_is_up: bool) -> None:
    global _status_is_up
    with _lock, suppress(OSError, ValueError):  # refused, or closed meanwhile
        if _status_is_up and not status_is_up:
            text = f"\r\x1b[K{text}"
        _status_is_up = status_is_up
        if text:
            sys.stderr.write(text)
            sys.stderr.flush()
