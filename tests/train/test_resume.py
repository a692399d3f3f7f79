"""A run that was killed goes on as if it had not been; one that is there already is never overwritten."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rtsep.errors import RtsepError, UsageError
from rtsep.train.run.trainer import Trainer
from tests.conftest import REPOSITORY
from tests.train.material import logged, logged_losses, variant, write_material
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_material(tmp_path_factory.mktemp("material"))


def trainer(recipe: Path, run: Path, resume: bool = False) -> Trainer:
    return Trainer(recipe, [recipe.parent.parent], run, resume=resume)


def contents(run: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*") if path.is_file()}


@contextmanager
def files_limited(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes: as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_process_killed_in_mid_run_goes_on_to_the_same_curve(recipe: Path, tmp_path: Path) -> None:
    longer = variant(recipe, "longer", steps=40)
    run = tmp_path / "killed"
    words = ["train", str(longer), "--data", str(recipe.parent.parent), "--out", str(run), "--compute", "cpu"]
    program = (
        "from rtsep.train.run import trainer; trainer.CHECKPOINT_S = 0.0\n"
        f"from rtsep.cli.main import main; main({words!r})"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=REPOSITORY, stderr=subprocess.PIPE) as process:
        log = run / "log.jsonl"
        wait_until(lambda: process.poll() is not None or (log.exists() and log.read_bytes().count(b"\n") >= 11))
        assert process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert 11 <= len(logged_losses(run)) < 40
    with log.open("a") as file:
        file.write('{"step": 39, "lo')  # a kill may come in mid-word

    gone_on = trainer(longer, run, resume=True)
    assert 10 <= gone_on.step < 40
    assert len(logged_losses(run)) == gone_on.step
    list(gone_on.run())
    list(trainer(longer, tmp_path / "whole").run())
    assert logged_losses(run) == pytest.approx(logged_losses(tmp_path / "whole"), rel=1e-5)
    assert list(logged_losses(run)) == list(range(1, 41))


@pytest.mark.parametrize(("number", "times", "code"), [(signal.SIGINT, 1, 130), (signal.SIGTERM, 2, 143)])
def test_a_run_that_is_asked_to_stop_loses_no_step(
    recipe: Path, tmp_path: Path, number: int, times: int, code: int
) -> None:
    longer, run = variant(recipe, "long", steps=500), tmp_path / "stopped"
    words = ["train", str(longer), "--data", str(recipe.parent.parent), "--out", str(run), "--compute", "cpu"]
    with subprocess.Popen([sys.executable, "-m", "rtsep", *words], cwd=REPOSITORY, stderr=subprocess.PIPE) as process:
        try:
            log = run / "log.jsonl"
            wait_until(lambda: process.poll() is not None or (log.exists() and log.read_bytes().count(b"\n") >= 5))
            for _ in range(times):
                process.send_signal(number)
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == code
    done = len(logged_losses(run))
    assert 5 <= done < 500
    *_, stopping, stopped = said.decode().splitlines()
    assert stopping.startswith("rtsep: stopping after this step")
    assert stopped == f"rtsep: stopped at step {done} of 500; continue with --resume"
    assert trainer(longer, run, resume=True).step == done


def test_a_validation_that_a_stop_left_out_is_made_up_for(recipe: Path, tmp_path: Path) -> None:
    chosen, run = variant(recipe, "owing", steps=4, validate_steps=2), tmp_path / "run"
    stopped = trainer(chosen, run)
    for report in stopped.run():
        if report["step"] == 2:
            stopped.stop()
    assert (stopped.step, trainer(chosen, run, resume=True).step) == (2, 2)
    assert [report["step"] for report in logged(run) if "loss" not in report] == [0]
    list(trainer(chosen, run, resume=True).run())
    assert [(report["step"], "loss" in report) for report in logged(run)] == [
        (0, False), (1, True), (2, True), (2, False), (3, True), (4, True), (4, False)
    ]  # fmt: skip


def test_a_stop_in_a_validation_waits_for_no_further_step(recipe: Path, tmp_path: Path) -> None:
    chosen, run = variant(recipe, "validating", steps=4, validate_steps=2), tmp_path / "run"
    stopped = trainer(chosen, run)
    score = stopped._validation.run

    def asked_to_stop_behind_it(*arguments: Any) -> dict[str, float] | None:
        scores = score(*arguments)
        if stopped.step == 2:
            stopped.stop()
        return scores

    stopped._validation.run = asked_to_stop_behind_it  # type: ignore[method-assign]
    list(stopped.run())
    assert (stopped.step, trainer(chosen, run, resume=True).step) == (2, 2)
    assert [report["step"] for report in logged(run) if "loss" not in report] == [0, 2]


def test_validations_are_told_once_however_often_a_run_goes_on(recipe: Path, tmp_path: Path) -> None:
    chosen = variant(recipe, "validated", steps=4, validate_steps=2)
    for stop in (1, 3, 4):
        for report in trainer(chosen, tmp_path / "run", resume=True).run():
            if report["step"] == stop:
                break
    assert [report["step"] for report in logged(tmp_path / "run") if "loss" not in report] == [0, 2]
    list(trainer(chosen, tmp_path / "run", resume=True).run())
    assert [(report["step"], "loss" in report) for report in logged(tmp_path / "run")] == [
        (0, False), (1, True), (2, True), (2, False), (3, True), (4, True), (4, False)
    ]  # fmt: skip


def test_a_run_that_is_there_is_not_overwritten(recipe: Path, tmp_path: Path) -> None:
    short = variant(recipe, "short", steps=1)
    list(trainer(short, tmp_path / "run").run())
    before = contents(tmp_path / "run")
    with pytest.raises(UsageError, match="already holds a run .*: continue it with --resume"):
        trainer(short, tmp_path / "run")
    (tmp_path / "run" / "last.pt").unlink()
    for resume in (False, True):
        with pytest.raises(UsageError, match="cannot be resumed; choose a new folder with --out"):
            trainer(short, tmp_path / "run", resume)
    before.pop("last.pt")
    assert contents(tmp_path / "run") == before


def test_a_run_that_has_ended_stays_as_it_is(recipe: Path, tmp_path: Path) -> None:
    short = variant(recipe, "short", steps=2)
    list(trainer(short, tmp_path / "run").run())
    before = contents(tmp_path / "run")
    assert list(trainer(short, tmp_path / "run", resume=True).run()) == []
    assert contents(tmp_path / "run") == before


def test_half_a_bundle_is_mended(recipe: Path, tmp_path: Path) -> None:
    short = variant(recipe, "short", steps=1)
    list(trainer(short, tmp_path / "run").run())
    before = contents(tmp_path / "run")
    (tmp_path / "run" / "bundle" / "weights.safetensors").write_bytes(b"of another step")
    trainer(short, tmp_path / "run", resume=True)
    assert contents(tmp_path / "run") == before


def test_a_full_disk_is_one_line_and_the_old_checkpoint_stays(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtsep.train.run.trainer.CHECKPOINT_S", 0.0)
    run = trainer(recipe, tmp_path / "run").run()
    while next(run)["step"] < 3:
        pass
    last = (tmp_path / "run" / "last.pt").read_bytes()
    with (
        files_limited(len(last) // 2),
        pytest.raises(RtsepError, match=r"no space left to write .*last\.pt: the file system"),
    ):
        next(run)
    assert (tmp_path / "run" / "last.pt").read_bytes() == last
    assert list((tmp_path / "run").rglob("*.part")) == []
    assert trainer(recipe, tmp_path / "run", resume=True).step == 2


def test_a_damaged_checkpoint_is_one_clear_line(recipe: Path, tmp_path: Path) -> None:
    short = variant(recipe, "short", steps=1)
    list(trainer(short, tmp_path / "run").run())
    content = (tmp_path / "run" / "last.pt").read_bytes()
    (tmp_path / "run" / "last.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(RtsepError, match=r"last\.pt is not a readable checkpoint") as caught:
        trainer(short, tmp_path / "run", resume=True)
    assert "\n" not in str(caught.value)


def test_a_run_of_another_network_is_not_gone_on_with(recipe: Path, tmp_path: Path) -> None:
    other = variant(recipe, "wider", steps=1)
    list(trainer(other, tmp_path / "run").run())
    other.write_text(other.read_text().replace("feed_forward = 32", "feed_forward = 64"))
    with pytest.raises(RtsepError, match="run of another network"):
        trainer(other, tmp_path / "run", resume=True)
