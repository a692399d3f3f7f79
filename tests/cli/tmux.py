"""A real terminal without a screen: a shell in a tmux session of its own, whose pane can be read."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

INSTALL_HINT = "a terminal to read back needs tmux: apt-get install tmux"


class Tmux:
    """A shell whose variable `start` holds a command. A context manager; skips the test where tmux is missing.

    Args:
        folder: where the settings of the shell are written.
        command, environment: what `start` runs, and with which variables beside the present ones.
        columns, rows: size of the window.
    """

    def __init__(
        self, folder: Path, command: list[str], environment: Mapping[str, str], columns: int = 80, rows: int = 24
    ) -> None:
        if shutil.which("tmux") is None:
            pytest.skip(INSTALL_HINT)
        self._socket = f"rtsep-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        settings = folder / "shell"
        words = ["env", *(f"{name}={value}" for name, value in environment.items()), *command]
        settings.write_text(f"PS1='$ '\nunset HISTFILE\nstart=({shlex.join(words)})\n")
        size = ("-x", str(columns), "-y", str(rows))
        self.run("-f", "/dev/null", "new-session", "-d", *size, "bash", "--rcfile", str(settings), "-i")

    def __enter__(self) -> Tmux:
        return self

    def __exit__(self, *error: object) -> None:
        self.run("kill-server")

    def run(self, *arguments: str) -> str:
        """What a command of tmux says."""
        command = ["tmux", "-u", "-L", self._socket, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=20).stdout

    def type(self, *keys: str) -> None:
        """Press keys, as tmux names them."""
        self.run("send-keys", "-t", ":0", *keys)

    def enter(self, line: str) -> None:
        """Type a line for the shell."""
        self.type("-l", line)
        self.type("Enter")

    def start(self) -> None:
        """Run the command; its exit code follows."""
        self.enter('clear; stty -g; "${start[@]}"; echo code $?')

    def resize(self, columns: int, rows: int) -> None:
        """Give the window another size."""
        self.run("resize-window", "-t", ":0", "-x", str(columns), "-y", str(rows))

    def rows(self) -> list[str]:
        """What the pane shows."""
        return self.run("capture-pane", "-p", "-t", ":0").split("\n")[:-1]

    def text(self) -> str:
        """All rows as one text, those that were broken joined."""
        return self.run("capture-pane", "-p", "-J", "-t", ":0")

    def wait_for(self, wanted: str | Callable[[list[str]], bool], limit_s: float = 60.0) -> list[str]:
        """The rows, once some text is among them, or they are as they should be."""
        deadline = time.monotonic() + limit_s
        while True:
            rows = self.rows()
            if wanted in self.text() if isinstance(wanted, str) else wanted(rows):
                return rows
            assert time.monotonic() < deadline, f"no {wanted!r} in\n" + "\n".join(rows)
            time.sleep(0.05)

    def modes(self) -> str:
        """The modes of the terminal, as the shell sees them."""
        self.enter("clear; stty -g; echo 'modes.'")
        self.wait_for("\nmodes.")
        return next(row for row in self.text().splitlines() if row.count(":") > 20)

    def pid(self, word: str) -> int:
        """Process id of the first process under the shell whose command has this word."""
        shell = int(self.run("list-panes", "-t", ":0", "-F", "#{pane_pid}"))
        listed = subprocess.run(["ps", "-eo", "pid,ppid,args", "--sort", "pid"], capture_output=True, text=True).stdout
        processes = [line.split() for line in listed.splitlines()[1:]]
        family, grown = {str(shell)}, True
        while grown:
            children = {pid for pid, parent, *_ in processes if parent in family}
            grown = not children <= family
            family |= children
        return next(int(pid) for pid, _, *words in processes if pid in family and word in words)
