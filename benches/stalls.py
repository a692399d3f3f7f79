"""Stalls of the machine: how late a process with the highest priority wakes up.

Run as a program, it sleeps for `PERIOD_S` repeatedly at SCHED_FIFO 90 on one processor until its stdin ends, then
prints as JSON when it woke up too late and by how much. On a virtual machine the cause is mostly the host, and no
player can prevent it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from types import TracebackType

PERIOD_S = 0.002
STALL_S = 0.005
"""Waking up later than this counts as a stall; a block of 256 samples lasts 5.8 ms."""
PRIORITY = 90


class Stalls:
    """A context manager that watches every usable processor, if the system permits the priority.

    Attributes:
        seen: time (`time.monotonic`) and duration in ms of each stall on any processor, after the end; None if nothing
            could be watched.
    """

    seen: list[tuple[float, float]] | None = None

    def __enter__(self) -> Stalls:
        processors = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self._watchers = [
            subprocess.Popen(
                [sys.executable, "-m", "benches.stalls", str(processor)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            for processor in processors
        ]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        said = [watcher.communicate()[0] for watcher in self._watchers]
        found = [json.loads(text) for text in said if text.strip()]
        if found:
            self.seen = sorted((at_s, late_ms) for one in found for at_s, late_ms in one)


def main() -> None:
    """Watch the processor given on the command line."""
    os.sched_setaffinity(0, {int(sys.argv[1])})
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    ending = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ending.set()), daemon=True).start()
    seen: list[tuple[float, float]] = []
    while not ending.is_set():
        began = time.monotonic()
        time.sleep(PERIOD_S)
        now = time.monotonic()
        late_s = now - began - PERIOD_S
        if late_s > STALL_S:
            seen.append((now, round(1000 * late_s, 1)))
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
