"""What a session tells while it gets ready."""

import time

import pytest

from rtsep.cli.session import session


def test_half_a_minute_is_told_only_to_who_has_waited_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A warm start with its calibration is told nothing of the first time."""
    (soon_s, first), (late_s, second) = session.PATIENCE
    assert soon_s < 2 < 5 < late_s
    assert "half a minute" not in first
    assert "half a minute" in second
    monkeypatch.setattr(session, "PATIENCE", ((0.01, first), (0.3, second)))
    for wait_s, lines in ((0.0, []), (0.1, [first]), (0.5, [first, second])):
        with session.patience(quiet=False):
            time.sleep(wait_s)
        assert capsys.readouterr().err.splitlines() == [f"rtsep: {line}" for line in lines]
    with session.patience(quiet=True):
        time.sleep(0.05)
    assert capsys.readouterr().err == ""
