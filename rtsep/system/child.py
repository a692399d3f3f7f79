"""Child processes, the child's side: read one JSON line from stdin, answer on stdout, end when stdin closes."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Callable
from typing import Any, NoReturn


def claim_stdout() -> int:
    """Return a descriptor for messages to the parent; what libraries print to stdout goes to stderr instead."""
    messages = os.dup(1)
    os.dup2(2, 1)
    return messages


def send_message(descriptor: int, message: dict[str, Any], data: memoryview | bytes = b"") -> None:
    """Write one JSON line to the parent, followed by `data`."""
    line = (json.dumps(message) + "\n").encode()
    with contextlib.suppress(BrokenPipeError):  # the parent has gone: stdin closes too
        for part in (memoryview(line), memoryview(data)):
            while part.nbytes:
                part = part[os.write(descriptor, part) :]


def read_config(on_message: Callable[[dict[str, Any]], None] = lambda message: None) -> dict[str, Any]:
    """Return the configuration that the parent sends. From now on this process ends as soon as the parent does.

    `on_message` is called by another thread with what the parent sends later.
    """
    # Unbuffered, so that nothing of stdin stays behind in a Python object.
    line = b""
    while not line.endswith(b"\n"):
        data = os.read(0, 1)
        if not data:
            os._exit(0)
        line += data
    threading.Thread(target=_listen, args=[on_message], daemon=True).start()
    return json.loads(line)


def _listen(on_message: Callable[[dict[str, Any]], None]) -> NoReturn:
    line = b""
    while data := os.read(0, 4096):
        *complete, line = (line + data).split(b"\n")
        for message in complete:
            on_message(json.loads(message))
    # Not sys.exit: another thread may be in the middle of a step, and there is nothing to save.
    os._exit(0)
