"""A Ray cluster separates what one machine separates, also if one of its nodes is lost in the middle."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from rtsep.batch.batch import Batch
from rtsep.batch.outcome import EndOfRun, Written
from rtsep.batch.song_work import Settings
from rtsep.cli.main import main
from rtsep.errors import RtsepError
from tests.batch.test_parallel import contents, write_songs

Maker = Callable[..., Path]


def test_without_ray_or_a_cluster_it_is_one_line(
    tmp_path: Path, constant_bundle: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    (song,) = write_songs(tmp_path / "in", 1, 0.1)
    words = ["separate", str(song), "-o", str(tmp_path / "out"), "--model", str(constant_bundle())]
    assert main([*words, "--ray", "127.0.0.1:9"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(("rtsep: --ray needs Ray", "rtsep: --ray 127.0.0.1:9: no Ray cluster answers there"))
    assert said.count("\n") == 1
    assert main([*words, "--ray", "auto", "--jobs", "2"]) == 2
    assert not (tmp_path / "out").exists()


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two raylets on this machine, with ports and a core each."""
    pytest.importorskip("ray", reason="not installed: the extra ray")
    monkeypatch.setenv("RAY_worker_niceness", "0")  # or a busy machine does not let them begin
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.add_node(num_cpus=1)
    yield made
    made.shutdown()


def _writes(process: psutil.Process) -> bool:
    try:
        return any(file.path.endswith(".part") for file in process.open_files())
    except psutil.Error:
        return False


def test_a_node_that_is_lost_loses_no_song(tmp_path: Path, constant_bundle: Maker, cluster: Any) -> None:
    songs = write_songs(tmp_path / "in", 16, 10.0)
    (tmp_path / "in" / "bad.wav").write_text("no sound")
    settings = Settings(model=str(constant_bundle()))
    one = Batch([tmp_path / "in"], tmp_path / "one", settings)
    assert len(dict(one.run())) == 17
    out = tmp_path / "two"
    batch = Batch([tmp_path / "in"], out, settings, ray=cluster.address)
    lost, done = threading.Event(), threading.Event()
    node = next(iter(cluster.worker_nodes))

    def lose_a_node() -> None:
        """In the middle of a song of its own."""
        raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
        while not any(_writes(process) for process in raylet.children()):
            if done.wait(0.01):
                return
        cluster.remove_node(node, allow_graceful=False)
        lost.set()

    losing = threading.Thread(target=lose_a_node)
    losing.start()
    try:
        outcomes = list(batch.run())
    finally:
        done.set()
        losing.join()
    assert lost.is_set()
    assert sorted(task.song for task, _ in outcomes) == sorted([*songs, tmp_path / "in" / "bad.wav"])
    failed = [task.song.name for task, outcome in outcomes if isinstance(outcome, RtsepError)]
    assert failed == ["bad.wav"]
    assert contents(out) == contents(tmp_path / "one")

    again = Batch([tmp_path / "in"], out, settings, ray=cluster.address, skip_existing=True)
    events = [outcome.event for _, outcome in again.run() if isinstance(outcome, Written)]
    assert events == ["skipped"] * 16
    (out / "3" / "vocals.wav").unlink()
    events = [outcome.event for _, outcome in again.run() if isinstance(outcome, Written)]
    assert sorted(events) == ["done", *["skipped"] * 15]
    assert contents(out) == contents(tmp_path / "one")
    missing = Batch([songs[0]], out, replace(settings, seconds=1.0), ray=cluster.address)
    (tmp_path / "constant-vocals0-instrumental1" / "recipe.toml").write_text("broken")
    with pytest.raises(EndOfRun):
        list(missing.run())
