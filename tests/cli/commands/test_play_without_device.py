"""`rtsep play` without a sound device writes stems and a picture."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtsep.cli.commands import play as command
from rtsep.cli.session.options import PlayOptions
from rtsep.errors import RtsepError
from tests.cli.running import rtsep
from tests.conftest import REPOSITORY

RATE = 44100


def test_without_a_device_stems_and_picture_are_written(
    silent_environment: dict[str, str], short_wav: Path, tmp_path: Path, constant_bundle: Callable[..., Path]
) -> None:
    """The song's name cannot be encoded for stdout: the paths are printed as the bytes that they are."""
    environment = silent_environment | {"PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": "ascii"}
    model = constant_bundle(vocals=0.25, instrumental=0.75)
    song_path = tmp_path / "日本.wav"
    song_path.symlink_to(short_wav)
    done = rtsep("play", song_path, "--gain", "vocals=-inf", "--model", model, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[0].startswith("rtsep: no sound device found")
    folder = tmp_path / "out" / "日本"
    assert done.stdout.split() == [
        f"out/日本/{name}" for name in ("vocals.wav", "instrumental.wav", "before-after.png")
    ]
    song, _ = soundfile.read(short_wav, dtype="float32")
    stem, rate = soundfile.read(folder / "instrumental.wav", dtype="float32")
    assert rate == RATE
    np.testing.assert_allclose(stem, 0.75 * song, atol=1e-6)
    assert (folder / "before-after.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("rate", [RATE, 48000])
def test_without_a_device_the_requested_part_is_written(
    silent_environment: dict[str, str], tmp_path: Path, constant_bundle: Callable[..., Path], rate: int
) -> None:
    song = np.random.default_rng(3).uniform(-0.5, 0.5, (3 * rate, 1)).astype(np.float32)
    soundfile.write(tmp_path / "song.wav", song, rate, subtype="FLOAT")
    environment = silent_environment | {"PYTHONPATH": str(REPOSITORY)}
    model = constant_bundle(vocals=0.25, instrumental=0.75)
    settings = {"cwd": tmp_path, "env": environment}
    done = rtsep("play", "song.wav", "--start", 1, "--seconds", 0.5, "--model", model, **settings)
    assert done.returncode == 0, done.stderr
    stems = [
        soundfile.read(tmp_path / "out" / "song" / f"{stem}.wav", dtype="float32", always_2d=True)[0]
        for stem in ("vocals", "instrumental")
    ]
    np.testing.assert_allclose(sum(stems), song[rate : rate + rate // 2], atol=1e-5)
    done = rtsep("play", "song.wav", "--start", 3, "--model", model, **settings)
    assert done.returncode == 1
    assert "song.wav ends at 3.00 s: --start 3 is beyond its end" in done.stderr
    done = rtsep("play", "missing.wav", "--model", "no-such-model", **settings)
    assert done.returncode == 1
    assert done.stderr.splitlines()[1:] == ["rtsep: missing.wav does not exist"]


@pytest.fixture
def no_portaudio(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing() -> list[object]:
        raise RtsepError("the PortAudio library is missing")

    monkeypatch.setattr("rtsep.audio.devices.discovery.list_devices", missing)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("no_portaudio")
def test_without_portaudio_stems_are_written_too(
    short_wav: Path, tmp_path: Path, constant_bundle: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.play((short_wav,), options=PlayOptions(model=str(constant_bundle()))) == 0
    assert "rtsep: the PortAudio library is missing; writing the stems" in capsys.readouterr().err
    assert (tmp_path / "out" / "short" / "vocals.wav").exists()


@pytest.mark.usefixtures("no_portaudio")
def test_songs_of_one_name_are_all_written_and_a_bad_file_does_not_stop_the_rest(
    constant_bundle: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    songs = [Path("cd1/01.wav"), Path("cover.jpg"), Path("cd2/01.wav")]
    for length, song in enumerate(songs, start=1):
        song.parent.mkdir(exist_ok=True)
        if song.suffix == ".wav":
            soundfile.write(song, np.zeros((1000 * length, 2)), RATE)
        else:
            song.write_text("no sound")
    assert command.play(tuple(songs), options=PlayOptions(model=str(constant_bundle()), json=True)) == 3
    first, bad, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["file"], bad["file"], second["file"]) == tuple(map(str, songs))
    assert "cover.jpg" in bad["error"]
    written = [[path for path in entry["written"] if path.endswith("vocals.wav")] for entry in (first, second)]
    assert written == [["out/01/vocals.wav"], ["out/01 (2)/vocals.wav"]]
    assert [soundfile.info(path).frames for (path,) in written] == [1000, 3000]


@pytest.mark.usefixtures("no_portaudio")
@pytest.mark.parametrize("start", [0.0, 0.01])
def test_a_song_is_never_replaced_by_its_own_stem(
    start: float, short_wav: Path, constant_bundle: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    song = Path("out/vocals/vocals.wav")
    song.parent.mkdir(parents=True)
    song.write_bytes(short_wav.read_bytes())
    assert command.play((song,), options=PlayOptions(model=str(constant_bundle()), start=start)) == 1
    assert "choose another folder with rtsep separate --out" in capsys.readouterr().err
    assert song.read_bytes() == short_wav.read_bytes()


def test_a_requested_device_that_is_missing_is_a_failure(
    silent_environment: dict[str, str], short_wav: Path, tmp_path: Path, constant_bundle: Callable[..., Path]
) -> None:
    environment = silent_environment | {"PYTHONPATH": str(REPOSITORY)}
    done = rtsep("play", short_wav, "--device", "rt_out", "--model", constant_bundle(), cwd=tmp_path, env=environment)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()
