"""The terminal door: single keys in, one status line out, and the terminal as it was whatever happens."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from types import TracebackType
from typing import TextIO

if sys.platform != "win32":  # Windows: no keys yet, the status line alone
    import termios
    import tty

FALLBACK_COLUMNS = 80

_SEQUENCES = {
    b"\x1b[A": "up",
    b"\x1b[B": "down",
    b"\x1b[C": "right",
    b"\x1b[D": "left",
    b"\x1bOA": "up",
    b"\x1bOB": "down",
    b"\x1bOC": "right",
    b"\x1bOD": "left",
    b"\t": "tab",
}


def decode_keys(data: bytes) -> tuple[list[str], bytes]:
    """Names of the keys in `data`, and the rest that may be the begin of a sequence or of a character.

    A printable key is its own name; unknown escape sequences are swallowed whole.
    """
    keys: list[str] = []
    while data:
        for sequence, name in _SEQUENCES.items():
            if data.startswith(sequence):
                keys.append(name)
                data = data[len(sequence) :]
                break
        else:
            if data[0] == 0x1B:
                length = _escape_length(data)
                if length == 0:
                    return keys, data
                data = data[length:]
                continue
            length = 1 if data[0] < 0xC0 else 2 if data[0] < 0xE0 else 3 if data[0] < 0xF0 else 4
            if len(data) < length:
                return keys, data
            character = data[:length].decode("utf-8", errors="replace")
            data = data[length:]
            if character.isprintable():
                keys.append(character)
    return keys, b""


def _escape_length(data: bytes) -> int:
    """Bytes of the escape sequence that `data` begins with; 0 if it is not complete."""
    if len(data) == 1:
        return 0
    if data[1:2] == b"O":
        return 3 if len(data) >= 3 else 0
    if data[1:2] != b"[":
        return 1  # a lone ESC before another key
    for index in range(2, len(data)):
        if 0x40 <= data[index] <= 0x7E:
            return index + 1
    return 0


class Terminal:
    """Context manager: keys arrive one by one and unechoed until it is left; control-C still interrupts.

    Without a terminal on `stdin` there are no keys, without one on `screen` no status line.
    """

    def __init__(self, stdin: TextIO | None = None, screen: TextIO | None = None) -> None:
        self._screen = screen if screen is not None else sys.stderr
        stream = stdin if stdin is not None else sys.stdin
        can_read_keys = sys.platform != "win32" and _is_terminal(stream)
        self._input: int | None = stream.fileno() if can_read_keys else None
        self.shows = _is_terminal(self._screen)
        self._saved: list | None = None
        self._old_continue: object = None
        self._rest = b""
        self._line_is_up = False

    @property
    def takes_keys(self) -> bool:
        return self._input is not None

    def __enter__(self) -> Terminal:
        if sys.platform != "win32" and self._input is not None:
            self._saved = termios.tcgetattr(self._input)
            self._old_continue = signal.signal(signal.SIGCONT, self._continued)
            tty.setcbreak(self._input)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()
        if sys.platform != "win32" and self._input is not None and self._saved is not None:
            signal.signal(signal.SIGCONT, self._old_continue)  # type: ignore[arg-type]
            termios.tcsetattr(self._input, termios.TCSADRAIN, self._saved)
            self._saved = None

    def read_keys(self, timeout_s: float) -> list[str]:
        """Keys pressed since the last call; waits up to `timeout_s` for the first."""
        if self._input is None:
            time.sleep(timeout_s)
            return []
        if not select.select([self._input], [], [], timeout_s)[0]:
            self._rest = b""  # nobody types the rest of a sequence this slowly: it was the ESC key
            return []
        try:
            data = os.read(self._input, 1024)
        except OSError:
            data = b""
        if not data:  # the terminal is gone
            self._input = None
            return []
        keys, self._rest = decode_keys(self._rest + data)
        return keys

    def status(self, line: str) -> None:
        """Replace the status line; cut to the screen's width, since a wrapped line could not be replaced."""
        if self.shows:
            self._screen.write("\r" + line[: self._columns() - 1] + "\x1b[K")
            self._screen.flush()
            self._line_is_up = True

    def message(self, text: str) -> None:
        """Lines that stay, above the status line."""
        self.clear()
        self._screen.write(text + "\n")
        self._screen.flush()

    def clear(self) -> None:
        """Take the status line away."""
        if self._line_is_up:
            self._screen.write("\r\x1b[K")
            self._screen.flush()
            self._line_is_up = False

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self._screen.fileno()).columns or FALLBACK_COLUMNS
        except (OSError, ValueError):  # not a terminal after all, or without a descriptor
            return FALLBACK_COLUMNS

    def _continued(self, _signal: int, _frame: object) -> None:
        # Back from control-Z: the shell has put the terminal into its own state meanwhile.
        if sys.platform != "win32" and self._input is not None and self._saved is not None:
            tty.setcbreak(self._input)


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False
