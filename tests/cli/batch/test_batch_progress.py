"""The progress line of many songs: how far each is, how far all are, and the time that both still take."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtsep.batch.tasks import Task
from rtsep.cli.batch.progress import BatchProgress
from rtsep.cli.output import progress_line


def test_time_left_of_a_song_and_of_all(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    monkeypatch.setattr(progress_line.time, "monotonic", lambda: now)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    tasks = [Task(Path(f"{name}.wav"), {}) for name in "abcd"]
    progress = BatchProgress(4, json=False)
    progress.finish(tasks[0], skipped=True)  # by an earlier run: it took no time
    progress.show(tasks[1], 10, 100)
    now = 10.0
    progress.show(tasks[1], 25, 100)
    assert "[2/4] b 25%, 50 s left    8%  2 min left" in capsys.readouterr().err
    progress.show(tasks[2], 0, None)
    progress.finish(tasks[1])
    now = 40.0
    progress.show(tasks[2], 50, 100)
    assert "[3/4] c 50%, 30 s left   50%  40 s left" in capsys.readouterr().err
    progress.clear()
