"""Several songs at a time, each in a process of its own that keeps its model for the next one."""

from __future__ import annotations

import json
import os
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from rtsep.batch.outcome import EndOfRun, Outcome, Outcomes, TaskProgress, Written
from rtsep.batch.remote import is_url
from rtsep.batch.song_work import Settings
from rtsep.batch.tasks import Task
from rtsep.errors import RtsepError, UsageError
from rtsep.separation.backends.choose import on_cuda
from rtsep.system.spawn import ChildProcess

MODULE = "rtsep.batch.worker"


def count_jobs(jobs: int | None, compute: str, songs: int) -> int:
    """How many songs are separated at a time. None: one for each core, and one alone on a GPU."""
    if jobs is None:
        if on_cuda(compute):
            return 1
        jobs = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(min(jobs, songs), 1)


class _Worker:
    """A process, the task that it works on, and a thread that passes its messages on."""

    def __init__(self, config: dict[str, Any], messages: SimpleQueue[tuple[_Worker, dict[str, Any] | None]]) -> None:
        self.task: Task | None = None
        self._messages = messages
        # A thread each: with all cores at work, more would only be in each other's way.
        self._process = ChildProcess(MODULE, config, {"OMP_NUM_THREADS": "1"})
        self._listener = threading.Thread(target=self._listen, daemon=True, name="rtsep-job")
        self._listener.start()

    def give(self, task: Task) -> None:
        self.task = task
        outputs = {stem: str(path) for stem, path in task.outputs.items()}
        self._process.send(
            {
                "song": str(task.song),
                "outputs": outputs,
                "is_copied": task.is_copied,
                "error": task.error,
                "url": task.url,
            }
        )

    def reason(self) -> str:
        """Why it has ended."""
        return self._process.wait() or "without a message"

    def end(self) -> None:
        """Ask it to end, which removes what it has half-written, and wait until it has."""
        self._process.end()
        self._listener.join()
        self._process.close()

    def _listen(self) -> None:
        for line in self._process.stdout:
            self._messages.put((self, json.loads(line)))
        self._messages.put((self, None))


def run_in_processes(
    tasks: Sequence[Task],
    settings: Settings,
    compute: str,
    jobs: int,
    *,
    skip_existing: bool,
    progress: TaskProgress,
) -> Outcomes:
    """Do the work of all tasks, `jobs` at a time. EndOfRun if the model cannot be loaded.

    A process that dies fails its song alone; another one takes its place.
    """
    config = {"settings": asdict(settings), "compute": compute, "skip_existing": skip_existing}
    messages: SimpleQueue[tuple[_Worker, dict[str, Any] | None]] = SimpleQueue()
    waiting = deque(tasks)
    workers: set[_Worker] = set()

    def start() -> None:
        worker = _Worker(config, messages)
        workers.add(worker)
        worker.give(waiting.popleft())

    try:
        for _ in range(min(jobs, len(waiting))):
            start()
        while workers:
            worker, message = messages.get()
            task = worker.task
            if message is None:
                workers.discard(worker)
                if task is not None:
                    error = f"{task.song}: the process that separated it died ({worker.reason()})"
                    worker.end()
                    yield task, RtsepError(error)
                if waiting:
                    start()
            elif "end" in message:
                raise EndOfRun((UsageError if message["code"] == UsageError.exit_code else RtsepError)(message["end"]))
            elif "progress" in message:
                if task is not None:
                    progress(task, *message["progress"])
            elif task is not None:
                worker.task = None
                yield task, _outcome(message)
                if waiting:
                    worker.give(waiting.popleft())
                else:
                    worker.end()
    finally:
        for worker in workers:
            worker.end()


def _outcome(message: dict[str, Any]) -> Outcome:
    if "error" in message:
        return RtsepError(message["error"])
    written = message["written"]
    return Written([path if is_url(path) else Path(path) for path in written.pop("paths")], **written)
