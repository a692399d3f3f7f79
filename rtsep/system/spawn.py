"""Child processes, the parent's side: start one with its configuration, read its messages, end it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, cast

import rtsep
from rtsep.errors import RtsepError

END_LIMIT_S = 2.0
"""Seconds a child gets to end by itself before it is killed."""


class ChildProcess:
    """A process that runs a module of the package: configuration on stdin, messages on stdout, stderr in a file.

    Control-C in the terminal doesn't reach it: its parent decides when it ends.

    Args:
        module: run as ``python -m``; see `rtsep.system.child` for its side.
        config: sent to it as one JSON line.
        environment: variables to add to `child_environment`.
        descriptors: file descriptors (handles on Windows) that it inherits.

    Attributes:
        stdout: its messages.

    Raises RtsepError if it can't be started.
    """

    def __init__(
        self,
        module: str,
        config: Mapping[str, Any],
        environment: Mapping[str, str] | None = None,
        descriptors: Sequence[int] = (),
    ) -> None:
        try:
            self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close
        except OSError as error:
            text = error.strerror or error
            raise RtsepError(f"no temporary file can be made ({text}); set TMPDIR to a writable folder") from error
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                env=child_environment() | dict(environment or {}),
                **_own_session(descriptors),
            )
        except OSError as error:
            self._stderr.close()
            raise RtsepError(f"cannot start a process for {module}: {error.strerror or error}") from error
        self._stdin = cast("IO[bytes]", self._process.stdin)
        self.stdout = cast("IO[bytes]", self._process.stdout)
        self.send(config)

    def send(self, message: Mapping[str, Any]) -> None:
        """Send it one more JSON line."""
        with contextlib.suppress(OSError):  # it has died: its stdout says so, by ending
            self._stdin.write((json.dumps(message) + "\n").encode())
            self._stdin.flush()

    @property
    def pid(self) -> int | None:
        """Its process id while it runs, else None."""
        return self._process.pid if self._process.poll() is None else None

    def wait(self) -> str | None:
        """Wait until it has ended; returns the last line of its stderr or its exit code, None if that is 0."""
        code = self._process.wait()
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return None if code == 0 else lines[-1] if lines else f"exit code {code}"

    def wait_limited(self, limit_s: float) -> int | None:
        """Wait until it has ended; returns its exit code, None if it was killed because the time was up."""
        try:
            return self._process.wait(timeout=limit_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return None

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> None:
        """Close its stdin, which asks it to end; kill it if it is still there after `END_LIMIT_S`."""
        with contextlib.suppress(OSError):
            self._stdin.close()
        self.wait_limited(END_LIMIT_S)

    def close(self) -> None:
        """Close pipes and files. Call it when the process has ended and nobody reads its messages."""
        for file in (self._stdin, self.stdout, self._stderr):
            with contextlib.suppress(OSError):
                file.close()


def child_environment() -> dict[str, str]:
    """Environment variables with which a child imports the same modules, those of a user's own network too."""
    package_root = str(Path(rtsep.__file__).resolve().parent.parent)
    paths = [package_root, *(str(Path(path).absolute()) for path in sys.path)]
    return os.environ | {"PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


def _own_session(descriptors: Sequence[int]) -> dict[str, Any]:
    """Arguments of Popen."""
    if sys.platform == "win32":
        startup = subprocess.STARTUPINFO(lpAttributeList={"handle_list": list(descriptors)})
        return {"startupinfo": startup, "creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"pass_fds": descriptors, "start_new_session": True}
