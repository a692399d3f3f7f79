"""Priorities: a block is due every few milliseconds and a hop every 23, whatever else runs.

Audio threads come first. PortAudio makes them itself; macOS (CoreAudio) and Windows (WASAPI) set their priority, on
Linux we do. They run little: our compiled callback and the way to the sound server. The worker comes second, and never
in a real-time class: a network that hangs in one would block the whole processor. Separating songs ahead of playback
comes last. The memory that the first two use is locked: machine code that was dropped to make room for files must be
read again, which takes hundreds of milliseconds on a busy disk.
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

_REFUSED = "normal (no permission for more; on Linux set rtprio and nice in /etc/security/limits.conf)"


def native_threads() -> set[int]:
    """Return the system's ids of this process's threads; empty on systems that set priorities themselves."""
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError):
            return {int(name) for name in os.listdir("/proc/self/task")}
    return set()


def raise_new_threads(before: set[int]) -> None:
    """Give all threads that aren't in `before` and aren't Python's an audio priority, as far as permitted."""
    new = native_threads() - before
    for thread in new - {thread.native_id for thread in threading.enumerate()}:
        _raise_thread(thread)


def audio_priority() -> str:
    """Return the priority that audio threads get on this system, in a few words; a short-lived thread tries it."""
    if not sys.platform.startswith("linux"):
        return "set by the system"
    ranks: list[str] = []
    trial = threading.Thread(target=lambda: ranks.append(_raise_thread(threading.get_native_id())))
    trial.start()
    trial.join()
    return ranks[0]


def raise_priority() -> str:
    """Raise the priority of this process, which leads its own session, as far as permitted.

    Returns the priority, in a few words.
    """
    if sys.platform == "win32":
        kernel = ctypes.windll.kernel32
        return "high" if kernel.SetPriorityClass(kernel.GetCurrentProcess(), HIGH_PRIORITY_CLASS) else _REFUSED
    # Linux weighs the processes of a session among themselves first, and then sessions: this one's is its own.
    with contextlib.suppress(OSError), open("/proc/self/autogroup", "w", encoding="ascii") as group:
        group.write(str(NICE))
    return _raise_nice(0)


def lower_priority() -> None:
    """Lower the priority of this process, which leads its own session: its work isn't urgent."""
    if sys.platform == "win32":
        kernel = ctypes.windll.kernel32
        kernel.SetPriorityClass(kernel.GetCurrentProcess(), BELOW_NORMAL_PRIORITY_CLASS)
        return
    with contextlib.suppress(OSError), open("/proc/self/autogroup", "w", encoding="ascii") as group:
        group.write(str(BEHIND_NICE))
    with contextlib.suppress(OSError):
        os.nice(BEHIND_NICE)


def use_passive_waiting() -> None:
    """Let OpenMP threads sleep while they wait for each other, unless the user has set OMP_WAIT_POLICY.

    By default they spin, and if another program uses one of two cores, two threads take six times as long as one.
    OpenMP reads the setting when PyTorch is imported: call this before.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def lock_memory() -> bool:
    """Lock the memory that this process touches; returns False where that isn't permitted without a limit.

    Beyond a limit the process would get no memory any more.
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
