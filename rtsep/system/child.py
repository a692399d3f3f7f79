"""Processes of our own, from their inside: one JSON line in on stdin, answers out on stdout, the end with stdin."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from typing import Any, NoReturn


def claim_stdout() -> int:
    """A descriptor for our answers; what libraries print to stdout goes to stderr instead."""
    answers = os.dup(1)
    os.dup2(2, 1)
    return answers


def answer(descriptor: int, message: dict[str, Any], data: memoryview | bytes = b"") -> None:
    """One JSON line, and `data` behind it."""
    line = (json.dumps(message) + "\n").encode()
    with contextlib.suppress(BrokenPipeError):  # nobody listens any more: stdin ends too
        for part in (memoryview(line), memoryview(data)):
            while part.nbytes:
                part = part[os.write(descriptor, part) :]


def read_config() -> dict[str, Any]:
    """What is to be done. From here on, whatever is going on, imports and long kernels included: no parent, no process.

    Unbuffered, so that nothing of stdin stays behind in a Python object.
    """
    line = b""
    while not line.endswith(b"\n"):
        data = os.read(0, 1)
        if not data:
            os._exit(0)
        line += data
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    return json.loads(line)


def _end_with_stdin() -> NoReturn:
    while os.read(0, 4096):
        pass
    # Not sys.exit: another thread may be in the middle of a step, and there is nothing to save.
    os._exit(0)
