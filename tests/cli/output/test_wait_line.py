"""What is said until something plays."""

from __future__ import annotations

import pytest

from rtsep.cli.output.wait_line import WaitLine
from rtsep.player.ahead.engine import Waiting


@pytest.mark.parametrize("quiet", [False, True])
def test_without_a_terminal_each_reason_is_said_once(quiet: bool, capsys: pytest.CaptureFixture[str]) -> None:
    clock_s = iter((100.0, 100.5, 101.5, 105.0, 109.0, 111.0, 150.0))
    line = WaitLine(quiet, clock=lambda: next(clock_s))
    said = []
    for _ in range(6):
        line.show()
        said.append(capsys.readouterr().err)
    line.separating("song\n.flac", Waiting(None, None))
    line.show()
    for left_s in (8.0, 7.0):
        line.separating("song\n.flac", Waiting(0.2, left_s))
        line.show()
    said.append(capsys.readouterr().err)
    first, late = "rtsep: starting\n", "rtsep: still starting: compiling, first run only, about 30 s\n"
    ahead = "rtsep: separating song\\n.flac ahead, starts in 0:09\n"
    assert said == ([""] * 7 if quiet else ["", first, "", "", late, "", ahead])
