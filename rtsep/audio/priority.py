"""The rank of the audio threads: a block is due every few milliseconds, whatever else the machine has to do.

PortAudio makes its threads itself. On macOS (CoreAudio) and Windows (WASAPI) the system gives them their rank; on Linux
they are threads like any other, and it falls to us. What runs in them is short: our compiled callback, and the
transport to the sound server. The worker keeps the rank of an ordinary process: a network in a real-time class could
take a whole processor with it, and one that is merely preferred takes it from a sound server that is not.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading

REALTIME_PRIORITY = 5
"""Of 99: before everything ordinary, behind sound servers (PipeWire: 88, JACK: 10 and up)."""
NICE = -11
"""Where no real-time class is permitted: what sound servers run at then."""

_TASKS = "/proc/self/task"


def native_threads() -> set[int]:
    """The system's numbers of this process's threads; empty where there is nothing for us to raise."""
    if not sys.platform.startswith("linux"):
        return set()
    with contextlib.suppress(OSError):
        return {int(name) for name in os.listdir(_TASKS)}
    return set()


def raise_new_threads(before: set[int]) -> None:
    """Raise those threads that are not in `before` and are not Python's, as far as the system permits."""
    python = {thread.native_id for thread in threading.enumerate()}
    for thread in native_threads() - before - python:
        _raise(thread)


def audio_rank() -> str:
    """In a few words, the rank that audio threads get on this system; tried on a thread of its own."""
    if not sys.platform.startswith("linux"):
        return "given by the system"
    ranks: list[str] = []
    trial = threading.Thread(target=lambda: ranks.append(_raise(threading.get_native_id())))
    trial.start()
    trial.join()
    return ranks[0]


def _raise(thread: int) -> str:
    """Raise a thread; how far, in a few words."""
    import resource

    allowed = resource.getrlimit(resource.RLIMIT_RTPRIO)[0]
    limits = [REALTIME_PRIORITY, *([allowed] if 0 < allowed < REALTIME_PRIORITY else [])]
    for priority in limits:
        with contextlib.suppress(OSError):
            os.sched_setscheduler(thread, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
            return f"real-time (SCHED_RR {priority})"
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, thread, NICE)
        return f"nice {NICE}"
    return "ordinary (the system permits no more; rtprio in /etc/security/limits.conf does)"
