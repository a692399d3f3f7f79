"""A background thread that fails says so in one line."""

import logging

import pytest

from rtsep.errors import RtsepError
from rtsep.system.guarded_thread import guarded_thread


def _run(error: Exception) -> list[str]:
    lines: list[str] = []

    def fail() -> None:
        raise error

    thread = guarded_thread(fail, "rtsep-test", "the decoder", lines.append)
    thread.start()
    thread.join()
    return lines


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("bad header\nand more"), "the decoder failed: ValueError: bad header"),
        (MemoryError(), "the decoder failed: MemoryError"),
        (RtsepError("song.wav: no such file"), "song.wav: no such file"),
    ],
)
def test_an_unhandled_exception_is_reported_in_one_line(error: Exception, line: str) -> None:
    assert _run(error) == [line]


def test_the_traceback_is_logged_for_debugging(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "rtsep"):
        _run(ValueError("bad header"))
    assert "Traceback" in caplog.text and "rtsep-test" in caplog.text


def test_nothing_is_reported_when_the_thread_ends_normally() -> None:
    lines: list[str] = []
    thread = guarded_thread(lambda: None, "rtsep-test", "the decoder", lines.append)
    thread.start()
    thread.join()
    assert lines == []
