"""A batch that was stopped goes on where it was, skips what is done and the same, and leaves nothing half-written."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import numpy as np
import pytest
import soundfile

import rtsep
from rtsep.batch import manifest, song_work
from rtsep.cli.main import main

Maker = Callable[..., Path]


def write_songs(folder: Path, *names: str) -> list[Path]:
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        samples = np.random.default_rng(number).uniform(-0.5, 0.5, (3000, 2)).astype(np.float32)
        soundfile.write(folder / name, samples, 44100, subtype="FLOAT")
    return [folder / name for name in names]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def changed(folder: Path) -> dict[str, int]:
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob("*/vocals.wav")}


def test_what_is_done_and_the_same_is_skipped(
    tmp_path: Path, constant_bundle: Maker, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = write_songs(tmp_path / "in", "one.wav", "two.wav")
    out = tmp_path / "out"
    model = constant_bundle(vocals=0.25, instrumental=0.75)
    words = ["separate", str(tmp_path / "in"), "-o", str(out), "--model", str(model), "--skip-existing"]

    def redone(*more: str) -> set[str]:
        before = changed(out)
        assert main([*words, *more]) == 0
        after = changed(out)
        return {name for name in after if after[name] != before.get(name)}

    assert redone() == {"one", "two"}
    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(song_work, "load", None)  # a model that nobody needs is not loaded
        assert redone() == set()
    assert capsys.readouterr().out == ""
    assert redone("--json") == set()
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [entry["event"] for entry in said] == ["skipped", "skipped"]

    (out / "one" / "vocals.wav").unlink()
    assert redone() == {"one"}
    with (out / "two" / "instrumental.wav").open("r+b") as file:
        file.truncate(1000)
    assert redone() == {"two"}
    next((out / "two").glob(".rtsep-*.json")).write_text("{")
    assert redone() == {"two"}
    samples, rate = soundfile.read(one)
    samples[0] += 0.01
    soundfile.write(one, samples, rate, subtype="FLOAT")  # of the same size
    assert redone() == {"one"}
    assert redone("--chunk", "1") == {"one", "two"}
    assert redone() == {"one", "two"}
    recipe = model / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("0.25, 0.75", "0.5, 0.5"))
    assert redone() == {"one", "two"}
    monkeypatch.setattr(rtsep, "__version__", "0.0.1")
    assert redone() == {"one", "two"}
    assert redone() == set()
    assert main(words[:-1]) == 0  # without --skip-existing
    assert capsys.readouterr().out.count("vocals.wav") >= 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_killed_run_leaves_nothing_half_written_and_the_next_one_completes_it(
    tmp_path: Path, constant_bundle: Maker
) -> None:
    """Killed at lines, calls and returns spread over all that makes files, in every thread."""
    write_songs(tmp_path / "in", "one.wav", "two.wav")
    (tmp_path / "in" / "bad.wav").write_text("no sound")
    out = tmp_path / "out"
    words = ["separate", str(tmp_path / "in"), "--model", str(constant_bundle()), "--skip-existing", "-o"]
    ours = ("/rtsep/files.py", "/files/wav.py", "/song_files.py", "/song_outputs.py", "/song_work.py", "/manifest.py")

    def run(folder: Path, kill_at: int = 0) -> int:
        """Exit code, or the number of steps that a run takes."""
        process = os.fork()
        if process == 0:
            taken = 0

            def trace(frame: FrameType, event: str, argument: object) -> Callable[..., object] | None:
                nonlocal taken
                if not frame.f_code.co_filename.endswith(ours):
                    return None
                taken += 1
                if taken == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)
                return trace

            threading.settrace(trace)
            sys.settrace(trace)
            main([*words, str(folder)])
            sys.settrace(None)
            (tmp_path / "steps").write_text(str(taken))
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])

    assert run(tmp_path / "whole") == 0
    expected = contents(tmp_path / "whole")
    assert {Path(name).suffix for name in expected} == {".wav", ".json"}
    steps = int((tmp_path / "steps").read_text())
    # Where folders are there already a run takes a few steps less.
    for kill_at in np.linspace(1, 0.95 * steps, 12).astype(int):
        assert run(out, kill_at) == -signal.SIGKILL, kill_at
        for name, content in contents(out).items():
            assert name.endswith(".part") or content == expected[name], (kill_at, name)
        assert main([*words, str(out)]) == 3
        assert contents(out) == expected, kill_at
        assert {path.name for path in out.iterdir()} == {"one", "two"}
        for path in out.rglob("*.json" if kill_at % 2 else "*"):
            if path.is_file():
                path.unlink()


def test_a_song_that_changes_while_it_is_read_fails_alone(
    tmp_path: Path, constant_bundle: Maker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    growing, _ = write_songs(tmp_path / "in", "growing.wav", "two.wav")
    out = tmp_path / "out"
    write = song_work.write_song

    def write_while_it_grows(song: Path, *arguments: object, **options: object) -> object:
        if song == growing:
            with song.open("ab") as file:
                file.write(bytes(800))
        return write(song, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(song_work, "write_song", write_while_it_grows)
    words = ["separate", str(tmp_path / "in"), "-o", str(out), "--model", str(constant_bundle())]
    assert main(words) == 3
    assert f"{growing} changed while it was read" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["two"]


def test_a_dry_run_lists_the_outputs_and_writes_nothing(
    tmp_path: Path, constant_bundle: Maker, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = write_songs(tmp_path / "in", "one.wav", "two.wav")
    out = tmp_path / "out"
    words = ["separate", "-o", str(out), "--model", str(constant_bundle()), "--skip-existing"]
    monkeypatch.setattr(song_work, "MEASURED_S", (1, 1))
    expected = [str(out / song.stem / f"{stem}.wav") for song in (one, two) for stem in ("vocals", "instrumental")]
    assert main([*words, "--dry-run", str(tmp_path / "in")]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == expected
    *lines, total = said.err.splitlines()
    assert lines == [f"rtsep: {song}: 0:00 of sound, about 0 s" for song in (one, two)]
    assert total == "rtsep: 2 songs to do: 0:00 of sound, about 0 s"
    assert not out.exists()
    assert main([*words, str(one)]) == 0
    before = contents(out)
    capsys.readouterr()
    (tmp_path / "in" / "bad.wav").write_text("no sound")
    assert main([*words, "--dry-run", str(tmp_path / "in"), "--json"]) == 3
    bad, done, to_do, total = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert "cannot be read" in bad["error"]
    assert done == {"event": "skipped", "file": str(one)}
    takes_s = to_do.pop("estimate_s")
    assert to_do == {"event": "planned", "file": str(two), "outputs": expected[2:], "seconds": 0.068}
    assert total == {
        **{"event": "estimate", "songs": 1, "songs_of_unknown_length": 0, "seconds": 0.068},
        "estimate_s": takes_s,
    }
    assert contents(out) == before


def test_an_estimate_comes_from_the_speed_of_the_model_and_the_jobs(
    tmp_path: Path, constant_bundle: Maker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The clock is that of the sound written: ten seconds of it a second, and each song is a minute."""
    songs = write_songs(tmp_path / "in", "1.wav", "2.wav", "3.wav")
    for song in songs:
        soundfile.write(song, np.zeros(60 * 1000, np.float32), 1000)
    now_s = 0.0
    write = song_work.write_song

    def write_slowly(song: Path, *arguments: object, **options: object) -> object:
        nonlocal now_s
        result = write(song, *arguments, **options)  # type: ignore[arg-type]
        now_s += result.frames / result.sample_rate / 10
        return result

    monkeypatch.setattr(song_work, "write_song", write_slowly)
    monkeypatch.setattr(song_work.time, "perf_counter", lambda: now_s)
    words = ["separate", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--model", str(constant_bundle())]
    assert main([*words, "--dry-run", "--jobs", "2"]) == 0
    *each, total = capsys.readouterr().err.splitlines()
    assert each == [f"rtsep: {song}: 1:00 of sound, about 6 s" for song in songs]
    assert total == "rtsep: 3 songs to do: 3:00 of sound, about 9 s, 2 songs at a time"


def test_what_failed_is_listed_at_the_end_of_a_long_run(
    tmp_path: Path, constant_bundle: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    songs = write_songs(tmp_path / "in", *(f"{number}.wav" for number in range(9)))
    missing = [tmp_path / f"{name}.wav" for name in "ab"]
    words = map(str, [missing[0], *songs, missing[1], "-o", tmp_path / "out", "--model", constant_bundle()])
    assert main(["separate", *words]) == 3
    errors = [f"{path} does not exist" for path in missing]
    assert capsys.readouterr().err.splitlines() == [
        *(f"rtsep: {error}" for error in errors),
        "rtsep: 2 of 11 songs failed:",
        *(f"rtsep:   {error}" for error in errors),
    ]


def test_a_manifest_that_cannot_be_written_fails_that_song(
    tmp_path: Path, constant_bundle: Maker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = write_songs(tmp_path / "in", "one.wav", "two.wav")
    out = tmp_path / "out"
    words = ["separate", str(one), str(two), "-o", str(out), "--model", str(constant_bundle())]
    assert main(words) == 0
    (name,) = (path.name for path in (out / "one").glob(".rtsep-*"))
    (out / "one" / name).unlink()
    (out / "one" / name).mkdir()
    capsys.readouterr()
    assert main(words) == 3
    assert f"cannot write {out / 'one' / name}" in capsys.readouterr().err


def test_a_manifest_lies_in_the_folder_that_holds_all_outputs(tmp_path: Path) -> None:
    paths = [tmp_path / "vocals" / "a.wav", tmp_path / "drums" / "a.wav"]
    for path in paths:
        path.parent.mkdir()
        path.touch()
    made = manifest.Manifest(paths, {"x": (1, "\udcff")})
    made.write()
    assert made.path.parent == tmp_path
    assert made.is_fulfilled()
    assert not manifest.Manifest(paths, {"x": (2, "\udcff")}).is_fulfilled()
