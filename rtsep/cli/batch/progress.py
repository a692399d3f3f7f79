"""How far a batch is: a line on the terminal, or one JSON object at most once a second for each song."""

from __future__ import annotations

import json
import time

from rtsep.batch.tasks import Task
from rtsep.cli.output.progress_line import ProgressLine, duration
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
        self._finished = self._skipped = 0
        self._shares: dict[Task, float] = {}
        self._began: dict[Task, tuple[float, float]] = {}  # time and share when it was first heard of
        self._told_s: dict[Task, float] = {}
        self._line = ProgressLine()

    def show(self, task: Task, done: int, total: int | None) -> None:
        """`done` of `total` samples of a song are separated; the total is None while unknown."""
        now_s = time.monotonic()
        share = min(done / total, 1.0) if total else 0.0
        began_s, began_share = self._began.setdefault(task, (now_s, share))
        self._shares[task] = share
        if self._json:
            if now_s - self._told_s.setdefault(task, now_s) >= EVENT_S:
                self._told_s[task] = now_s
                put(json.dumps({"event": "progress", "file": str(task.song), "share": round(share, 3)}))
            return
        if self._songs == 1:
            self._line.show(task.track, done, total)
            return
        left = ""
        if began_share < share < 1:
            left = f", {duration((now_s - began_s) * (1 - share) / (share - began_share))} left"
        label = f"[{self._finished + 1}/{self._songs}] {task.track} {share:.0%}{left}"
        # What was done by an earlier run takes no time, and says nothing of the time that the others take.
        done_songs, songs = self._finished - self._skipped, self._songs - self._skipped
        self._line.show(label, round(1000 * (done_songs + sum(self._shares.values()))), 1000 * songs)

    def finish(self, task: Task, *, skipped: bool = False) -> None:
        """The song is done, or has failed, or was `skipped`."""
        self._finished += 1
        self._skipped += skipped
        for kept in (self._shares, self._began, self._told_s):
            kept.pop(task, None)
        self.clear()

    def clear(self) -> None:
        """Remove the line."""
        self._line.clear()
