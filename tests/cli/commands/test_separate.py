"""`rtsep separate`: stems with the sample rate and length of the file, that sum to it, all or none."""

import json
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

import rtsep
from rtsep.batch.tasks import track_names
from rtsep.cli.main import main
from rtsep.separation import stem_stream
from rtsep.separation.song_files import split_file

Maker = Callable[..., Path]


def sound(frames: int, rate: int, channels: int = 2) -> np.ndarray:
    """(n, channels) of noise over the whole band, and a tone."""
    rng = np.random.default_rng(frames)
    tone = 0.2 * np.sin(2 * np.pi * 440 * np.arange(frames) / rate)[:, None]
    return (tone + 0.1 * rng.standard_normal((frames, channels))).astype(np.float32)


def write(path: Path, samples: np.ndarray, rate: int) -> Path:
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return path


def read(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="float32", always_2d=True)[0]


def decibels(error: np.ndarray, reference: np.ndarray) -> float:
    return 10 * np.log10((error.astype(np.float64) ** 2).sum() / (reference.astype(np.float64) ** 2).sum() + 1e-30)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000, 96000])
@pytest.mark.parametrize("frames", [1, 1023, 4097, 50_021])
def test_rate_and_length_are_kept_and_stems_sum_to_the_mixture(
    tmp_path: Path, constant_bundle: Maker, rate: int, frames: int
) -> None:
    mixture = sound(frames, rate)
    song = write(tmp_path / "song.wav", mixture, rate)
    model = constant_bundle(vocals=0.25, instrumental=0.75)
    assert main(["separate", str(song), "-o", str(tmp_path / "out"), "--model", str(model)]) == 0
    total = np.zeros_like(mixture)
    for stem in ("vocals", "instrumental"):
        info = soundfile.info(tmp_path / "out" / "song" / f"{stem}.wav")
        assert (info.samplerate, info.frames, info.channels, info.subtype) == (rate, frames, 2, "FLOAT")
        total += read(tmp_path / "out" / "song" / f"{stem}.wav")
    if frames:
        assert decibels(total - mixture, mixture) < -100


@pytest.mark.parametrize("rate", [22050, 44100, 96000])
def test_stems_are_aligned(tmp_path: Path, constant_bundle: Maker, rate: int) -> None:
    mixture = np.zeros((rate, 2), np.float32)
    mixture[rate // 3] = (1.0, -0.5)
    song = write(tmp_path / "song.wav", mixture, rate)
    model = constant_bundle(vocals=0.25, instrumental=0.75)
    separator = rtsep.load(model, device="cpu")
    vocals = read(split_file(song, tmp_path / "out", separator).paths["vocals"])
    assert np.argmax(np.abs(vocals), axis=0).tolist() == [rate // 3, rate // 3]
    # 0.25 of what fits below 22 kHz
    assert vocals[rate // 3, 0] == pytest.approx(0.25 * min(1, 44100 / rate), rel=0.06)
    assert vocals[rate // 3, 1] == pytest.approx(-0.5 * vocals[rate // 3, 0], rel=1e-4)


def test_content_above_22_khz_goes_to_the_residual_stem(tmp_path: Path, constant_bundle: Maker) -> None:
    whistle = 0.5 * np.sin(2 * np.pi * 30_000 * np.arange(96_000) / 96_000)
    song = write(tmp_path / "song.wav", np.stack([whistle, whistle], axis=1).astype(np.float32), 96_000)
    model = constant_bundle(drums=0.5, other=0.2, vocals=0.3)
    paths = split_file(song, tmp_path / "out", rtsep.load(model, device="cpu")).paths
    assert np.abs(read(paths["other"])[5000:-5000]).max() == pytest.approx(0.5, abs=1e-3)
    for stem in ("drums", "vocals"):
        assert np.abs(read(paths[stem])[5000:-5000]).max() < 1e-3


def test_masks_that_do_not_sum_to_one_are_not_changed(tmp_path: Path, constant_bundle: Maker) -> None:
    """The rest gets what the conversion lost, not what the network left out: as at 44.1 kHz."""
    for rate in (44_100, 48_000):
        mixture = sound(rate, rate)
        song = write(tmp_path / "song.wav", mixture, rate)
        model = constant_bundle(vocals=0.25, instrumental=0.25)
        paths = split_file(song, tmp_path / "out", rtsep.load(model, device="cpu")).paths
        below = slice(rate // 10, -rate // 10)
        spectrum = [
            np.abs(np.fft.rfft(x[below, 0]))[: 15_000 * 8 // 10] for x in (read(paths["instrumental"]), mixture)
        ]
        assert np.allclose(spectrum[0], 0.25 * spectrum[1], rtol=0.02, atol=0.05)


def test_a_mono_file_has_mono_stems(tmp_path: Path, constant_bundle: Maker) -> None:
    mixture = sound(8000 * 3 + 1, 8000, channels=1)
    song = write(tmp_path / "song.wav", mixture, 8000)
    paths = split_file(song, tmp_path / "out", rtsep.load(constant_bundle(vocals=0.5, other=0.5), device="cpu")).paths
    stems = [read(path) for path in paths.values()]
    assert all(stem.shape == mixture.shape for stem in stems)
    assert decibels(sum(stems) - mixture, mixture) < -100


def test_the_output_is_that_of_the_separator_with_the_same_chunk(tmp_path: Path, constant_bundle: Maker) -> None:
    mixture = sound(44100 * 2 + 7, 44100)
    song = write(tmp_path / "song.wav", mixture, 44100)
    model = constant_bundle(vocals=0.3, instrumental=0.7)
    for chunk in (1, 7, 32):
        separator = rtsep.load(model, chunk=chunk, device="cpu")
        parts = [separator.feed(np.ascontiguousarray(mixture.T)), separator.flush()]
        assert main(["separate", str(song), "-o", str(tmp_path), "--model", str(model), "--chunk", str(chunk)]) == 0
        for stem in separator.stems:
            expected = np.concatenate([part[stem] for part in parts], axis=1).T
            assert np.abs(read(tmp_path / "song" / f"{stem}.wav") - expected).max() < 1e-6


def test_a_file_that_ends_early_is_refused_unless_allowed(
    tmp_path: Path, constant_bundle: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    song = write(tmp_path / "song.wav", sound(5000, 44100), 44100)
    song.write_bytes(song.read_bytes()[:-8000])
    words = ["separate", str(song), "-o", str(tmp_path / "out"), "--model", str(constant_bundle())]
    assert main(words) == 1
    assert not (tmp_path / "out").exists()
    reason = f"{song}: its header states 0.11 s, but it ends after 0.09 s"
    assert capsys.readouterr().err == (
        f"rtsep: {reason}; nothing was written for it. --allow-damaged separates what there is\n"
    )
    assert main([*words, "--allow-damaged"]) == 0
    assert capsys.readouterr().err == f"rtsep: {reason}\n"
    assert soundfile.info(tmp_path / "out" / "song" / "vocals.wav").frames == 4000


class TestSeveralFiles:
    def test_some_failed_is_exit_code_3_and_the_others_are_written(
        self, tmp_path: Path, constant_bundle: Maker, capsys: pytest.CaptureFixture[str]
    ) -> None:
        good = write(tmp_path / "good.wav", sound(3000, 44100), 44100)
        bad = tmp_path / "bad.wav"
        bad.write_text("Dear diary")
        samples = sound(200_000, 44100)
        samples[150_000] = np.nan
        nan = write(tmp_path / "nan.wav", samples, 44100)
        late = tmp_path / "late.flac"
        soundfile.write(late, sound(200_000, 44100), 44100)
        late.write_bytes(late.read_bytes()[:400_000])
        last = write(tmp_path / "last.wav", sound(5000, 44100), 44100)
        out = tmp_path / "out"
        empty = tmp_path / "empty"
        empty.mkdir()
        words = [str(path) for path in (good, bad, empty, nan, late, last)]
        assert main(["separate", *words, "-o", str(out), "--model", str(constant_bundle())]) == 3
        said = capsys.readouterr()
        assert said.err.count("\n") == 4
        assert "nan.wav: the sample at 3.401 s is not a number" in said.err
        assert all(line.startswith("rtsep: ") for line in said.err.splitlines())
        assert sorted(path.name for path in out.iterdir()) == ["good", "last"]
        written = sorted(str(path) for path in out.glob("*/[!.]*"))
        assert sorted(said.out.splitlines()) == written
        assert len(written) == 4
        assert soundfile.info(out / "last" / "vocals.wav").frames == 5000

    def test_all_failed_is_exit_code_1(self, tmp_path: Path, constant_bundle: Maker) -> None:
        words = [str(tmp_path / "a.wav"), str(tmp_path / "b.wav"), "-o", str(tmp_path / "out")]
        assert main(["separate", *words, "--model", str(constant_bundle())]) == 1
        assert not (tmp_path / "out").exists()

    def test_files_of_one_name_do_not_overwrite_each_other(self, tmp_path: Path, constant_bundle: Maker) -> None:
        lengths = {"a": 1000, "b": 2000, "c": 3000}
        songs = []
        for folder, frames in lengths.items():
            (tmp_path / folder).mkdir()
            songs.append(str(write(tmp_path / folder / "song.wav", sound(frames, 44100), 44100)))
        out = tmp_path / "out"
        assert main(["separate", *songs, "-o", str(out), "--model", str(constant_bundle())]) == 0
        found = {path.parent.name: soundfile.info(path).frames for path in out.glob("*/vocals.wav")}
        assert found == {"song": 1000, "song (2)": 2000, "song (3)": 3000}

    @pytest.mark.parametrize("before", [[], ["--"]])
    def test_names_may_look_like_options_or_json(
        self, before: list[str], tmp_path: Path, constant_bundle: Maker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        names = ["[2019] a.wav", "{a}.wav", "-5.wav", "- b.wav", "--c.wav", "-"]
        for name in names:
            write(Path("song.wav"), sound(100, 44100), 44100).rename(name)
        options = ["-o", "out", "--model", str(constant_bundle())]
        assert main(["separate", *options, *before, *names]) == 0
        assert {path.name for path in Path("out").iterdir()} == {Path(name).stem for name in names}

    def test_stems_in_a_folder_are_not_separated_again(
        self, tmp_path: Path, constant_bundle: Maker, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write(tmp_path / "song.wav", sound(100, 44100), 44100)
        words = ["separate", str(tmp_path), "-o", str(tmp_path / "out"), "--model", str(constant_bundle())]
        for _ in range(2):
            assert main(words) == 0
            assert len(capsys.readouterr().out.splitlines()) == 2

    def test_stdout_is_not_supported(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["separate", "song.wav", "-o", "-"]) == 2
        assert "is not supported" in capsys.readouterr().err

    def test_names_of_tracks(self) -> None:
        files = ["x/a.wav", "A.mp3", "a (2).flac", "...wav", "b.tar.gz", ".hidden"]
        names = track_names([Path(file) for file in files])
        assert names == ["a", "A (2)", "a (2) (2)", "track", "b.tar", ".hidden"]

    def test_json_is_one_line_a_file(
        self, tmp_path: Path, constant_bundle: Maker, capsys: pytest.CaptureFixture[str]
    ) -> None:
        surround = write(tmp_path / "wide.wav", sound(48_000, 48_000, 6), 48_000)
        words = [str(surround), str(tmp_path / "missing.wav"), "-o", str(tmp_path / "out"), "--json"]
        assert main(["separate", *words, "--model", str(constant_bundle())]) == 3
        said = capsys.readouterr()
        done, failed = (json.loads(line) for line in said.out.splitlines())
        assert (done["file"], done["seconds"], done["sample_rate"], done["frames"]) == (
            str(surround),
            1.0,
            48_000,
            48_000,
        )
        assert Path(done["stems"]["vocals"]).is_file()
        assert done["times_realtime"] > 0
        assert done["model"] == constant_bundle().name
        assert "5.1 is folded down to stereo" in done["notes"][0]
        assert "does not exist" in failed["error"]
        assert said.err.count("\n") == 2


def test_a_missing_model_or_device_fails_before_anything_is_made(
    tmp_path: Path, constant_bundle: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    song = str(write(tmp_path / "song.wav", sound(100, 44100), 44100))
    out = tmp_path / "out"
    assert main(["separate", song, "-o", str(out), "--model", "no-such-model"]) == 1
    assert "no-such-model" in capsys.readouterr().err
    absent = ["--compute", "cuda:99", "--model", str(constant_bundle())]
    assert main(["separate", song, "-o", str(out), *absent]) == 1
    assert "cuda:99" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("name", ["vocals.wav", "link.wav"])
def test_a_song_is_never_replaced_by_its_own_stem(
    name: str,
    tmp_path: Path,
    constant_bundle: Maker,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / Path(name).stem
    folder.mkdir()
    song = write(folder / "vocals.wav", sound(3000, 44100), 44100)
    if name != song.name:
        (folder / name).symlink_to(song)
    before = song.read_bytes()
    monkeypatch.chdir(tmp_path)
    words = ["separate", str(Path(folder.name, name)), "-o", ".", "--model", str(constant_bundle())]
    assert main(words) == 1
    said = capsys.readouterr().err
    assert "replaced by its own stem" in said
    assert said.count("\n") == 1
    assert song.read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == sorted({name, song.name})


def test_existing_files_survive_a_failure(tmp_path: Path, constant_bundle: Maker) -> None:
    out = tmp_path / "out"
    (out / "song").mkdir(parents=True)
    (out / "song" / "vocals.wav").write_text("older")
    song = write(tmp_path / "song.wav", np.full((100, 2), np.inf, np.float32), 44100)
    assert main(["separate", str(song), "-o", str(out), "--model", str(constant_bundle())]) == 1
    assert [path.name for path in (out / "song").iterdir()] == ["vocals.wav"]
    assert (out / "song" / "vocals.wav").read_text() == "older"


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, constant_bundle: Maker) -> None:
    song = write(tmp_path / "song.wav", sound(100_000, 44100), 44100)
    out = tmp_path / "out"
    words = ["separate", str(song), "-o", str(out), "--model", str(constant_bundle())]
    program = (
        "import resource, signal, sys; from rtsep.cli.main import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))\n"
        f"sys.exit(main({words!r}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stderr
    assert "no space left" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not out.exists()


def test_memory_does_not_grow_with_the_file(
    tmp_path: Path, constant_bundle: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    separator = rtsep.load(constant_bundle(), device="cpu")
    peaks = []
    monkeypatch.setattr(stem_stream, "READ_FRAMES", 8192)
    for seconds in (4, 16):
        song = write(tmp_path / f"{seconds}.wav", np.zeros((48_000 * seconds, 2), np.float32), 48_000)
        tracemalloc.start()
        split_file(song, tmp_path / "out", separator)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        shutil.rmtree(tmp_path / "out")
    assert peaks[1] < 1.2 * peaks[0], peaks


def test_progress_is_for_terminals_only(
    tmp_path: Path,
    constant_bundle: Maker,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    song = write(tmp_path / "song.wav", sound(200_000, 44100), 44100)
    words = ["separate", str(song), "-o", str(tmp_path / "out"), "--model", str(constant_bundle())]
    monkeypatch.setattr("rtsep.cli.output.progress_line.TERMINAL_S", 0.0)
    assert main(words) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert main(words) == 0
    assert "100%" in capsys.readouterr().err


def test_the_wiener_filter_reads_each_file_twice(tmp_path: Path, constant_bundle: Maker) -> None:
    """Stems that stand in one place share the mixture by their energies: 0.25^2 and 0.75^2."""
    songs = [write(tmp_path / f"{rate}.wav", sound(60_000, rate), rate) for rate in (44100, 22050)]
    words = [*map(str, songs), "-o", str(tmp_path / "out"), "--model", str(constant_bundle(vocals=0.25, other=0.75))]
    assert main(["separate", "--wiener", *words]) == 0
    for song in songs:
        mixture = read(song)
        limit_db = -25 if song.stem == "44100" else -15  # noise at the band's edge is lost on the way there and back
        assert decibels(read(tmp_path / "out" / song.stem / "vocals.wav") - 0.1 * mixture, 0.1 * mixture) < limit_db
