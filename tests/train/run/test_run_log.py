"""The log of a run, also as TensorBoard reads it."""

import json
from pathlib import Path

import pytest

from rtsep.train.run.run_log import RunLog


def test_a_run_that_goes_on_takes_back_what_it_will_tell_again(tmp_path: Path) -> None:
    log = RunLog(tmp_path, None)
    for step in (0, 1, 2, 3):
        log.write({"step": step, "loss": step / 2})
    with log.path.open("a") as file:
        file.write('{"step": 1, "lo')
    again = RunLog(tmp_path, 2)
    again.write({"step": 3, "loss": 9.0})
    assert [json.loads(line) for line in log.path.read_text().splitlines()] == [
        {"step": 0, "loss": 0.0},
        {"step": 1, "loss": 0.5},
        {"step": 2, "loss": 1.0},
        {"step": 3, "loss": 9.0},
    ]
    RunLog(tmp_path, None)
    assert log.path.read_text() == ""


def test_tensorboard_reads_what_was_told_and_nothing_twice(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = RunLog(tmp_path, None, tensorboard=True)
    for step in (1, 2, 3):
        log.write({"step": step, "loss": step / 2})
    log.close()
    again = RunLog(tmp_path, 2, tensorboard=True)
    again.write({"step": 3, "loss": 9.0})
    again.close()
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    assert [(event.step, event.value) for event in board.Scalars("loss")] == [(1, 0.5), (2, 1.0), (3, 9.0)]
