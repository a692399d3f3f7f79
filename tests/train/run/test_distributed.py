"""Several processes on one batch walk the path of one."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from rtsep.train.run.trainer import Trainer
from tests.conftest import REPOSITORY
from tests.train.material import logged_losses, variant, write_material
from tests.waiting import wait_until

LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "rtsep.train"]


def test_two_processes_have_the_loss_curve_of_one(tmp_path: Path) -> None:
    """Batches of three, so that one process has two crops and the other one; validated by the second for one song; with
    both optimisers at work."""
    recipe = variant(write_material(tmp_path), "shared", batch=3, steps=6, validate_steps=6, optimizer="muon")
    list(Trainer(recipe, [tmp_path], tmp_path / "alone").run())
    words = [recipe, "--data", tmp_path, "--out", tmp_path / "together", "--compute", "cpu"]
    done = subprocess.run([*LAUNCH, *map(str, words)], cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(tmp_path / "together" / "bundle")]
    assert "2 processes" in done.stderr

    alone, together = logged_losses(tmp_path / "alone"), logged_losses(tmp_path / "together")
    assert list(together) == list(range(1, 7))
    assert together == pytest.approx(alone, rel=1e-3)
    scores = [
        [
            json.loads(line)["over_gain_db"]
            for line in (run / "log.jsonl").read_text().splitlines()
            if "over_gain" in line
        ]
        for run in (tmp_path / "alone", tmp_path / "together")
    ]
    assert scores[1] == pytest.approx(scores[0], abs=0.05)
    written = [
        {path.relative_to(run) for path in run.rglob("*")} for run in (tmp_path / "alone", tmp_path / "together")
    ]
    assert written[0] == written[1]


def test_two_processes_stop_after_the_same_step_though_one_alone_is_asked_to(tmp_path: Path) -> None:
    recipe, run = variant(write_material(tmp_path), "long", steps=1000), tmp_path / "run"
    words = [recipe, "--data", tmp_path, "--out", run, "--compute", "cpu"]
    with subprocess.Popen([*LAUNCH, *map(str, words)], cwd=REPOSITORY, stderr=subprocess.PIPE, text=True) as launched:
        try:
            log = run / "log.jsonl"
            wait_until(lambda: launched.poll() is not None or (log.exists() and log.read_bytes().count(b"\n") >= 5), 90)
            workers = psutil.Process(launched.pid).children()
            second = next(worker for worker in workers if worker.environ().get("RANK") == "1")
            second.send_signal(signal.SIGTERM)
            _, said = launched.communicate(timeout=90)
        finally:
            launched.kill()
    done = len(logged_losses(run))
    assert 5 <= done < 1000
    assert f"rtsep: stopped at step {done} of 1000; continue with --resume" in said
    assert Trainer(recipe, [tmp_path], run, resume=True).step == done
