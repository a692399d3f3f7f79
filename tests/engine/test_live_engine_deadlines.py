"""How soon a worker that was killed or hangs is back, and how soon it is gone with its player."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from rtsep.engine.live_engine import HUNG_LOOKS, WATCH_S, Engine
from tests.engine.test_live_engine import ROOT, play_noise
from tests.waiting import wait_until


def test_killed_it_is_back_within_a_second_and_publishes_again(constant_bundle: Callable[..., Path]) -> None:
    with Engine(constant_bundle(vocals=0.5, instrumental=0.5)) as engine:
        engine.wait_ready()
        for restarts in (1, 2):
            pid = engine.worker_pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            killed = time.monotonic()
            wait_until(lambda pid=pid: engine.worker_pid not in (None, pid))
            assert time.monotonic() - killed < 1.0
            assert engine.poll() == restarts
        play_noise(engine.shared)
        wait_until(lambda: engine.shared.stem.epoch == 1 and engine.shared.stem.end > 50_000)


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX")
@pytest.mark.parametrize("when", ["ready", "importing"])
def test_killed_player_takes_the_worker_along(constant_bundle: Callable[..., Path], when: str) -> None:
    wait = "engine.wait_ready()" if when == "ready" else "while engine.worker_pid is None: pass"
    code = (
        "import time\n"
        "from rtsep.engine.live_engine import Engine\n"
        f"engine = Engine({str(constant_bundle())!r})\n"
        f"{wait}\n"
        "print(engine.worker_pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    environment = os.environ | {"PYTHONPATH": ROOT}
    player = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
    assert player.stdout is not None
    worker = psutil.Process(int(player.stdout.readline()))
    player.kill()
    player.wait()
    killed = time.monotonic()
    wait_until(lambda: not _alive(worker), limit_s=5)
    assert time.monotonic() - killed <= 1.0


def _alive(process: psutil.Process) -> bool:
    # Where nobody reaps orphans a dead one stays as a zombie.
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_player_that_ends_without_close_leaves_no_worker(constant_bundle: Callable[..., Path]) -> None:
    code = (
        "from rtsep.engine.live_engine import Engine\n"
        f"engine = Engine({str(constant_bundle())!r})\n"
        "engine.wait_ready()\n"
        "print(engine.worker_pid, flush=True)\n"
        "raise SystemExit(7)\n"
    )
    child = subprocess.run(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": ROOT},
        timeout=60,
    )
    assert child.returncode == 7
    pid = int(child.stdout)
    wait_until(lambda: not psutil.pid_exists(pid) or not _alive(psutil.Process(pid)), limit_s=1.0)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGSTOP is POSIX")
def test_a_worker_that_hangs_is_replaced(constant_bundle: Callable[..., Path]) -> None:
    with Engine(constant_bundle(vocals=0.5, instrumental=0.5)) as engine:
        engine.wait_ready()
        time.sleep(HUNG_LOOKS * WATCH_S + 1.0)
        assert engine.poll() == 0  # idle is not hung
        pid = engine.worker_pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        stopped = time.monotonic()
        play_noise(engine.shared)
        wait_until(lambda: engine.worker_pid not in (None, pid), limit_s=20)
        assert 4.0 < time.monotonic() - stopped < 10.0
        wait_until(lambda: engine.shared.stem.epoch == 1 and engine.shared.stem.end > 50_000, limit_s=60)
        assert engine.poll() == 1


def test_close_does_not_wait_for_a_start_and_can_be_repeated(constant_bundle: Callable[..., Path]) -> None:
    engine = Engine(constant_bundle())
    wait_until(lambda: engine.worker_pid is not None)
    pid = engine.worker_pid
    assert pid is not None
    began = time.monotonic()
    engine.close()
    engine.close()
    assert time.monotonic() - began < 1.5
    assert not psutil.pid_exists(pid)
    assert engine.poll() == 0
