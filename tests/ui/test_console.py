"""Messages, status line and data, on a real pseudo-terminal and in pipes of any encoding."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtsep.ui import console
from tests.conftest import REPOSITORY

WRAP_OFF, WRAP_ON = "\x1b[?7l", "\x1b[?7h"


class Screen:
    """A terminal; a context manager in which stderr is shown there."""

    def __init__(self) -> None:
        self._ours, self._theirs = pty.openpty()
        self.stream = os.fdopen(self._theirs, "w", encoding="utf-8")

    def __enter__(self) -> None:
        self._before, sys.stderr = sys.stderr, self.stream

    def __exit__(self, *_: object) -> None:
        sys.stderr = self._before

    def resize(self, columns: int) -> None:
        termios.tcsetwinsize(self._theirs, (24, columns))

    def read(self, length: int) -> str:
        """So many characters, or what comes within a while."""
        data = b""
        while len(data.decode(errors="ignore")) < length and select.select([self._ours], [], [], 1.0)[0]:
            data += os.read(self._ours, 4096)
        return data.decode()

    def close(self) -> None:
        self.stream.close()
        os.close(self._ours)


@pytest.fixture
def screen() -> Iterator[Screen]:
    screen = Screen()
    yield screen
    screen.close()


def status(text: str) -> str:
    return f"\r{WRAP_OFF}{text}\x1b[K{WRAP_ON}"


@pytest.mark.parametrize(
    ("columns", "line", "shown"),
    [(12, "x" * 200, "x" * 11), (30, "日本語" * 9, ("日本語" * 9)[:14]), (0, "x" * 200, "x" * 79)],  # 0: unknown
)
def test_the_status_line_never_fills_the_row(screen: Screen, columns: int, line: str, shown: str) -> None:
    screen.resize(columns)
    with screen:
        console.show_status(line)
        console.clear_status()
    expected = status(shown) + "\r\x1b[K"
    assert screen.read(len(expected)) == expected


def test_messages_and_data_stand_on_rows_of_their_own(screen: Screen, capsys: pytest.CaptureFixture[str]) -> None:
    with screen:
        console.show_status("one")
        console.say("no\x1b[31m\nfile")
        console.show_status("two")
        console.put("path")
        console.put("path")
    expected = status("one") + "\r\x1b[Krtsep: no\\x1b[31m\\nfile\r\n" + status("two") + "\r\x1b[K"
    assert screen.read(len(expected)) == expected
    assert capsys.readouterr().out == "path\npath\n"


def test_without_a_terminal_there_is_no_status_line(capsys: pytest.CaptureFixture[str]) -> None:
    console.show_status("status")
    console.clear_status()
    console.say("said")
    assert capsys.readouterr().err == "rtsep: said\n"


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1", "utf-8:strict"])
def test_no_name_is_too_strange_for_any_stdout(encoding: str, tmp_path: Path) -> None:
    """Data comes out as the bytes that the file has in its folder, messages as text."""
    code = (
        "from rtsep.ui import console; console.make_streams_safe(); name = __import__('sys').argv[1];"
        "console.put(name); console.put('\\ud800'); console.say(name)"
    )
    name = "日本 é".encode() + b"\xff\n\x1b"
    environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "1", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", code, name], env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    latin = encoding == "latin-1"
    assert done.stdout == (name.replace("é".encode(), b"\xe9") if latin else name) + b"\n\\ud800\n"
    assert done.stderr.startswith(b"rtsep: ")
    assert done.stderr.endswith(b"\\xff\\n\\x1b\n")


def test_a_message_that_cannot_be_written_is_dropped() -> None:
    code = "import os; from rtsep.ui import console; os.close(2); console.say('gone'); console.put('still here')"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, stdout=subprocess.PIPE, check=False)
    assert (done.returncode, done.stdout) == (0, b"still here\n")
