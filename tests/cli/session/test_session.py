"""Keys before anything plays: a quit ends the start at once, other keys are kept until there is a player."""

from __future__ import annotations

import os
import pty
import sys
import termios
import time
from collections.abc import Iterator
from unittest.mock import Mock, call

import pytest

from rtsep.cli.session.options import PlayOptions
from rtsep.cli.session.session import Session
from rtsep.control.table import PLAY_KEYS
from rtsep.player.notices import Notices
from tests.waiting import wait_until


@pytest.fixture
def user(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The other end of the terminal on stdin."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "r") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield ours
    os.close(ours)


def test_a_quit_interrupts_the_start_and_is_not_an_error(user: int) -> None:
    before = termios.tcgetattr(sys.stdin)
    with Session(PLAY_KEYS, PlayOptions()):
        assert not termios.tcgetattr(sys.stdin)[3] & termios.ECHO
        os.write(user, b"q")
        time.sleep(20)
        raise AssertionError("not interrupted")
    assert termios.tcgetattr(sys.stdin) == before


def test_control_c_and_errors_pass(user: int) -> None:
    for error in (KeyboardInterrupt, ZeroDivisionError):
        with pytest.raises(error), Session(PLAY_KEYS, PlayOptions()):
            raise error


def test_keys_act_as_soon_as_there_is_a_player(user: int, capsys: pytest.CaptureFixture[str]) -> None:
    player = Mock(stems=("vocals", "drums"))
    with Session(PLAY_KEYS, PlayOptions(gain=(("drums", -3.0),))) as session:
        os.write(user, b"1?")
        wait_until(lambda: "mute or unmute a stem" in capsys.readouterr().err)  # help needs no player
        session.attach(player, Notices())
        wait_until(lambda: player.toggle_mute.called)
        os.write(user, b"39 \x1b[C")  # there is no third stem, and no key 9
        wait_until(lambda: player.nudge.called)
    assert player.mock_calls == [
        call.set_gain("drums", -3.0),
        call.toggle_mute(0),
        call.toggle_pause(),
        call.nudge(5.0),
    ]
