"""Job files: songs to separate and songs to copy, into a folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rtsep.batch.job_file import read_job
from rtsep.cli.main import main
from rtsep.errors import RtsepError


def test_a_job_separates_and_copies(
    tmp_path: Path, short_wav: Path, constant_bundle: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    for name in ("one.wav", "two.wav"):
        (tmp_path / "in" / name).write_bytes(short_wav.read_bytes())
    job = tmp_path / "job.json"
    job.write_text(json.dumps({"convert": ["in/one.wav"], "copy": ["in/two.wav"], "output": "Album"}))
    out = tmp_path / "out"
    assert main(["separate", str(job), "-o", str(out), "--model", str(constant_bundle())]) == 0
    copied = out / "Album" / "two" / "instrumental.wav"
    assert copied.read_bytes() == short_wav.read_bytes()
    written = [out / "Album" / "one" / "vocals.wav", out / "Album" / "one" / "instrumental.wav", copied]
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(map(str, written))
    assert {path for path in out.rglob("[!.]*") if path.is_file()} == set(written)


def test_songs_with_the_same_name_get_different_folders(
    tmp_path: Path, short_wav: Path, constant_bundle: Callable[..., Path]
) -> None:
    (tmp_path / "in").mkdir()
    for path in ("song.wav", "in/song.wav"):
        (tmp_path / path).write_bytes(short_wav.read_bytes())
    job = tmp_path / "job.json"
    job.write_text(json.dumps({"convert": ["song.wav"], "copy": ["in/song.wav"]}))
    out = tmp_path / "out"
    words = ["separate", str(job), str(tmp_path / "in" / "song.wav"), "-o", str(out), "--model", str(constant_bundle())]
    assert main(words) == 0
    assert {path.name for path in out.iterdir()} == {"song", "song (2)", "song (3)"}


def test_missing_keys_are_empty_lists(tmp_path: Path) -> None:
    job = tmp_path / "job.json"
    job.write_text('{"convert": ["a.wav"], "copy": null}')
    assert read_job(job) == ([tmp_path / "a.wav"], [], Path("."))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_job_may_be_written_on_windows(tmp_path: Path, encoding: str) -> None:
    job, song = tmp_path / "job.json", tmp_path / "CD 1" / "ä.wav"
    song.parent.mkdir()
    song.touch()
    job.write_bytes('{"convert": ["CD 1\\\\ä.wav ", "a\\\\b.wav"]}\r\n'.encode(encoding))
    assert read_job(job) == ([song, tmp_path / "a\\b.wav"], [], Path("."))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[1]", "object"),
        ('{"copy": ["\\u0000"]}', "NUL"),
        ('{"output": "\\u0000"}', "NUL"),
        ("{", "job.json"),
        ('{"convert": "a.wav"}', "array"),
        ('{"out": "x"}', "out"),
    ]
    + [(json.dumps({"output": folder}), "inside --out") for folder in ("/etc", "../x", "a/../../b")],
)
def test_an_invalid_job_is_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    job = tmp_path / "job.json"
    job.write_text(text)
    with pytest.raises(RtsepError, match=complaint) as caught:
        read_job(job)
    assert "\n" not in str(caught.value)


def test_a_missing_song_does_not_stop_the_job(
    tmp_path: Path, short_wav: Path, constant_bundle: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    job = tmp_path / "job.json"
    job.write_text(json.dumps({"convert": [str(short_wav)], "copy": ["none.wav"]}))
    assert main(["separate", str(job), "-o", str(tmp_path / "out"), "--model", str(constant_bundle())]) == 3
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 2
    assert "none.wav: No such file" in said.err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--tta", "twice"], "--tta twice"),
        (["--tta", "shifted", "--wiener"], "wiener filters a stream"),
        (["--tta", "shifted"], "tta and merge_artifacts need"),
    ],
)
def test_impossible_combinations_are_usage_errors(
    tmp_path: Path, short_wav: Path, arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["separate", str(short_wav), "-o", str(tmp_path / "out"), *arguments]) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
