"""Several songs at a time in processes of their own: the same files, and a process that dies fails its song alone."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import soundfile

from rtsep.batch.outcome import EndOfRun, Outcome, Written
from rtsep.batch.parallel import count_jobs, run_in_processes
from rtsep.batch.song_work import Settings, separate_song
from rtsep.batch.tasks import Task, plan_tasks
from rtsep.cli.main import main
from rtsep.errors import ArgumentError, RtsepError

Maker = Callable[..., Path]


def write_songs(folder: Path, count: int, seconds: float) -> list[Path]:
    folder.mkdir()
    for number in range(count):
        samples = np.random.default_rng(number).uniform(-0.5, 0.5, (round(44100 * seconds), 2)).astype(np.float32)
        soundfile.write(folder / f"{number}.wav", samples, 44100, subtype="FLOAT")
    return sorted(folder.iterdir())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_two_jobs_write_what_one_writes(
    tmp_path: Path, constant_bundle: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    songs = write_songs(tmp_path / "in", 4, 0.5)
    (tmp_path / "in" / "bad \udcff\n.wav").write_text("no sound")
    words = ["separate", str(tmp_path / "in"), "--model", str(constant_bundle()), "--mix", "vocals=-inf", "--json"]
    assert main([*words, "-o", str(tmp_path / "one")]) == 3
    one = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert main([*words, "-o", str(tmp_path / "two"), "--jobs", "2"]) == 3
    two = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
    for entries in (one, two):
        ends = {entry["file"]: entry["event"] for entry in entries if entry["event"] != "progress"}
        assert ends == {**{str(song): "done" for song in songs}, str(tmp_path / "in" / "bad \udcff\n.wav"): "failed"}


def test_a_process_that_dies_fails_its_song_alone(tmp_path: Path, constant_bundle: Maker) -> None:
    songs = write_songs(tmp_path / "in", 2, 5.0)
    tasks = plan_tasks(songs, tmp_path / "out", ["vocals", "instrumental"])
    killed: list[Task] = []

    def kill_the_first(task: Task, done: int, total: int | None) -> None:
        if not killed:
            killed.append(task)
            (worker,) = (child for child in psutil.Process().children() if "rtsep.batch.worker" in child.cmdline())
            worker.kill()

    outcomes = dict(run(tasks, constant_bundle(), kill_the_first))
    assert killed == tasks[:1]
    assert str(outcomes[tasks[0]]).startswith(f"{songs[0]}: the process that separated it died (")
    assert all(isinstance(outcomes[task], Written) for task in tasks[1:])
    assert {path.name for path in (tmp_path / "out").rglob("*.wav")} == {"vocals.wav", "instrumental.wav"}


def test_a_run_that_is_ended_leaves_nothing_half_written(tmp_path: Path, constant_bundle: Maker) -> None:
    songs = write_songs(tmp_path / "in", 1, 20.0)
    tasks = plan_tasks(songs, tmp_path / "out", ["vocals", "instrumental"])

    def interrupt(task: Task, done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run(tasks, constant_bundle(), interrupt))
    assert not (tmp_path / "out").exists()
    with pytest.raises(EndOfRun, match="cuda:99"):
        list(run(tasks, constant_bundle(), interrupt, compute="cuda:99"))


def run(
    tasks: Sequence[Task], model: Path, progress: Callable[[Task, int, int | None], None], compute: str = "cpu"
) -> Iterator[tuple[Task, Outcome]]:
    return run_in_processes(tasks, Settings(model=str(model)), compute, 1, skip_existing=False, progress=progress)


def test_the_number_of_jobs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert count_jobs(4, "cpu", 3) == 3
    assert count_jobs(2, "cpu", 0) == 1
    assert 1 <= count_jobs(None, "cpu", 1000) <= 1000
    for jobs in ("0", "-1", "many"):
        assert main(["separate", "a.wav", "-o", str(tmp_path), "--jobs", jobs]) == 2
        assert f"--jobs {jobs}: expected a number of songs, 1 or more, or auto" in capsys.readouterr().err


def test_one_song_is_separated_by_a_function_of_what_can_be_pickled(tmp_path: Path, constant_bundle: Maker) -> None:
    songs = write_songs(tmp_path / "in", 1, 0.1)
    missing = tmp_path / "missing.wav"
    settings = Settings(model=str(constant_bundle()), format="flac")
    good, bad = plan_tasks([*songs, missing], tmp_path / "out", ["vocals", "instrumental"], "flac")
    unknown = replace(settings, model="nowhere")
    written: list[Written] = []
    for task, how, error in ((good, settings, None), (bad, settings, RtsepError), (good, unknown, EndOfRun)):
        with pytest.raises(error) if error else nullcontext():
            try:
                written.append(copied(partial(copied(separate_song), copied(task), copied(how), skip_existing=True)()))
            except Exception as raised:
                raise copied(raised) from raised
    assert [path.suffix for path in written[0].paths] == [".flac", ".flac"]
    assert separate_song(good, settings, skip_existing=True).event == "skipped"
    assert str(copied(EndOfRun(ArgumentError("chunk", 40, "1 to 32"))).error) == "chunk=40: expected 1 to 32"


def copied(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))
