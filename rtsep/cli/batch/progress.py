"""How far a batch is: a line on the terminal, or one JSON object at most once a second for each song."""

from __future__ import annotations

import json
import time

from rtsep.batch.tasks import Task
from rtsep.cli.output.progress_line import ProgressLine
from rtsep.ui.console import put

EVENT_S = 1.0


class BatchProgress:
    """Progress of several songs, some of them at a time.

    Args:
        songs: how many there are in all.
        json: print JSON instead of showing the line.
    """

    def __init__(self, songs: int, json: bool) -> None:
        self._songs, self._json = songs, json
        self._finished = 0
        self._shares: dict[Task, float] = {}
        self._told_s: dict[Task, float] = {}
        self._line = ProgressLine()

    def show(self, task: Task, done: int, total: int | None) -> None:
        """`done` of `total` samples of a song are separated; the total is None while unknown."""
        share = min(done / total, 1.0) if total else 0.0
        self._shares[task] = share
        if self._json:
            now_s = time.monotonic()
            if now_s - self._told_s.setdefault(task, now_s) >= EVENT_S:
                self._told_s[task] = now_s
                put(json.dumps({"event": "progress", "file": str(task.song), "share": round(share, 3)}))
            return
        if self._songs == 1:
            self._line.show(task.track, done, total)
            return
        label = f"[{self._finished + 1}/{self._songs}] {task.track} {share:.0%}"
        self._line.show(label, round(1000 * (self._finished + sum(self._shares.values()))), 1000 * self._songs)

    def finish(self, task: Task) -> None:
        """The song is done, or has failed."""
        self._finished += 1
        self._shares.pop(task, None)
        self._told_s.pop(task, None)
        self.clear()

    def clear(self) -> None:
        """Remove the line."""
        self._line.clear()
