"""How long the machine itself stands still: what a process of the highest rank, which nothing can push aside, waits.

Run as a program, it sleeps for `PERIOD_S` over and over at SCHED_FIFO 90 on one processor, until its stdin ends, then
prints as JSON how often and how much too late it woke up. On a virtual machine that is mostly the host, which gives the
processor to somebody else; no player can do anything about it.
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
"""Waking up so much too late counts: a block of 256 samples lasts 5.8 ms."""
PRIORITY = 90


class Stalls:
    """Watches every usable processor meanwhile. A context manager; nothing is watched where the rank is refused.

    Attributes:
        count, longest_ms: of all processors together, once it has ended; None where nothing could be watched.
    """

    count: int | None = None
    longest_ms: float | None = None

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
            self.count = sum(one["count"] for one in found)
            self.longest_ms = max(one["longest_ms"] for one in found)


def main() -> None:
    """Watch the processor that is named on the command line."""
    os.sched_setaffinity(0, {int(sys.argv[1])})
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    ending = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ending.set()), daemon=True).start()
    count, longest_s = 0, 0.0
    while not ending.is_set():
        began = time.perf_counter()
        time.sleep(PERIOD_S)
        late_s = time.perf_counter() - began - PERIOD_S
        count += late_s > STALL_S
        longest_s = max(longest_s, late_s)
    print(json.dumps({"count": count, "longest_ms": round(1000 * longest_s, 1)}))


if __name__ == "__main__":
    main()
