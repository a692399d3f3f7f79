"""Rank: audio threads and worker are raised as far as the system permits, and nobody else is."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from rtsep.audio.devices.discovery import find_device
from rtsep.audio.streams.device_stream import OutputStream
from rtsep.engine.live_engine import Engine, worker_priority
from rtsep.shared.state import SharedLayout, SharedState
from rtsep.system.priority import audio_priority, native_threads, raise_new_threads, use_passive_waiting

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere the system ranks audio threads")


def rank(thread: int) -> str:
    """In the words of `audio_priority`."""
    if os.sched_getscheduler(thread) & ~os.SCHED_RESET_ON_FORK == os.SCHED_RR:
        return f"real-time (SCHED_RR {os.sched_getparam(thread).sched_priority})"
    nice = os.getpriority(os.PRIO_PROCESS, thread)
    return f"nice {nice}" if nice < 0 else "normal"


@linux
def test_the_threads_of_an_open_device_get_the_rank_that_doctor_tells_and_no_other_does(virtual_audio) -> None:
    before = native_threads()
    ranks_before = {thread: rank(thread) for thread in before}
    stream = OutputStream(SharedState.create(SharedLayout(("one", "two"))), find_device("rt_out").index)
    stream.start()
    new = native_threads() - before
    assert new
    assert {rank(thread) for thread in new} == {audio_priority().split(" (no")[0]}
    assert {thread: rank(thread) for thread in before & native_threads()} == ranks_before
    assert stream.close()


@linux
def test_threads_of_python_stay_as_they_are() -> None:
    before, done = native_threads(), threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    assert thread.native_id is not None
    raise_new_threads(before)
    assert rank(thread.native_id) == rank(threading.get_native_id())
    done.set()
    thread.join()


@linux
def test_a_thread_that_has_ended_meanwhile_is_nobodys_trouble() -> None:
    before = native_threads()
    gone = threading.Thread(target=lambda: None)
    gone.start()
    gone.join()
    raise_new_threads(before)


def test_the_rank_is_told_in_words() -> None:
    assert audio_priority()


@linux
def test_the_worker_gets_the_rank_that_doctor_tells_and_the_player_keeps_its_own(
    constant_bundle: Callable[..., Path],
) -> None:
    before = rank(os.getpid()), Path("/proc/self/autogroup").read_text()
    with Engine(constant_bundle()) as engine:
        engine.wait_ready()
        assert engine.worker_pid is not None
        assert rank(engine.worker_pid) == worker_priority().split(" (no")[0]
    assert (rank(os.getpid()), Path("/proc/self/autogroup").read_text()) == before


@linux
def test_what_a_playing_process_touches_stays_in_memory_where_that_is_permitted_without_limit() -> None:
    code = (
        "import os, sys, resource\n"
        "from pathlib import Path\n"
        "import numpy as np\n"
        "from rtsep.system.priority import lock_memory\n"
        "limited = sys.argv[1] == 'limited'\n"
        "if limited:\n"
        "    resource.setrlimit(resource.RLIMIT_MEMLOCK, (1 << 16, 1 << 16)); os.setuid(65534)\n"
        "kept = lock_memory()\n"
        "more = np.ones(1 << 24, np.float32)  # is there all the same\n"
        "status = Path('/proc/self/status').read_text()\n"
        "print(kept, int(status.split('VmLck:')[1].split()[0]) > more.nbytes // 1024)"
    )
    if os.getuid() != 0:
        pytest.skip("needs root: elsewhere the system decides")

    def said(how: str) -> str:
        return subprocess.run([sys.executable, "-c", code, how], capture_output=True, text=True, check=True).stdout

    assert said("unlimited").split() in (["True", "True"], ["False", "False"])
    assert said("limited").split() == ["False", "False"]


@linux
def test_what_is_refused_is_said() -> None:
    if os.getuid() != 0:
        pytest.skip("needs root, to become a user who may not")
    code = (
        "import os, resource; from rtsep.system.priority import audio_priority, raise_priority\n"
        "os.setpriority(os.PRIO_PROCESS, 0, 0)\n"
        "for limit in (resource.RLIMIT_NICE, resource.RLIMIT_RTPRIO): resource.setrlimit(limit, (0, 0))\n"
        "os.setuid(65534); print(audio_priority()); print(raise_priority())"
    )
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, capture_output=True, text=True, check=True, start_new_session=True).stdout
    assert [line.split(" (")[0] for line in said.splitlines()] == ["normal", "normal"]


def test_threads_wait_asleep_unless_the_user_wants_them_to_spin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    use_passive_waiting()
    assert os.environ["OMP_WAIT_POLICY"] == "passive"
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    use_passive_waiting()
    assert os.environ["OMP_WAIT_POLICY"] == "active"
