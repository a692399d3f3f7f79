"""Keys typed on a real pseudo-terminal, which is as it was before in the end."""

from __future__ import annotations

import io
import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import suppress

import pytest

from rtsep.ui.keyboard import Keyboard, decode_keys
from tests.conftest import REPOSITORY


@pytest.mark.parametrize(
    ("data", "keys", "rest"),
    [
        (b"q", ["q"], b""),
        (b" p1!", [" ", "p", "1", "!"], b""),
        (b"\t", ["tab"], b""),
        (b"\x1b[A\x1b[B\x1b[C\x1b[D", ["up", "down", "right", "left"], b""),
        (b"\x1bOA\x1bOD", ["up", "left"], b""),
        (b"\x1b", [], b"\x1b"),
        (b"a\x1b[", ["a"], b"\x1b["),
        (b"\x1b[1;5Cq", ["q"], b""),  # control-right: unknown, swallowed whole
        (b"\x1b[3~q", ["q"], b""),
        (b"\x1bOPq", ["q"], b""),
        (b"\x1b\x1b[A", ["up"], b""),
        ("äq".encode(), ["ä", "q"], b""),
        ("ä".encode()[:1], [], "ä".encode()[:1]),
        (b"\x00\x01\r\nq", ["q"], b""),
        (b"\x7f\x08", ["backspace", "backspace"], b""),
        (b"\xff\xffq", [], b"\xff\xffq"),
        (b"", [], b""),
    ],
)
def test_bytes_become_keys(data: bytes, keys: list[str], rest: bytes) -> None:
    assert decode_keys(data) == (keys, rest)


@pytest.fixture
def pair() -> Iterator[tuple[int, io.TextIOWrapper]]:
    """What the user's side writes to, and the program's stdin."""
    ours, theirs = pty.openpty()
    stdin = os.fdopen(theirs, "r")
    yield ours, stdin
    stdin.close()
    os.close(ours)


def test_keys_arrive_at_once_and_unechoed_and_the_terminal_is_restored(pair: tuple[int, io.TextIOWrapper]) -> None:
    user, stdin = pair
    before = termios.tcgetattr(stdin)
    with pytest.raises(ZeroDivisionError), Keyboard(stdin) as keyboard:  # noqa: PT012 - what happens inside
        assert keyboard.has_keys
        lines = termios.tcgetattr(stdin)[3]
        assert not lines & (termios.ICANON | termios.ECHO)
        assert lines & termios.ISIG  # control-C still interrupts
        os.write(user, b"b\x1b[C")
        assert keyboard.read_keys(1.0) == ["b", "right"]
        os.write(user, b"\x1b")
        assert keyboard.read_keys(1.0) == []
        os.write(user, b"[D")
        assert keyboard.read_keys(1.0) == ["left"]
        os.write(user, b"\x1b")
        assert keyboard.read_keys(1.0) == []
        assert keyboard.read_keys(0.01) == []  # it was the ESC key
        os.write(user, b"[")
        assert keyboard.read_keys(1.0) == ["["]
        raise ZeroDivisionError
    assert termios.tcgetattr(stdin) == before


def test_back_from_the_shell_keys_work_again(pair: tuple[int, io.TextIOWrapper]) -> None:
    user, stdin = pair
    before = termios.tcgetattr(stdin)
    handler = signal.getsignal(signal.SIGCONT)
    with Keyboard(stdin) as keyboard:
        termios.tcsetattr(stdin, termios.TCSADRAIN, before)  # what a shell does after control-Z
        os.kill(os.getpid(), signal.SIGCONT)
        os.write(user, b"q")
        assert keyboard.read_keys(1.0) == ["q"]
    assert signal.getsignal(signal.SIGCONT) == handler


def test_without_a_terminal_there_are_no_keys() -> None:
    script = "from rtsep.ui.keyboard import Keyboard; k = Keyboard().__enter__(); print(k.has_keys, k.read_keys(0.0))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        input="q",
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        start_new_session=True,
    )
    assert done.stdout == "False []\n", done.stderr


def test_switched_off_it_leaves_the_terminal_alone(pair: tuple[int, io.TextIOWrapper]) -> None:
    _, stdin = pair
    before = termios.tcgetattr(stdin)
    with Keyboard(stdin, enabled=False) as keyboard:
        assert not keyboard.has_keys
        assert termios.tcgetattr(stdin) == before


def test_where_stdin_is_a_pipe_the_terminal_has_the_keys() -> None:
    """And it is restored at the end."""
    script = """
import sys, termios
from rtsep.ui.keyboard import Keyboard
tty = open("/dev/tty")
before = termios.tcgetattr(tty)
with Keyboard() as keyboard:
    print(keyboard.has_keys, flush=True)
    print(keyboard.read_keys(10.0), sys.stdin.read(), flush=True)
assert termios.tcgetattr(tty) == before
print("restored", flush=True)
"""
    pid, user = pty.fork()  # the child's controlling terminal
    if pid == 0:
        os.chdir(REPOSITORY)
        os.execvp("sh", ["sh", "-c", f"echo piped | exec {sys.executable} -c '{script}'"])
    shown = b""
    os.write(user, b"q")  # before the child is there, so it may be echoed: what counts comes after
    with suppress(OSError):  # Linux: the other side is closed
        while data := os.read(user, 4096):
            shown += data
    assert os.waitpid(pid, 0)[1] == 0, shown
    assert shown.endswith(b"True\r\n['q'] piped\r\n\r\nrestored\r\n"), shown
    os.close(user)
