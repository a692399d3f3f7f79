"""Processes of our own, from their parent's side: what they find around them, how they begin and end."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, cast

import rtsep

END_LIMIT_S = 2.0


def start(module: str, errors: IO[bytes], surroundings: dict[str, str], **inherited: Any) -> subprocess.Popen[bytes]:
    """A new process that runs `module`, with pipes for stdin and stdout; OSError if there can be none.

    Args:
        errors: where its stderr goes.
        surroundings: environment variables beyond ours.
        inherited: see `inheriting`.
    """
    command = [sys.executable, "-P", "-m", module]
    return cast(
        "subprocess.Popen[bytes]",
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment() | surroundings,
            **inherited,
        ),
    )


def tell(process: subprocess.Popen[bytes], config: Mapping[str, Any]) -> None:
    """Send a process what it is to do, one JSON line; whether it is still there shows elsewhere."""
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write((json.dumps(config) + "\n").encode())
        process.stdin.flush()


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask by closing its stdin, then insist."""
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
    try:
        process.wait(timeout=END_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def last_line(errors: IO[bytes]) -> str:
    """Of what a process said on its stderr."""
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


def environment() -> dict[str, str]:
    """A process finds the same modules as this one does, also those of a user's own network."""
    package_root = str(Path(rtsep.__file__).resolve().parent.parent)
    paths = [package_root, *(str(Path(path).absolute()) for path in sys.path)]
    return os.environ | {"PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


def inheriting(*descriptors: int) -> dict[str, Any]:
    """Arguments of Popen that hand down descriptors, and keep control-C, which is for the player, from the process."""
    if sys.platform == "win32":
        startup = subprocess.STARTUPINFO(lpAttributeList={"handle_list": list(descriptors)})
        return {"startupinfo": startup, "creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"pass_fds": descriptors, "start_new_session": True}
