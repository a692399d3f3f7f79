"""What a song becomes: formats, chosen stems, mixes, full scale, tags, names."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import mutagen
import mutagen.mp4._atom as mutagen_atoms
import numpy as np
import pytest
import soundfile

from rtsep.audio.files import encode as encoding
from rtsep.audio.files.reader import open_audio
from rtsep.cli.main import main
from rtsep.separation.song_outputs import OutputFiles

Maker = Callable[..., Path]
RATE = 44100


@pytest.fixture
def song(tmp_path: Path) -> Path:
    """Half a second of a chord, peak 0.8."""
    time_s = np.arange(RATE // 2) / RATE
    samples = np.stack([np.sin(2 * np.pi * hertz * time_s) for hertz in (220, 330)], axis=1)
    soundfile.write(tmp_path / "song.wav", (0.8 * samples).astype(np.float32), RATE, subtype="FLOAT")
    return tmp_path / "song.wav"


@pytest.fixture
def separate(tmp_path: Path, song: Path, constant_bundle: Maker) -> Callable[..., dict[str, Path]]:
    """Separate the song: name -> file."""

    def run(*words: str, **gains: float) -> dict[str, Path]:
        model = constant_bundle(**(gains or {"vocals": 0.25, "drums": 0.25, "other": 0.5}))
        out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        assert main(["separate", str(song), "-o", str(out), "--model", str(model), *words]) == 0
        assert not list(out.rglob("*.part"))
        return {path.stem: path for path in out.rglob("[!.]*.*")}

    return run


def read(path: Path) -> tuple[np.ndarray, int]:
    with open_audio(path) as reader:
        return reader.read(10 * RATE).T, reader.sample_rate


@pytest.mark.parametrize(
    ("words", "subtype", "limit"),
    [
        (["--format", "wav", "--bits", "16"], "PCM_16", 2**-16),
        (["--format", "wav", "--bits", "24"], "PCM_24", 2**-22),
        (["--format", "flac"], "PCM_24", 2**-22),
        (["--format", "flac", "--bits", "16"], "PCM_16", 2**-16),
        (["--format", "mp3"], "MPEG_LAYER_III", 0.05),
        (["--format", "ogg", "--bitrate", "192"], "VORBIS", 0.05),
        (["--format", "opus"], "OPUS", 0.05),
        (["--format", "m4a"], None, 0.05),
    ],
)
def test_formats(
    separate: Callable[..., dict[str, Path]], song: Path, words: list[str], subtype: str | None, limit: float
) -> None:
    if words[1] == "m4a":
        pytest.importorskip("av")
    made = separate(*words)
    assert set(made) == {"vocals", "drums", "other"}
    samples, rate = read(made["other"])
    original, _ = soundfile.read(song)
    assert rate == (48000 if words[1] == "opus" else RATE)
    assert len(samples) == pytest.approx(len(original) * rate / RATE, abs=1 if limit < 0.01 else 1200)
    if subtype:
        assert soundfile.info(made["other"]).subtype == subtype
    if rate == RATE:
        count = min(len(samples), len(original))
        middle = slice(4000, count - 4000)
        assert np.abs(samples[:count] - 0.5 * original[:count])[middle].max() < 1.01 * limit


@pytest.mark.parametrize(("format", "kbps"), [("mp3", 128), ("mp3", 256), ("opus", 96), ("m4a", 96)])
def test_bitrates(tmp_path: Path, format: str, kbps: int) -> None:
    if format == "m4a":
        pytest.importorskip("av")
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, (2, 4 * 48000)).astype(np.float32)
    with (tmp_path / "x").open("w+b") as file:
        encoding.encode([noise], file, encoding.Encoding(format, bitrate_kbps=kbps), 48000, 2)
        assert file.tell() * 8 / 4000 == pytest.approx(kbps, rel=0.15)


def test_chosen_stems_and_sums(separate: Callable[..., dict[str, Path]], song: Path) -> None:
    original, _ = soundfile.read(song)

    def levels(*words: str) -> dict[str, float]:
        return {
            name: round(float(np.abs(read(path)[0]).max() / np.abs(original).max()), 3)
            for name, path in separate(*words).items()
        }

    assert levels("--stems", "other,vocals") == {"other": 0.5, "vocals": 0.25}
    assert levels("--two-stems", "drums") == {"drums": 0.25, "no_drums": 0.75}
    assert levels("--mix", "vocals=-inf") == {"mix": 0.75}
    half = levels("--mix", "other=-6.0206", "--mix", "vocals=-inf", "--stems", "vocals")
    assert half == {"vocals": 0.25, "mix": 0.5}


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--stems", "piano"], 'unknown stem "piano"; this model has vocals, instrumental'),
        (["--two-stems", "piano"], 'unknown stem "piano"'),
        (["--mix", "piano=-3"], 'unknown stem "piano"'),
        (["--mix", "vocals"], "--mix vocals: expected STEM=DB"),
        (["--stems", "vocals", "--two-stems", "vocals"], "choose one"),
        (["--format", "mp3", "--bits", "16"], "--bits 16: expected none with mp3"),
        (["--format", "flac", "--bits", "32"], "--bits 32: expected 24 or 16 with flac"),
        (["--format", "flac", "--bitrate", "128"], "--bitrate 128: expected none with flac"),
        (["--format", "mp3", "--bitrate", "8"], "--bitrate 8: expected 64 to 320 kbit/s with mp3"),
        (["--format", "flac", "--clip", "none"], "integer samples cannot exceed full scale"),
        (["--template", "{name}.{ext}"], "expected {stem} in it"),
    ],
)
def test_what_does_not_fit_is_a_usage_error(
    song: Path, constant_bundle: Maker, capsys: pytest.CaptureFixture[str], words: list[str], reason: str
) -> None:
    assert main(["separate", str(song), "-o", "nowhere", "--model", str(constant_bundle()), *words]) == 2
    said = capsys.readouterr().err
    assert reason in said
    assert said.count("\n") == 1
    assert not Path("nowhere").exists()


def test_a_part_of_a_song(
    tmp_path: Path, song: Path, separate: Callable[..., dict[str, Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    """As if the file were that part alone, also for a filter that reads it twice; the manifest knows which part."""
    whole, _ = soundfile.read(song, dtype="float32")
    soundfile.write(tmp_path / "part.wav", whole[4410:13230], RATE, subtype="FLOAT")
    (tmp_path / "part.wav").replace(song)
    alone = separate("--wiener")
    soundfile.write(song, whole, RATE, subtype="FLOAT")
    part = separate("--wiener", "--start", "0.1", "--seconds", "0.2")
    assert all(np.array_equal(read(part[stem])[0], read(alone[stem])[0]) for stem in alone)
    assert len(read(separate("--start", "0.4")["vocals"])[0]) == RATE // 10
    out = part["vocals"].parent.parent
    (recipe,) = tmp_path.rglob("recipe.toml")
    words = ["separate", str(song), "-o", str(out), "--model", str(recipe.parent), "--wiener"]
    capsys.readouterr()
    assert main([*words, "--start", "0.1", "--seconds", "0.2", "--skip-existing"]) == 0
    assert "separated already" in capsys.readouterr().err
    assert main([*words, "--start", "0.1", "--skip-existing"]) == 0
    assert "separated already" not in capsys.readouterr().err
    assert main([*words, "--start", "0.5"]) == 1
    assert capsys.readouterr().err == f"rtsep: {song} ends at 0.50 s: --start 0.5 is beyond its end\n"
    assert main([*words, "--start", "-1"]) == 2
    assert "--start -1: expected seconds, 0 or more" in capsys.readouterr().err


def test_songs_beyond_full_scale(separate: Callable[..., dict[str, Path]], capsys: pytest.CaptureFixture[str]) -> None:
    def peaks(*words: str) -> dict[str, float]:
        made = separate(*words, vocals=2.0, other=1.0)
        return {name: round(float(np.abs(read(path)[0]).max()), 2) for name, path in made.items()}

    assert peaks() == {"vocals": 1.6, "other": 0.8}
    assert capsys.readouterr().err == ""
    assert peaks("--format", "flac") == {"vocals": 1.0, "other": 0.5}
    assert "song: peak at +4.1 dBFS, all files rescaled by -4.1 dB" in capsys.readouterr().err
    assert peaks("--format", "flac", "--clip", "clamp") == {"vocals": 1.0, "other": 0.8}
    assert "song: peak at +4.1 dBFS, clipped" in capsys.readouterr().err
    assert peaks("--clip", "rescale") == {"vocals": 1.0, "other": 0.5}
    assert peaks("--clip", "clamp") == {"vocals": 1.0, "other": 0.8}


@pytest.mark.parametrize("format", ["wav", "flac", "mp3"])
def test_tags_come_along_with_the_stem_in_the_title(
    tmp_path: Path, constant_bundle: Maker, short_wav: Path, format: str
) -> None:
    song = tmp_path / "a.flac"
    soundfile.write(song, soundfile.read(short_wav)[0][:5000], RATE)
    tags = mutagen.File(song)
    tags.update(artist="A:B", title="Song", album="..", tracknumber="3", replaygain_track_gain="-9 dB")
    tags.save()
    template = "{artist}/{album}/{track} {title}/{stem}.{ext}"
    words = ["-o", str(tmp_path), "--model", str(constant_bundle()), "--template", template, "--format", format]
    assert main(["separate", str(song), *words]) == 0
    made = tmp_path / "A_B" / "track" / "03 Song" / f"vocals.{format}"
    found = mutagen.File(made)
    names = ("artist", "title", "album") if format == "flac" else ("TPE1", "TIT2", "TALB")
    assert [str(found[name] if format != "flac" else found[name][0]) for name in names] == [
        "A:B",
        "Song (vocals)",
        "..",
    ]
    assert not any("replaygain" in key.lower() for key in found)


def test_a_bad_tag_does_not_stop_the_song(
    tmp_path: Path, constant_bundle: Maker, short_wav: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    song = tmp_path / "a.flac"
    soundfile.write(song, soundfile.read(short_wav)[0][:5000], RATE)
    tags = mutagen.File(song)
    tags["title"] = "Song"
    tags.save()
    content = bytearray(song.read_bytes())
    at = content.index(b"TITLE=") - 4 if b"TITLE=" in content else content.index(b"title=") - 4
    content[at : at + 4] = b"\xff\xff\xff\x7f"
    song.write_bytes(content)
    assert main(["separate", str(song), "-o", str(tmp_path / "out"), "--model", str(constant_bundle())]) == 0
    assert "its tags cannot be read" in capsys.readouterr().err


def test_no_song_is_replaced_by_a_stem_of_another(
    tmp_path: Path, constant_bundle: Maker, short_wav: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, other = tmp_path / "a.wav", tmp_path / "a vocals.wav"
    for path in (first, other):
        path.write_bytes(short_wav.read_bytes())
    words = ["-o", str(tmp_path), "--model", str(constant_bundle()), "--template", "{name} {stem}.{ext}"]
    assert main(["separate", str(first), str(other), *words]) == 3
    assert f"{other} would be replaced by a stem of {first}" in capsys.readouterr().err
    assert other.read_bytes() == short_wav.read_bytes()


@pytest.mark.parametrize("format", ["flac", "mp3", "wav"])
def test_a_full_disk_is_one_line_in_every_format(
    tmp_path: Path,
    song: Path,
    constant_bundle: Maker,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    format: str,
) -> None:
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")
    words = ["separate", str(song), "-o", str(tmp_path / "out"), "--model", str(constant_bundle(vocals=0.1, other=0.9))]
    before, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    gain = OutputFiles._gain

    def fill_the_disk(files: OutputFiles) -> np.float32:
        """When all samples are there, and are to be converted."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (2048, limits[1]))
        return gain(files)

    monkeypatch.setattr(OutputFiles, "_gain", fill_the_disk)
    try:
        assert main([*words, "--format", format, *(["--bits", "16"] if format == "wav" else [])]) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    said = capsys.readouterr().err
    assert "no space left to write" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("gains", "names", "rate"),
    [
        ({"vocals": 0.25, "drums": 0.125, "bass": 0.125, "piano": 0.5}, ["Drums", "Bass", "Piano", "Vocals"], 44100),
        ({"guitar": 0.25, "other": 0.5, "vocals": 0.25}, ["Empty", "Empty", "Other", "Vocals"], 44100),
        ({"vocals": 0.25, "instrumental": 0.75}, ["Empty", "Empty", "Instrumental", "Vocals"], 22050),
    ],
)
def test_a_stem_file_for_dj_programs(
    gains: dict[str, float], names: list[str], rate: int, tmp_path: Path, constant_bundle: Maker
) -> None:
    """Five AAC streams with the mixture first, the names in moov/udta/stem, and the song's tags, read by others."""
    av = pytest.importorskip("av")
    song = tmp_path / "in" / "song.flac"
    song.parent.mkdir()
    time_s = np.arange(rate) / rate
    samples = np.stack([0.9 * np.sin(2 * np.pi * hertz * time_s) for hertz in (220, 330)], axis=1)
    soundfile.write(song, samples[:, : 2 if rate == 44100 else 1], rate)
    tags = mutagen.File(song)
    tags.update(title="A song", replaygain_track_gain="-6 dB")
    tags.save()
    words = ["separate", str(song), "-o", str(tmp_path / "out"), "--model", str(constant_bundle(**gains))]
    assert main([*words, "--format", "stem.mp4", "--bitrate", "192"]) == 0
    path = tmp_path / "out" / "song.stem.mp4"
    assert [found.name for found in path.parent.rglob("[!.]*")] == ["song.stem.mp4"]
    expected = {stem.capitalize(): gain for stem, gain in gains.items()} | {"Empty": 0.0}
    expected["Other"] = expected.get("Other", 0.0) + expected.get("Guitar", 0.0)
    heard = []
    with av.open(str(path)) as container:
        assert [stream.codec_context.name for stream in container.streams] == ["aac"] * 5
        assert [bool(stream.disposition & av.stream.Disposition.default) for stream in container.streams] == [
            *[True],
            *[False] * 4,
        ]
        layouts = {(stream.codec_context.layout.name, stream.codec_context.sample_rate) for stream in container.streams}
        assert layouts == {("stereo", rate)}
    for number, gain in enumerate([1.0, *(expected[name] for name in names)]):
        with av.open(str(path)) as container:
            frames = [frame.to_ndarray() for frame in container.decode(container.streams[number])]
        heard.append(np.concatenate(frames, axis=1)[:, :rate])
        loud = np.stack([samples[:, 0], samples[:, 1 if rate == 44100 else 0]])
        assert heard[-1].shape == loud.shape
        error = heard[-1] - gain * loud
        assert np.sqrt(np.mean(error[:, 4096:-4096] ** 2)) < 0.02
    with path.open("rb") as file:
        atom = mutagen_atoms.Atoms(file)[b"moov.udta.stem"]
        file.seek(atom.offset + 8)
        content = json.loads(file.read(atom.length - 8))
    assert content["version"] == 1
    assert [stem["name"] for stem in content["stems"]] == names
    assert mutagen.File(path)["\xa9nam"] == ["A song"]
    assert not [key for key in mutagen.File(path) if "replaygain" in key.lower()]


def test_a_stem_file_holds_no_chosen_stems(
    tmp_path: Path, song: Path, constant_bundle: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["separate", str(song), "-o", str(tmp_path / "out"), "--model", str(constant_bundle())]
    assert main([*words, "--format", "stem.mp4", "--two-stems", "vocals"]) == 2
    assert "--format stem.mp4 holds four stems and their mixture" in capsys.readouterr().err
