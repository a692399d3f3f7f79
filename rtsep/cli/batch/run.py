"""Running tasks one after the other: a song that fails is reported, and the next one follows."""

from __future__ import annotations

import json as json_format
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from rtsep.audio.files.reader import open_audio
from rtsep.cli.batch.tasks import Task
from rtsep.cli.output.progress_line import ProgressLine
from rtsep.errors import RtsepError
from rtsep.files import replacing
from rtsep.ui.console import put, say

Loaded = TypeVar("Loaded")
Progress = Callable[[int, int | None], None]
"""Called with the samples done and their total, None while that is unknown."""


@dataclass(frozen=True)
class Written:
    """What a task wrote: its files, the rest of its JSON object, and notes for the user."""

    paths: Sequence[Path]
    entry: dict[str, Any]
    notes: Sequence[str] = ()


def run_tasks(
    tasks: Sequence[Task],
    load: Callable[[], Loaded],
    write: Callable[[Loaded, Task, Progress], Written],
    *,
    json: bool,
) -> int:
    """Write the files of each task and print their paths, or with `json` one object per task. Returns the exit code.

    Args:
        load: loads the separator; not called if no song can be opened, so that a wrong path is reported at once. Its
            errors end the run.
        write: separates one song. Its RtsepErrors are reported, and the next task follows.
    """
    separable = any(_open_error(task.song) is None for task in tasks if not task.is_copied)
    separator = load() if separable else None
    failed = 0
    for number, task in enumerate(tasks, start=1):
        label = f"[{number}/{len(tasks)}] {task.track}" if len(tasks) > 1 else task.track
        try:
            if task.is_copied:
                written = _copy(task)
            elif separator is None:
                raise _open_error(task.song) or RtsepError(f"{task.song} could not be opened")
            else:
                with ProgressLine() as line:
                    written = write(separator, task, partial(line.show, label))
        except RtsepError as error:
            failed += 1
            say(error)
            if json:
                put(json_format.dumps({"file": str(task.song), "error": str(error)}))
            continue
        for note in written.notes:
            say(note)
        for line_out in [json_format.dumps({"file": str(task.song), **written.entry})] if json else written.paths:
            put(line_out)
    if failed:
        return 3 if failed < len(tasks) else 1
    return 0


def _open_error(song: Path) -> RtsepError | None:
    """Why a song cannot be opened; None if it can."""
    try:
        open_audio(song).close()
    except RtsepError as error:
        return error
    return None


def _copy(task: Task) -> Written:
    """Copy a song that is instrumental already, as that stem."""
    target = task.folder / f"instrumental{task.song.suffix.lower()}"
    try:
        source = task.song.open("rb")
    except OSError as error:
        raise RtsepError(f"cannot read {task.song}: {error.strerror}") from error
    with source, replacing(target) as temporary, temporary.open("xb") as copy:
        shutil.copyfileobj(source, copy)
    return Written([target], {"stems": {"instrumental": str(target)}})
