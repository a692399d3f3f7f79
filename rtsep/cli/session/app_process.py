"""The app in the terminal, from the side of the process that plays: started, answered, suspended and ended.

It has a process of its own, in this one's job, and the terminal is restored whatever becomes of it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from rtsep.system.guarded_thread import guarded_thread
from rtsep.system.spawn import child_environment
from rtsep.ui import console
from rtsep.ui.keyboard import in_foreground, is_terminal

if sys.platform != "win32":
    import termios

if TYPE_CHECKING:
    from rtsep.ui.app.attendant import Attendant

END_LIMIT_S = 3.0
"""Seconds the app gets to restore the terminal before it is killed."""
STOP_LIMIT_S = 2.0
LEAVE = (
    "\x1b[?1000l\x1b[?1003l\x1b[?1006l\x1b[?1015l\x1b[?2004l\x1b[?2048l\x1b[?1004l"
    "\x1b[<u\x1b[?1049l\x1b[?25h\x1b[?7h\x1b[0m"
)
"""What the app writes last, and what is written for one that was killed: no more reports of mouse, paste, size and
focus; the main screen, with cursor and wrapping."""


def can_show_app() -> bool:
    """Whether the app can be shown: a terminal on stdin and stderr that can do more than lines, and textual."""
    return (
        sys.platform != "win32"
        and is_terminal(sys.stdin)
        and is_terminal(sys.stderr)
        and os.environ.get("TERM", "dumb") not in ("", "dumb")
        and in_foreground(sys.stdin.fileno())
        and importlib.util.find_spec("textual") is not None
    )


class AppProcess:
    """The app, started. Make and close it in the main thread.

    Args:
        attendant: answers it, in a thread of this object.
        is_live: whether live sound is played.
    """

    def __init__(self, attendant: Attendant, is_live: bool) -> None:
        self._attendant = attendant
        self._saved = termios.tcgetattr(sys.stdin.fileno())
        self._socket, theirs = socket.socketpair()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "rtsep.ui.app.main", str(theirs.fileno()), "live" if is_live else "play"],
            stdin=sys.stdin.fileno(),
            stdout=sys.stderr.fileno(),  # its size is asked there
            stderr=sys.stderr.fileno(),
            env=_environment(),
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        self._connection = Connection(os.dup(self._socket.fileno()))
        console.divert(attendant.lines.extend)
        self._old_handler = signal.signal(signal.SIGTSTP, self._suspend)
        self._thread = guarded_thread(self._answer, "rtsep-app", "the app", attendant.lines.append)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether it is there."""
        return self._process.poll() is None

    def close(self) -> str | None:
        """End it and restore the terminal. Returns why it had ended before, in a few words; None if it had not."""
        failure = None if self.running else f"exit code {self._process.returncode}"
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # which also wakes the thread that answers
        try:
            self._process.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join(END_LIMIT_S)
        self._connection.close()
        self._socket.close()
        signal.signal(signal.SIGTSTP, self._old_handler)
        with contextlib.suppress(OSError, termios.error):
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, self._saved)
        console.divert(None, leave="" if self._process.returncode == 0 else LEAVE)
        return failure

    def _answer(self) -> None:
        """Answer until one side closes the socket."""
        try:
            while True:
                self._connection.send_bytes(self._attendant.answer(self._connection.recv_bytes()))
        except (EOFError, OSError):
            pass
        finally:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)  # whatever went wrong here: it must not wait for an answer

    def _suspend(self, _signal: int, _frame: object) -> None:
        """Control-Z: first the app, which gives the terminal back, then this process; the shell continues both."""
        self._process.send_signal(signal.SIGTSTP)
        deadline = time.monotonic() + STOP_LIMIT_S
        flags = os.WSTOPPED | os.WEXITED | os.WNOHANG | os.WNOWAIT
        while os.waitid(os.P_PID, self._process.pid, flags) is None and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGSTOP)


def _environment() -> dict[str, str]:
    """The app asks the terminal for its size, which changes; what a shell may have exported does not."""
    return {name: value for name, value in child_environment().items() if name not in ("COLUMNS", "LINES")}
