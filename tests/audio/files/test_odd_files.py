"""Files that are odd but good: every rate and depth, surround, no samples at all, no length or a wrong one."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtsep.audio.files.reader import open_audio
from tests.audio.files.material import FORMATS, music, patched_flac, read_all, write


@pytest.mark.parametrize(
    ("rate", "channels", "subtype"), [(8000, 1, "PCM_U8"), (96000, 2, "PCM_24"), (192000, 1, "DOUBLE")]
)
def test_rates_and_depths(tmp_path: Path, rate: int, channels: int, subtype: str) -> None:
    samples = music(0.5, rate, channels)
    with open_audio(write(tmp_path / "a.wav", samples, rate, subtype=subtype)) as reader:
        assert (reader.sample_rate, reader.channels) == (rate, channels)
        assert np.allclose(read_all(reader), samples.T, atol=0.01 if subtype == "PCM_U8" else 1e-6)


@pytest.mark.parametrize("form", ["wav", "flac", "ogg", "opus"])
def test_surround_is_folded_down_and_said(tmp_path: Path, form: str) -> None:
    # Which channel is which tells its loudness: left, right, centre, effects, left and right surround.
    order = ["L", "C", "R", "l", "r", "E"] if form in ("ogg", "opus") else ["L", "R", "C", "E", "l", "r"]
    tones = {"L": 500, "R": 700, "C": 1100, "E": 60, "l": 1700, "r": 2300}
    time = np.arange(48000) / 48000
    samples = np.stack([0.2 * np.sin(2 * np.pi * tones[name] * time) for name in order], axis=1)
    with open_audio(write(tmp_path / f"a.{form}", samples, 48000, **FORMATS[form])) as reader:
        folded = read_all(reader)
        assert reader.notes == [f"{reader.path}: 5.1 is folded down to stereo"]
    half = np.sqrt(0.5)
    wanted = {"L": (1, 0), "R": (0, 1), "C": (half, half), "E": (0, 0), "l": (half, 0), "r": (0, half)}
    for name, hertz in tones.items():
        if form == "ogg" and name == "E":
            continue  # Vorbis codes that channel as it likes; it is left out all the same
        probe = 2 / 48000 * np.abs(folded[:, :48000] @ np.exp(-2j * np.pi * hertz * time)) / 0.2
        assert np.allclose(probe, wanted[name], atol=0.03), (name, probe)


def test_eight_channels(tmp_path: Path) -> None:
    with open_audio(write(tmp_path / "a.wav", music(0.1, 44100, 8), 44100)) as reader:
        assert read_all(reader).shape == (2, 4410)
        assert "7.1" in reader.notes[0]


@pytest.mark.parametrize("form", ["wav", "ogg", "aiff", "caf"])
def test_no_samples_at_all(tmp_path: Path, form: str) -> None:
    with open_audio(write(tmp_path / f"a.{form}", np.zeros((0, 2)), 44100, **FORMATS[form])) as reader:
        assert reader.frames == 0
        assert reader.read(100).shape == (2, 0)
        reader.seek(0)
        assert reader.read(100).shape == (2, 0)
        assert reader.truncated is None


def test_a_wav_from_a_pipe_has_no_length_to_lie_about(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", music(1, 44100), 44100)
    raw = bytearray(path.read_bytes())
    struct.pack_into("<I", raw, raw.index(b"data") + 4, 0xFFFFFFFF)
    path.write_bytes(raw)
    with open_audio(path) as reader:
        assert read_all(reader).shape == (2, 44100)
        assert reader.truncated is None


def test_a_flac_without_a_length_is_read_to_its_end(formats: dict[str, Path], tmp_path: Path) -> None:
    path = patched_flac(formats["flac"], tmp_path, lambda total: 0)
    with open_audio(path) as reader:
        assert reader.frames is None
        heard = read_all(reader)
        assert reader.frames == heard.shape[1] == int(20.3 * 44100)
        assert reader.truncated is None


def test_an_mp3_whose_count_is_too_high_ends_where_the_sound_ends(formats: dict[str, Path], tmp_path: Path) -> None:
    raw = formats["mp3"].read_bytes()
    path = tmp_path / "a.mp3"
    path.write_bytes(raw[: len(raw) // 2])
    with open_audio(path) as reader:
        heard = read_all(reader)
        assert 0.4 * 20.3 * 44100 < heard.shape[1] == reader.frames < 0.6 * 20.3 * 44100
        assert f"states 20.32 s, but it ends after {heard.shape[1] / 44100:.2f} s" in str(reader.truncated)
        reader.seek(heard.shape[1] - 100)
        assert reader.read(3000).shape == (2, 100)


def test_three_hours_do_not_grow_memory(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    frames = 3 * 3600 * 44100
    soundfile.write(path, np.zeros((0, 2)), 44100, subtype="PCM_16")
    raw = bytearray(path.read_bytes())
    struct.pack_into("<I", raw, raw.index(b"data") + 4, frames * 4)
    struct.pack_into("<I", raw, 4, frames * 4 + len(raw) - 8)
    with path.open("r+b") as file:  # a sparse file: 1.9 GB that occupy nothing
        file.write(raw)
        file.truncate(len(raw) + frames * 4)
    tracemalloc.start()
    try:
        with open_audio(path) as reader:
            assert reader.frames == frames
            for place in (0, frames // 2, frames - 200_000):
                reader.seek(place)
                for _ in range(3):
                    assert reader.read(65536).shape == (2, 65536)
            assert read_all(reader).shape[1] == 200_000 - 3 * 65536
        assert tracemalloc.get_traced_memory()[1] < 8e6
    finally:
        tracemalloc.stop()
