"""What comes of a song in a batch."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from rtsep.batch.tasks import Task
from rtsep.errors import RtsepError

Loaded = TypeVar("Loaded")
Progress = Callable[[int, int | None], object]
"""Called with the samples done and their total, None while that is unknown."""
TaskProgress = Callable[[Task, int, int | None], object]
"""The same of one of several tasks."""


@dataclass(frozen=True)
class Written:
    """What a task wrote: its files (or their URLs), the rest of its JSON object, and notes for the user.

    `event` is skipped if an earlier run wrote the same files, planned if they would be written.
    """

    paths: Sequence[Path | str] = ()
    entry: dict[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    event: Literal["done", "skipped", "planned"] = "done"


Outcome = Written | RtsepError
Outcomes = Generator[tuple[Task, Outcome], None, None]
"""Each task with what came of it, as soon as that is known. Closed early, it leaves nothing half-written."""


class EndOfRun(Exception):
    """An error that is not one song's, such as a missing model: no song can be separated."""

    def __init__(self, error: RtsepError) -> None:
        super().__init__(error)
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


def one_by_one(tasks: Iterable[Task], work: Callable[[Task, Progress], Written], progress: TaskProgress) -> Outcomes:
    """Do the work of each task, one after the other. A song that fails does not stop the next one; EndOfRun does."""
    for task in tasks:
        try:
            written: Outcome = work(task, partial(progress, task))
        except RtsepError as error:
            written = error
        yield task, written
