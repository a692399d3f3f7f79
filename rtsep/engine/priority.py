"""The worker's rank among the system's other work: a hop is due every 23 ms, whatever else is computed here."""

from __future__ import annotations

import contextlib
import os
import sys

NICE = -11
"""What sound servers run at."""
HIGH_PRIORITY_CLASS = 0x80  # Windows


def raise_priority() -> str:
    """Put this process before others as far as the system lets us; returns how far, in a few words.

    Not a real-time class: a network that hangs in one would take the whole processor with it.
    """
    if sys.platform == "win32":
        import ctypes

        kernel = ctypes.windll.kernel32
        raised = kernel.SetPriorityClass(kernel.GetCurrentProcess(), HIGH_PRIORITY_CLASS)
        return "high" if raised else "normal (the system refuses more)"
    for nice in (NICE, _most_negative_nice()):
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, nice)
            break
    # Linux weighs the processes of a session among themselves first, and then sessions: this one's is its own.
    with contextlib.suppress(OSError), open("/proc/self/autogroup", "w") as group:
        group.write(str(NICE))
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    return f"nice {nice}" if nice < 0 else f"nice {nice} (the system refuses more; on Linux, limits.conf: nice -11)"


def _most_negative_nice() -> int:
    """What RLIMIT_NICE permits, where there is such a limit; no change otherwise."""
    import resource

    limit = getattr(resource, "RLIMIT_NICE", None)
    if limit is None:
        return os.getpriority(os.PRIO_PROCESS, 0)
    allowed = resource.getrlimit(limit)[0]
    least = NICE if allowed == resource.RLIM_INFINITY else 20 - allowed
    return max(NICE, min(least, os.getpriority(os.PRIO_PROCESS, 0)))
