"""Running tasks one after the other: a song that fails is reported, and the next one follows."""

from __future__ import annotations

import json as json_format
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from rtsep.cli.batch.tasks import Task
from rtsep.cli.output.progress_line import ProgressLine
from rtsep.errors import RtsepError
from rtsep.ui.console import put, say

LISTED_AT_ONCE = 10
"""Songs whose errors a reader still sees at the end; of more they are listed again."""
Loaded = TypeVar("Loaded")
Progress = Callable[[int, int | None], None]
"""Called with the samples done and their total, None while that is unknown."""


@dataclass(frozen=True)
class Written:
    """What a task wrote: its files, the rest of its JSON object, and notes for the user.

    `was_done`: it had nothing to do, since an earlier run wrote the same files.
    """

    paths: Sequence[Path] = ()
    entry: dict[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    was_done: bool = False


class EndOfRun(Exception):
    """An error that is not one song's, such as a missing model: no song can be separated."""

    def __init__(self, error: RtsepError) -> None:
        super().__init__(str(error))
        self.error = error


class Once(Generic[Loaded]):
    """What `load` returns, loaded at the first call. Its RtsepErrors end the run."""

    def __init__(self, load: Callable[[], Loaded]) -> None:
        self._load = load
        self._loaded: list[Loaded] = []

    def __call__(self) -> Loaded:
        if not self._loaded:
            try:
                self._loaded.append(self._load())
            except RtsepError as error:
                raise EndOfRun(error) from error
        return self._loaded[0]


def run_tasks(tasks: Sequence[Task], work: Callable[[Task, Progress], Written], *, json: bool) -> int:
    """Do the work of each task and print the paths of its files, or with `json` one object per task.

    Args:
        work: its RtsepErrors are reported, and the next task follows; EndOfRun ends the run with the RtsepError that it
            holds.

    Returns the exit code.
    """
    failures: list[str] = []
    done_before = 0
    for number, task in enumerate(tasks, start=1):
        label = f"[{number}/{len(tasks)}] {task.track}" if len(tasks) > 1 else task.track
        try:
            with ProgressLine() as line:
                written = work(task, partial(line.show, label))
        except EndOfRun as end:
            raise end.error from end
        except RtsepError as error:
            failures.append(str(error))
            say(error)
            if json:
                put(json_format.dumps({"file": str(task.song), "error": str(error)}))
            continue
        done_before += written.was_done
        for note in written.notes:
            say(note)
        for line_out in [json_format.dumps({"file": str(task.song), **written.entry})] if json else written.paths:
            put(line_out)
    return _sum_up(len(tasks), done_before, failures)


def _sum_up(tasks: int, done_before: int, failures: Sequence[str]) -> int:
    """Say what was skipped and, of many songs, what failed; return the exit code."""
    if done_before:
        say(f"{done_before} of {tasks} songs were separated already and are unchanged")
    if failures and tasks > LISTED_AT_ONCE:
        say(f"{len(failures)} of {tasks} songs failed:")
        for failure in failures:
            say(f"  {failure}")
    return 0 if not failures else 3 if len(failures) < tasks else 1
