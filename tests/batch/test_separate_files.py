"""`rtsep.separate_files`: what the command does, from Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest

import rtsep
from rtsep.cli.main import main
from tests.batch.test_parallel import contents, write_songs

Maker = Callable[..., Path]


def test_python_writes_what_the_command_writes(tmp_path: Path, constant_bundle: Maker) -> None:
    songs = write_songs(tmp_path / "in", 2, 0.2)
    (tmp_path / "in" / "bad.wav").write_text("no sound")
    model = constant_bundle(vocals=0.25, drums=0.25, other=0.5)
    words = ["--format", "flac", "--bits", "16", "--two-stems", "vocals", "--mix", "vocals=-inf", "--seconds", "0.1"]
    command = ["separate", str(tmp_path / "in"), "-o", str(tmp_path / "command"), "--model", str(model), *words]
    assert main([*command, "--template", "{stem}/{name}.{ext}"]) == 3

    def run(**more: object) -> dict[Path, rtsep.SongResult]:
        results = rtsep.separate_files(
            tmp_path / "in",
            tmp_path / "python",
            model,
            format="flac",
            bits=16,
            two_stems="vocals",
            mix={"vocals": -float("inf")},
            seconds=0.1,
            template="{stem}/{name}.{ext}",
            skip_existing=True,
            **more,
        )
        return {result.song: result for result in results}

    shown: list[tuple[Path, int, int | None]] = []
    results = run(progress=lambda *at: shown.append(at))
    assert shown == [(song, 4410, 4410) for song in songs]
    bad = results.pop(tmp_path / "in" / "bad.wav")
    assert (bad.event, dict(bad.outputs)) == ("failed", {})
    assert isinstance(bad.error, rtsep.RtsepError)
    assert [result.event for result in results.values()] == ["done", "done"]
    assert set(results[songs[0]].outputs) == {"vocals", "no_vocals", "mix"}
    assert all(path.exists() for result in results.values() for path in result.outputs.values())
    assert contents(tmp_path / "python") == contents(tmp_path / "command")
    assert [result.event for result in run().values()] == ["skipped", "skipped", "failed"]


def test_cancel_ends_the_run_and_leaves_what_is_done(tmp_path: Path, constant_bundle: Maker) -> None:
    songs = write_songs(tmp_path / "in", 1, 0.1)
    songs += write_songs(tmp_path / "long", 1, 20.0)
    cancel = Event()

    def progress(song: Path, done: int, total: int | None) -> None:
        if song == songs[1]:
            cancel.set()

    results = rtsep.separate_files(songs, tmp_path / "out", constant_bundle(), progress=progress, cancel=cancel.is_set)
    assert next(results).song == songs[0]
    with pytest.raises(rtsep.Cancelled):
        next(results)
    assert {path.parent.name for path in (tmp_path / "out").rglob("*.*")} == {"0"}


def test_what_is_not_possible_is_said_at_once(tmp_path: Path, constant_bundle: Maker) -> None:
    model, song = constant_bundle(), tmp_path / "song.wav"
    with pytest.raises(rtsep.ArgumentError, match="start=-1"):
        rtsep.separate_files(song, tmp_path, model, start=-1)
    with pytest.raises(rtsep.ArgumentError, match="chunk=99"):
        rtsep.separate_files(song, tmp_path, model, chunk=99)
    with pytest.raises(rtsep.UsageError, match="stem"):
        rtsep.separate_files(song, tmp_path, model, template="{name}.{ext}")
    with pytest.raises(rtsep.RtsepError, match="nowhere"):
        rtsep.separate_files(song, tmp_path, "nowhere")
    assert list(rtsep.separate_files([], tmp_path, model)) == []
