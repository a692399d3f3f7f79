"""A disk that fills, refuses or goes away fails the song that it stops, with one line; nothing is half-written."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import soundfile
from mutagen.flac import FLAC, Picture

from rtsep.audio.files.reader import open_audio
from rtsep.batch import song_work
from rtsep.cli.main import main

Maker = Callable[..., Path]
Mounter = Callable[[Path, str], None]
RATE = 44100


def write_song(path: Path, seconds: float) -> Path:
    """Noise with tags and a cover of 60 000 bytes."""
    path.parent.mkdir(exist_ok=True)
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (round(seconds * RATE), 2))
    soundfile.write(path, noise, RATE, format="FLAC")
    tags = FLAC(path)
    cover = Picture()
    cover.data, cover.mime = np.random.default_rng(1).bytes(60_000), "image/png"
    tags.add_picture(cover)
    tags.save()
    return path


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.match("*/.rtsep-*.json")}


@pytest.fixture
def mount() -> Iterator[Mounter]:
    """Mount a RAM disk with these options on a folder, until the test ends."""
    with ExitStack() as stack:

        def on(folder: Path, options: str) -> None:
            folder.mkdir(exist_ok=True)
            command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
            try:
                subprocess.run(command, check=True, capture_output=True)
            except (OSError, subprocess.CalledProcessError):
                pytest.skip("mounting a RAM disk needs Linux and root")
            stack.callback(subprocess.run, ["umount", "-l", str(folder)], capture_output=True)

        yield on


@pytest.mark.parametrize("form", ["wav 16", "flac", "mp3", "opus", "m4a"])
def test_a_full_disk_fails_a_song_wherever_it_fills(
    tmp_path: Path, constant_bundle: Maker, mount: Mounter, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of every size between nothing and enough: in sound, in tags, in the manifest."""
    if form == "m4a":
        pytest.importorskip("av")
    ext, *bits = form.split()
    song = write_song(tmp_path / "song.flac", 0.1)
    model = constant_bundle(vocals=0.5, other=0.5)
    words = ["separate", str(song), "--model", str(model), "--format", ext, *(["--bits", *bits] if bits else []), "-o"]
    assert main([*words, str(tmp_path / "enough")]) == 0
    needed = sum(path.stat().st_size for path in (tmp_path / "enough").rglob("*") if path.is_file())
    capsys.readouterr()
    for size in np.linspace(8192, needed + 4 * 2 * RATE // 10, 6).astype(int):
        out = tmp_path / f"out{size}"
        mount(out, f"size={size}")
        code = main([*words, str(out)])
        said = capsys.readouterr()
        whole = {f"song/{stem}.{ext}" for stem in ("vocals", "other")}
        if code == 0:
            assert files_in(out) == {"song", *whole}
            continue
        assert said.err.startswith(f"rtsep: no space left to write {out}/song/"), said.err
        assert said.err.count("\n") == 1
        assert ".part" not in said.err
        assert files_in(out) <= {"song", *whole}  # if the manifest alone had no space
        for name in files_in(out) & whole:
            with open_audio(out / name) as reader:
                assert reader.read(RATE).shape[1] > RATE // 20


def test_a_full_disk_stops_one_song_only(
    tmp_path: Path, constant_bundle: Maker, mount: Mounter, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, seconds in (("a", 0.1), ("b", 3.0), ("c", 0.1)):
        write_song(tmp_path / "in" / f"{name}.flac", seconds)
    out = tmp_path / "out"
    mount(out, "size=1m")
    words = ["separate", str(tmp_path / "in"), "-o", str(out), "--model", str(constant_bundle())]
    assert main(words) == 3
    said = capsys.readouterr().err
    assert said.startswith(f"rtsep: no space left to write {out}/b/")
    assert said.count("\n") == 1
    assert files_in(out) == {f"{song}{name}" for song in "ac" for name in ("", "/vocals.wav", "/instrumental.wav")}


def test_a_folder_that_goes_away_meanwhile_fails_the_song_in_work(
    tmp_path: Path,
    constant_bundle: Maker,
    mount: Mounter,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Songs or stems on a network folder that is taken away while one of them is half read or half written."""
    for name in "abc":
        write_song(tmp_path / "local" / f"{name}.flac", 2.0)
    away = tmp_path / "away"
    write = song_work.write_song
    model = constant_bundle()

    def lose(song: Path, *arguments: object, **options: object) -> object:
        def progress(done: int, total: int | None) -> None:
            if song.stem == "b" and os.path.ismount(away):
                subprocess.run(["umount", "-l", str(away)], check=True)
                away.chmod(0o500)

        return write(song, *arguments, **options | {"progress": progress})  # type: ignore[arg-type]

    monkeypatch.setattr(song_work, "write_song", lose)
    mount(away, "size=20m")
    assert main(["separate", str(tmp_path / "local"), "-o", str(away / "out"), "--model", str(model)]) == 3
    said = capsys.readouterr().err
    assert said == f"rtsep: cannot write {away}/out/b/vocals.wav: No such file or directory\n"
    assert files_in(away) == {"out"} | {f"out/c{name}" for name in ("", "/vocals.wav", "/instrumental.wav")}

    mount(away, "size=20m")
    for name in "abc":
        write_song(away / f"{name}.flac", 2.0)
    out = tmp_path / "out"
    assert (
        main(["separate", *(str(away / f"{name}.flac") for name in "abc"), "-o", str(out), "--model", str(model)]) == 3
    )
    assert capsys.readouterr().err == f"rtsep: {away}/c.flac does not exist\n"
    assert {path.name for path in out.iterdir()} == {"a", "b"}  # an open file stays readable


def test_a_read_only_folder(
    tmp_path: Path, constant_bundle: Maker, mount: Mounter, capsys: pytest.CaptureFixture[str]
) -> None:
    song = write_song(tmp_path / "song.flac", 0.1)
    out = tmp_path / "out"
    mount(out, "size=1m,ro")
    assert main(["separate", str(song), "-o", str(out), "--model", str(constant_bundle())]) == 1
    assert capsys.readouterr().err == f"rtsep: cannot write {out}/song/vocals.wav: Read-only file system\n"
    assert files_in(out) == set()


def test_a_name_that_a_folder_has_fails_the_song_whole(
    tmp_path: Path, constant_bundle: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    song = write_song(tmp_path / "song.flac", 0.1)
    out = tmp_path / "out"
    (out / "song" / "instrumental.wav").mkdir(parents=True)
    assert main(["separate", str(song), "-o", str(out), "--model", str(constant_bundle())]) == 1
    assert capsys.readouterr().err == f"rtsep: cannot write {out}/song/instrumental.wav: Is a directory\n"
    assert files_in(out) == {"song", "song/instrumental.wav"}
