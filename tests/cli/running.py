"""`rtsep` as a process: run to its end, or with somebody who types."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import termios
import time

from tests.conftest import REPOSITORY


def rtsep(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    command = [sys.executable, "-m", "rtsep", *map(str, arguments)]
    settings = {"capture_output": True, "text": True, "timeout": 120, "cwd": REPOSITORY} | options
    done = subprocess.run(command, **settings)  # type: ignore[call-overload]
    # How long a start takes is not under test.
    noise = ("rtsep: starting", "rtsep: still starting")
    done.stderr = "".join(line for line in done.stderr.splitlines(True) if not line.startswith(noise))
    return done


class Typist:
    """`rtsep play` in a pseudo-terminal; `screen` is everything it has written so far."""

    def __init__(self, *arguments: object, columns: int = 200) -> None:
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, columns))
        self.user = ours
        self.screen = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rtsep", "play", *map(str, arguments)],
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=theirs,
            cwd=REPOSITORY,
            env=os.environ | {"TERM": "dumb"},  # the status line; the app has a terminal of its own in its tests
            start_new_session=True,
        )
        self.terminal = theirs

    def type(self, keys: str) -> None:
        os.write(self.user, keys.encode())

    def wait_for(self, text: str, limit_s: float = 30.0) -> None:
        """Until `text` has appeared since the last call."""
        deadline = time.monotonic() + limit_s
        while text not in self.screen:
            assert time.monotonic() < deadline, f"no {text!r} in {self.screen[-600:]!r}"
            self._look(0.1)
        self.screen = self.screen.partition(text)[2]

    def wait(self) -> int:
        """Exit code; what is on the screen is read meanwhile."""
        deadline = time.monotonic() + 20
        while self.process.poll() is None:
            assert time.monotonic() < deadline, "still runs"
            self._look(0.1)
        while self._look(0.0):
            pass
        return self.process.returncode

    def _look(self, limit_s: float) -> bool:
        """Take in what is on the screen; False if there was nothing new for so long."""
        if not select.select([self.user], [], [], limit_s)[0]:
            return False
        self.screen += os.read(self.user, 65536).decode(errors="replace")
        return True

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        os.close(self.user)
        os.close(self.terminal)
