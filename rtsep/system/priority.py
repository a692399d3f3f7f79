"""What real-time work asks of the system: a block is due every few milliseconds, a hop every 23, whatever else runs.

Audio threads come first. PortAudio makes them itself; on macOS (CoreAudio) and Windows (WASAPI) the system ranks them,
on Linux they are threads like any other, and it falls to us. What runs in them is short: our compiled callback and the
way to the sound server. The worker comes second, and never in a real-time class: a network that hangs in one would take
the whole processor with it. What separates songs before they are played comes last. And what the first two have touched
shall stay in memory: machine code that was thrown out to make room for files must be read again, and behind a busy disk
that takes hundreds of milliseconds.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading

REALTIME_PRIORITY = 5
"""Of 99: before everything ordinary, behind sound servers (PipeWire: 88, JACK: 10 and up)."""
NICE = -11
"""What sound servers run at, where they get no real-time class."""
BEHIND_NICE = 10
HIGH_PRIORITY_CLASS, BELOW_NORMAL_PRIORITY_CLASS = 0x80, 0x4000  # Windows

MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4  # <sys/mman.h> of Linux

_REFUSED = "ordinary (the system permits no more; on Linux rtprio and nice in /etc/security/limits.conf do)"


def native_threads() -> set[int]:
    """The system's numbers of this process's threads; empty where there is nothing for us to raise."""
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError):
            return {int(name) for name in os.listdir("/proc/self/task")}
    return set()


def raise_new_threads(before: set[int]) -> None:
    """Make audio threads of those that are not in `before` and not Python's, as far as the system permits."""
    new = native_threads() - before
    for thread in new - {thread.native_id for thread in threading.enumerate()}:
        _raise_thread(thread)


def audio_priority() -> str:
    """In a few words, the rank that audio threads get on this system; tried on a thread of its own."""
    if not sys.platform.startswith("linux"):
        return "given by the system"
    ranks: list[str] = []
    trial = threading.Thread(target=lambda: ranks.append(_raise_thread(threading.get_native_id())))
    trial.start()
    trial.join()
    return ranks[0]


def raise_priority() -> str:
    """Put this process, which leads a session of its own, before ordinary ones as far as the system permits.

    Returns how far, in a few words.
    """
    if sys.platform == "win32":
        kernel = ctypes.windll.kernel32
        return "high" if kernel.SetPriorityClass(kernel.GetCurrentProcess(), HIGH_PRIORITY_CLASS) else _REFUSED
    # Linux weighs the processes of a session among themselves first, and then sessions: this one's is its own.
    with contextlib.suppress(OSError), open("/proc/self/autogroup", "w", encoding="ascii") as group:
        group.write(str(NICE))
    return _raise_nice(0)


def lower_priority() -> None:
    """Put this process, which leads a session of its own, behind ordinary ones: what it computes is not urgent."""
    if sys.platform == "win32":
        kernel = ctypes.windll.kernel32
        kernel.SetPriorityClass(kernel.GetCurrentProcess(), BELOW_NORMAL_PRIORITY_CLASS)
        return
    with contextlib.suppress(OSError), open("/proc/self/autogroup", "w", encoding="ascii") as group:
        group.write(str(BEHIND_NICE))
    with contextlib.suppress(OSError):
        os.nice(BEHIND_NICE)


def use_passive_waiting() -> None:
    """Let threads that share a computation sleep while they wait for each other. What the user has set stays.

    OpenMP's spin instead, and where a core is busy with something else two of them take six times as long as one. It
    reads this when PyTorch is imported: call it before.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def lock_memory() -> bool:
    """Let the system throw out nothing that this process touches, where it permits that without limit.

    Under a limit it would be worse than nothing: beyond it the process gets no memory any more.
    """
    if not sys.platform.startswith("linux"):
        return False
    import resource

    unlimited = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY
    if not (unlimited or os.geteuid() == 0):
        return False
    try:
        return bool(ctypes.CDLL(None).mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0)
    except (OSError, AttributeError):
        return False


def _raise_thread(thread: int) -> str:
    import resource

    allowed = resource.getrlimit(resource.RLIMIT_RTPRIO)[0]
    for priority in (REALTIME_PRIORITY, min(allowed, REALTIME_PRIORITY)):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(thread, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
            return f"real-time (SCHED_RR {priority})"
    return _raise_nice(thread)


def _raise_nice(thread: int) -> str:
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, thread, NICE)
        return f"nice {NICE}"
    return _REFUSED
