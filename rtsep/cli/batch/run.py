"""What is printed of each song of a batch, and at its end."""

from __future__ import annotations

import json as json_format
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

from rtsep.batch.outcome import EndOfRun, Outcomes, Written
from rtsep.batch.tasks import Task
from rtsep.cli.batch.progress import BatchProgress
from rtsep.errors import RtsepError
from rtsep.ui.console import put, say

LISTED_AT_ONCE = 10
"""Songs whose errors a reader still sees at the end; of more they are listed again."""


def report(outcomes: Outcomes, tasks: int, progress: BatchProgress, *, json: bool) -> int:
    """Print the paths of each task's files, or with `json` one object per task. Returns the exit code.

    Raises the RtsepError that an EndOfRun holds.
    """
    failures: list[str] = []
    done_before = 0
    with closing(outcomes):
        try:
            for task, outcome in outcomes:
                progress.finish(task, skipped=isinstance(outcome, Written) and outcome.event == "skipped")
                if isinstance(outcome, RtsepError):
                    failures.append(str(outcome))
                    say(outcome)
                    _put_event(json, "failed", task, {"error": str(outcome)})
                    continue
                done_before += outcome.event == "skipped"
                for note in outcome.notes:
                    say(note)
                _put_event(json, outcome.event, task, outcome.entry)
                if not json:
                    for path in outcome.paths:
                        put(path)
        except EndOfRun as end:
            raise end.error from end
        finally:
            progress.clear()
    return _sum_up(tasks, done_before, failures)


def _put_event(json: bool, event: str, task: Task, entry: Mapping[str, Any]) -> None:
    if json:
        put(json_format.dumps({"event": event, "file": str(task.song), **entry}))


def _sum_up(tasks: int, done_before: int, failures: Sequence[str]) -> int:
    """Say what was skipped and, of many songs, what failed; return the exit code."""
    if done_before:
        say(f"{done_before} of {tasks} songs were separated already and are unchanged")
    if failures and tasks > LISTED_AT_ONCE:
        say(f"{len(failures)} of {tasks} songs failed:")
        for failure in failures:
            say(f"  {failure}")
    return 0 if not failures else 3 if len(failures) < tasks else 1
