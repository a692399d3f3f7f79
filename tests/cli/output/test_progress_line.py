"""The progress line of a long task."""

import pytest

from rtsep.cli.output import progress_line as progress
from rtsep.cli.output.progress_line import ProgressLine, duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (99.4, "99 s"),
        (100, "2 min"),
        (3599, "1 h 0 min"),
        (12_000, "3 h 20 min"),
        (200_000, "55 h 33 min"),
    ],
)
def test_durations_are_rounded(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_what_was_done_before_does_not_shorten_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    line = ProgressLine(before=50, lines_s=10)
    now = 105.0
    line.show("early", 55, 100)
    now = 110.0
    line.show("step 60", 60, 100)
    line.show("just now", 61, 100)
    now = 120.0
    line.show("endless", 70, None)
    assert capsys.readouterr().err.splitlines() == ["step 60   60%  40 s left", "endless     ?"]


def test_without_a_terminal_and_lines_there_is_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    line = ProgressLine()
    line.show("here", 1, 2)
    line.clear()
    assert capsys.readouterr().err == ""
