"""`rtsep play` as an app in a real terminal: its sizes, how it is suspended, and how it ends."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.cli.tmux import Tmux
from tests.conftest import REPOSITORY
from tests.virtual_audio import VirtualAudio


@pytest.fixture
def screen(
    virtual_audio: VirtualAudio, tone: Path, constant_bundle: Callable[..., Path], tmp_path: Path
) -> Iterator[Tmux]:
    """A shell that is about to play three songs of six seconds."""
    model = str(constant_bundle(vocals=0.25, instrumental=0.75))
    command = [sys.executable, "-m", "rtsep", "play", *[str(tone)] * 3, "--device", "rt_out", "--model", model]
    environment = {
        **virtual_audio.environment,
        "LC_ALL": "C.UTF-8",
        "COLUMNS": "80",
        "LINES": "24",
        "PYTHONPATH": str(REPOSITORY),
    }
    with Tmux(tmp_path, command, environment | {"RTSEP_MODEL_DIR": "/nonexistent"}) as terminal:
        terminal.wait_for("$ ")
        yield terminal


def is_whole(rows: list[str], height: int) -> bool:
    """Whether everything is there that a terminal of any size shows."""
    return (
        len(rows) == height
        and "/0:06" in rows[0]
        and any(row.startswith("0:00") and row.rstrip().endswith("0:06") for row in rows)
        and any("1 vocals" in row and "[M]" in row for row in rows)
        and any("latency" in row for row in rows)
        and "q quit" in rows[-1]
    )


def test_it_plays_at_every_size_is_suspended_and_quits(screen: Tmux) -> None:
    before = screen.modes()
    screen.start()
    rows = screen.wait_for("0:01/0:06")
    assert "[1/3]" in rows[0]
    assert any("latency" in row for row in rows)
    screen.type("1")
    screen.wait_for("[M]")
    for columns, height in ((40, 12), (200, 60), (80, 24)):
        screen.resize(columns, height)
        screen.wait_for(lambda rows, height=height: is_whole(rows, height))
    screen.type("C-z")
    screen.wait_for("Stopped")
    assert screen.modes() == before
    screen.enter("fg")
    screen.wait_for("[M]")
    screen.type(">")
    screen.wait_for("[2/3]")
    screen.type("q")
    screen.wait_for("rtsep: played")
    assert screen.modes() == before


@pytest.mark.parametrize(
    ("victim", "number", "said"),
    [
        ("play", signal.SIGTERM, "code 143"),
        ("play", signal.SIGKILL, "code 137"),
        ("rtsep.ui.app.main", signal.SIGKILL, "the terminal app ended unexpectedly (exit code -9)"),
    ],
)
def test_whatever_is_killed_the_terminal_is_restored(
    screen: Tmux, victim: str, number: signal.Signals, said: str
) -> None:
    before = screen.modes()
    screen.start()
    screen.wait_for("0:01/0:06")
    os.kill(screen.pid(victim), number)
    screen.wait_for(said)
    if victim != "play":  # the sound goes on, and the status line takes over
        screen.wait_for(">1 vocals")
        screen.type("q")
        screen.wait_for("code 0")
    assert screen.modes() == before


def test_a_terminal_that_closes_ends_it(screen: Tmux) -> None:
    screen.start()
    screen.wait_for("0:01/0:06")
    processes = [psutil.Process(screen.pid(word)) for word in ("play", "rtsep.ui.app.main")]
    screen.run("kill-server")
    _, alive = psutil.wait_procs(processes, timeout=20)
    assert not alive
