"""A watched folder: songs are taken when they are complete, once, and a new run goes on where the last one ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

from rtsep.batch.batch import Batch
from rtsep.batch.song_work import Settings
from rtsep.batch.watch import QUIET_S, Arrivals
from rtsep.cli.main import main
from rtsep.errors import RtsepError
from tests.batch.test_parallel import write_songs
from tests.conftest import REPOSITORY

pytest.importorskip("watchfiles")
Maker = Callable[..., Path]


def test_a_song_is_taken_once_when_it_is_quiet_and_again_when_it_changes(tmp_path: Path) -> None:
    folder, out = tmp_path / ".music", tmp_path / ".music" / "out"
    arrivals = Arrivals([folder], out)
    names = ["10.wav", "2.wav", ".hidden.wav", ".cache/1.wav", "cover.jpg", "out/1/vocals.wav", "album/1.flac"]
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_bytes(b"1")
    arrivals.notice([folder / name for name in names if not name.startswith("album")])
    assert arrivals.complete(100.0) == []
    arrivals.notice([folder / "album"])  # moved here as a whole
    (folder / "10.wav").write_bytes(b"12")  # still being copied
    now_s = 100.0 + QUIET_S
    assert arrivals.complete(now_s) == [folder / "2.wav"]
    (folder / "10.wav").rename(folder / "9.wav")
    arrivals.notice([folder / "9.wav", folder / "10.wav", folder / "2.wav"])
    assert arrivals.complete(now_s + QUIET_S) == [folder / "album" / "1.flac"]
    assert arrivals.complete(now_s + 2 * QUIET_S) == [folder / "9.wav"]
    (folder / "2.wav").write_bytes(b"another one")
    arrivals.notice([folder / "2.wav", folder / "9.wav"])
    assert arrivals.complete(now_s + 2 * QUIET_S) == []
    assert arrivals.complete(now_s + 3 * QUIET_S) == [folder / "2.wav"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says who writes")
def test_a_song_that_somebody_writes_is_waited_for_however_long_nothing_comes(tmp_path: Path) -> None:
    arrivals = Arrivals([tmp_path], tmp_path / "out")
    song = tmp_path / "song.wav"
    writer = subprocess.Popen(["sh", "-c", f"exec 3>'{song}'; echo open; read end"], stdin=-1, stdout=-1)
    assert writer.stdout
    writer.stdout.readline()
    arrivals.notice([song])
    assert [arrivals.complete(now_s) for now_s in (1.0, 100.0, 1000.0)] == [[], [], []]
    writer.communicate(b"\n")
    assert arrivals.complete(1001.0) == [song]


def test_a_folder_is_watched_until_control_c(tmp_path: Path, constant_bundle: Maker) -> None:
    """What was there, what is moved there, what is copied there slowly, and what is no sound; then the same again."""
    incoming, out, model = tmp_path / "in", tmp_path / "out", constant_bundle()
    first, moved, copied = write_songs(tmp_path / "songs", 3, 0.1)
    incoming.mkdir()
    first.rename(incoming / "first.wav")
    words = [sys.executable, "-m", "rtsep", "separate", str(incoming), "-o", str(out), "--model", str(model), "--watch"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}

    def wait_for(found: Callable[[], object]) -> None:
        deadline_s = time.monotonic() + 240
        while not found():
            assert time.monotonic() < deadline_s
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)

    def done(name: str) -> bool:
        return bool(list((out / name).glob(".rtsep-*.json")))

    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    wait_for(lambda: done("first"))
    with (incoming / "copied.wav").open("wb") as file:
        file.write(copied.read_bytes()[:5000])
        file.flush()
        (incoming / "bad.wav").write_text("no sound")
        moved.rename(incoming / "moved.wav")
        wait_for(lambda: done("moved"))
        file.write(copied.read_bytes()[5000:])
    wait_for(lambda: done("copied"))
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert [Path(line).parent.name for line in said[0].splitlines()[::2]] == ["first", "moved", "copied"]
    watching, bad = said[1].splitlines()[:2]
    assert watching == f"rtsep: watching {incoming}; Ctrl-C ends"
    assert "bad.wav" in bad
    assert not list(out.rglob("*.part"))
    again = Batch([], out, Settings(model=str(model)), skip_existing=True).watch([incoming])
    outcomes = {task.song.name: outcome for task, outcome in islice(again, 4)}
    assert isinstance(outcomes.pop("bad.wav"), RtsepError)
    assert {name: getattr(outcome, "event", None) for name, outcome in outcomes.items()} == dict.fromkeys(
        ("first.wav", "moved.wav", "copied.wav"), "skipped"
    )


def test_only_folders_are_watched(tmp_path: Path, constant_bundle: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["separate", str(tmp_path / "song.wav"), "-o", str(tmp_path), "--model", str(constant_bundle()), "--watch"]
    assert main(words) == 2
    assert capsys.readouterr().err == f"rtsep: --watch: {tmp_path / 'song.wav'} is not a folder\n"
    assert main([*words, "--dry-run"]) == 2
