"""The worker's rank: raised as far as the system permits, and only the worker's."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rtsep.engine.host import Engine

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="priority classes differ there")


def may_raise() -> bool:
    """Asked of a process that ends, since nobody may lower his own nice value again."""
    asking = [sys.executable, "-c", "import os; os.setpriority(os.PRIO_PROCESS, 0, -11)"]
    return subprocess.run(asking, capture_output=True).returncode == 0


def test_the_worker_is_raised_and_the_player_is_not(constant_bundle: Callable[..., Path]) -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    with Engine(constant_bundle()) as engine:
        engine.wait_ready()
        assert engine.worker_pid is not None
        rank = os.getpriority(os.PRIO_PROCESS, engine.worker_pid)
    assert rank == -11 if may_raise() else rank <= before
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


def test_what_is_refused_is_said() -> None:
    if os.getuid() != 0:
        pytest.skip("needs root, to become a user who may not")
    code = (
        "import os, resource; from rtsep.engine.priority import raise_priority\n"
        "os.setpriority(os.PRIO_PROCESS, 0, 0)\n"
        "resource.setrlimit(resource.RLIMIT_NICE, (0, 0)); os.setuid(65534); print(raise_priority())"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.startswith("nice 0 (the system refuses more")
