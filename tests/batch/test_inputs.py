"""What can be separated: files, folders, patterns, playlists, stdin; what is not audio is skipped with a line."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from rtsep.batch.inputs import find_inputs
from rtsep.cli.main import main

Maker = Callable[..., Path]
OUT = Path("out")


def touch(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return [folder / name for name in names]


def test_symbolic_links_are_followed_once_and_loops_end(tmp_path: Path) -> None:
    touch(tmp_path, "music/a/1.wav", "elsewhere/2.wav")
    music = tmp_path / "music"
    (music / "a" / "up").symlink_to(music)
    (music / "itself").symlink_to("itself")
    (music / "link").symlink_to(tmp_path / "elsewhere")
    (music / "link again").symlink_to(tmp_path / "elsewhere")
    (music / "gone.wav").symlink_to("nowhere")
    inputs = find_inputs([music], OUT)
    assert inputs.songs == [music / "a" / "1.wav", music / "gone.wav", music / "link" / "2.wav"]
    assert inputs.notes == [f"{music}: skipped 1 file that is not audio"]


def test_a_closed_folder_is_a_song_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, constant_bundle: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    closed, scan = tmp_path / "in" / "closed", os.scandir
    touch(closed, "1.wav")

    def scandir(path: Path) -> object:
        if path == closed:  # permissions do not stop a superuser who runs tests
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    words = ["separate", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--model", str(constant_bundle())]
    assert main(words) == 1
    assert f"{closed} cannot be opened: Permission denied" in capsys.readouterr().err


def test_patterns_are_in_natural_order_and_leave_out_stems(tmp_path: Path) -> None:
    songs = touch(tmp_path, "a/2.wav", "a/10.wav", "b/c/1.wav")
    touch(tmp_path, "out/2/vocals.wav", "a/.hidden.wav", "a/2.txt")
    (literal,) = touch(tmp_path, "[1].wav")
    out = tmp_path / "out"
    assert find_inputs([tmp_path / "**" / "*.wav"], out).songs == [literal, *songs]
    assert find_inputs([tmp_path / "a" / "?.*"], out).songs == songs[:1]
    assert find_inputs([literal, tmp_path / "no*"], out).songs == [literal, tmp_path / "no*"]


@pytest.mark.parametrize(
    ("name", "encoding"),
    [("list.m3u8", "utf-8"), ("list.M3U", "utf-8-sig"), ("list.m3u", "utf-16"), ("list.m3u", "cp1252")],
)
def test_playlists_name_files_as_programs_write_them(tmp_path: Path, name: str, encoding: str) -> None:
    songs = touch(tmp_path, "ä.wav", "CD 1/b.flac", "c d.ogg", "e.mp3")
    playlist = tmp_path / name
    lines = ["#EXTM3U", "#EXTINF:1,A - Ä", "ä.wav ", "", r"CD 1\b.flac", f"file://{tmp_path}/c%20d.ogg", str(songs[3])]
    lines += ["https://radio.example/live", "missing.wav", "\0"]
    playlist.write_bytes("\r\n".join(lines).encode(encoding))
    inputs = find_inputs([playlist], OUT)
    assert inputs.songs == [*songs, tmp_path / "missing.wav"]
    assert inputs.notes == [f"{playlist}: https://radio.example/live is not a file; skipped"]


@pytest.mark.parametrize("form", ["WAV", "FLAC"])
def test_stdin_is_separated(tmp_path: Path, constant_bundle: Maker, short_wav: Path, form: str) -> None:
    samples, rate = soundfile.read(short_wav)
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format=form, subtype="PCM_16")
    out = tmp_path / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stream.getvalue())))
        patch.chdir(tmp_path)
        assert main(["separate", "-", "-o", str(out), "--model", str(constant_bundle(vocals=0.0, other=1.0))]) == 0
    assert abs(soundfile.read(out / "stdin" / "other.wav")[0] - samples).max() < 1e-4


def test_what_is_not_audio_is_skipped_with_a_line(
    tmp_path: Path, constant_bundle: Maker, short_wav: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cover.jpg").write_bytes(b"\xff\xd8\xff\xe0" * 100)
    (tmp_path / "sound.bin").write_bytes(short_wav.read_bytes())
    options = ["-o", str(tmp_path / "out"), "--model", str(constant_bundle())]
    assert main(["separate", str(tmp_path / "cover.jpg"), str(tmp_path / "sound.bin"), *options]) == 0
    skipped = f"rtsep: {tmp_path / 'cover.jpg'} is not audio; skipped\n"
    assert capsys.readouterr().err == skipped
    assert main(["separate", str(tmp_path / "cover.jpg"), *options]) == 1
    assert capsys.readouterr().err == skipped + "rtsep: no audio files to separate\n"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_is_refused_and_nobody_waits(
    tmp_path: Path, constant_bundle: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    words = ["separate", str(tmp_path), "-o", str(tmp_path / "out"), "--model", str(constant_bundle())]
    assert main(words) == 1
    assert capsys.readouterr().err.splitlines()[-1] == f"rtsep: {tmp_path / 'pipe.wav'} is not a regular file"
