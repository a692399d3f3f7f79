"""A real pseudo-terminal: keys as they are typed, the screen as it is written, the state as it was before."""

from __future__ import annotations

import io
import os
import pty
import select
import signal
import termios
from collections.abc import Iterator

import pytest

from rtsep.ui.terminal import Terminal, decode_keys


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
        (b"\x00\x01\x7f\r\nq", ["q"], b""),
        (b"\xff\xffq", [], b"\xff\xffq"),
        (b"", [], b""),
    ],
)
def test_bytes_become_keys(data: bytes, keys: list[str], rest: bytes) -> None:
    assert decode_keys(data) == (keys, rest)


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


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
    with pytest.raises(ZeroDivisionError), Terminal(stdin, Screen()) as terminal:  # noqa: PT012 - what happens inside
        assert terminal.takes_keys
        lines = termios.tcgetattr(stdin)[3]
        assert not lines & (termios.ICANON | termios.ECHO)
        assert lines & termios.ISIG  # control-C still interrupts
        os.write(user, b"b\x1b[C")
        assert terminal.read_keys(1.0) == ["b", "right"]
        os.write(user, b"\x1b")
        assert terminal.read_keys(1.0) == []
        os.write(user, b"[D")
        assert terminal.read_keys(1.0) == ["left"]
        os.write(user, b"\x1b")
        assert terminal.read_keys(1.0) == []
        assert terminal.read_keys(0.01) == []  # it was the ESC key
        os.write(user, b"[")
        assert terminal.read_keys(1.0) == ["["]
        raise ZeroDivisionError
    assert termios.tcgetattr(stdin) == before


def test_back_from_the_shell_keys_work_again(pair: tuple[int, io.TextIOWrapper]) -> None:
    user, stdin = pair
    before = termios.tcgetattr(stdin)
    handler = signal.getsignal(signal.SIGCONT)
    with Terminal(stdin, Screen()) as terminal:
        termios.tcsetattr(stdin, termios.TCSADRAIN, before)  # what a shell does after control-Z
        os.kill(os.getpid(), signal.SIGCONT)
        os.write(user, b"q")
        assert terminal.read_keys(1.0) == ["q"]
    assert signal.getsignal(signal.SIGCONT) == handler


def test_without_a_terminal_there_is_neither_key_nor_line() -> None:
    screen = io.StringIO()
    with Terminal(io.StringIO("q"), screen) as terminal:
        assert not terminal.takes_keys
        assert terminal.read_keys(0.0) == []
        terminal.status("status")
    assert screen.getvalue() == ""


def test_the_status_line_is_replaced_cut_and_taken_away() -> None:
    screen = Screen()
    with Terminal(io.StringIO(), screen) as terminal:
        terminal.status("0123456789" * 9)
        terminal.message("a line")
        terminal.status("short")
    line = ("0123456789" * 8)[:79]  # nobody tells how wide this screen is
    assert screen.getvalue() == f"\r{line}\x1b[K" + "\r\x1b[K" + "a line\n" + "\rshort\x1b[K" + "\r\x1b[K"


def test_the_line_is_as_wide_as_the_screen_it_goes_to() -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as screen:
        for columns, shown in ((12, 11), (30, 29), (0, 79)):  # 0: a terminal that does not know
            termios.tcsetwinsize(theirs, (24, columns))
            with Terminal(io.StringIO(), screen) as terminal:
                terminal.status("x" * 200)
            expected = "\r" + "x" * shown + "\x1b[K" + "\r\x1b[K"
            read = ""
            while len(read) < len(expected) and select.select([ours], [], [], 2.0)[0]:  # it may come in pieces
                read += os.read(ours, 4096).decode()
            assert read == expected
    os.close(ours)
