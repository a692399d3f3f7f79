"""Single keys from the terminal, which is restored whatever happens."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from typing import TextIO

if sys.platform != "win32":  # no keys on Windows yet
    import termios
    import tty

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
    b"\x7f": "backspace",
    b"\x08": "backspace",
}


def decode_keys(data: bytes) -> tuple[list[str], bytes]:
    """Return the names of the keys in `data`, and the rest if it may be the start of a sequence or of a character.

    The name of a printable key is its character. Unknown escape sequences are dropped.
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
    """Return the length in bytes of the escape sequence that `data` starts with; 0 if it is incomplete."""
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


class Keyboard:
    """Keys one by one, without echo; control-C still interrupts. A context manager.

    Keys come from stdin or, where that is a pipe, from the terminal that controls the process. Without a terminal there
    are none.

    Args:
        stdin: where keys come from if it is a terminal; `sys.stdin` by default.
        enabled: False: no keys in any case.
    """

    def __init__(self, stdin: TextIO | None = None, enabled: bool = True) -> None:
        self._stdin = stdin if stdin is not None else sys.stdin
        self._enabled = enabled
        self._input: int | None = None
        self._controlling: int | None = None
        """A descriptor of our own, to be closed."""
        self._saved: list | None = None
        self._old_continue: object = None
        self._rest = b""

    @property
    def has_keys(self) -> bool:
        """Whether keys can arrive."""
        return self._input is not None

    def __enter__(self) -> Keyboard:
        if sys.platform != "win32" and self._enabled:
            self._input = self._terminal()
            if self._input is not None:
                self._saved = termios.tcgetattr(self._input)
                self._old_continue = signal.signal(signal.SIGCONT, self._continued)
                tty.setcbreak(self._input, termios.TCSANOW)  # what was typed already stays
        return self

    def __exit__(self, *error: object) -> None:
        if sys.platform != "win32" and self._saved is not None and self._input is not None:
            signal.signal(signal.SIGCONT, self._old_continue)  # type: ignore[arg-type]
            termios.tcsetattr(self._input, termios.TCSADRAIN, self._saved)
            self._saved = None
        if self._controlling is not None:
            os.close(self._controlling)
        self._input = self._controlling = None

    def read_keys(self, timeout_s: float) -> list[str]:
        """Return the keys pressed since the last call; waits up to `timeout_s` for the first."""
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

    def _terminal(self) -> int | None:
        """Return a descriptor of the terminal; None for a background job, which would be stopped for changing it."""
        if is_terminal(self._stdin):
            number = self._stdin.fileno()
        else:
            try:
                number = self._controlling = os.open("/dev/tty", os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                return None
        return number if in_foreground(number) else None

    def _continued(self, _signal: int, _frame: object) -> None:
        # Back from control-Z: the shell has restored its own terminal mode meanwhile.
        if sys.platform != "win32" and self._input is not None and self._saved is not None:
            tty.setcbreak(self._input)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream is open on a terminal."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


def in_foreground(terminal: int) -> bool:
    """Whether this process may use the terminal: a job in the background would be stopped for it."""
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:  # not the terminal that controls this process
        return True
