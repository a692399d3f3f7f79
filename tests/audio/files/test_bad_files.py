"""Bad files are one line, and are read as far as they go."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtsep.audio.files.reader import open_audio
from rtsep.errors import RtsepError
from tests.audio.files.material import music, patched_flac, read_all, write


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(RtsepError, match="does not exist"):
        open_audio(tmp_path / "nothing.wav")


def test_folder(tmp_path: Path) -> None:
    with pytest.raises(RtsepError, match="is a folder"):
        open_audio(tmp_path)


def test_device() -> None:
    if not Path("/dev/zero").exists():
        pytest.skip("needs /dev/zero")
    with pytest.raises(RtsepError, match="not a regular file"):
        open_audio("/dev/zero")


@pytest.mark.parametrize("suffix", ["wav", "mp3", "flac", "m4a", "", "txt"])
def test_empty(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"")
    with pytest.raises(RtsepError, match="is empty"):
        open_audio(path)


@pytest.mark.parametrize(
    "content", [b"Dear diary,\n" * 99, b"x", bytes(1000), b"RIFF\0\0\0\0WAVE", b"ID3" + bytes(9999)]
)
@pytest.mark.parametrize("suffix", ["wav", "mp3", "flac", "ogg", "m4a", "txt"])
def test_something_else_under_an_audio_name(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(content)
    with pytest.raises(RtsepError, match="cannot be read") as caught:
        open_audio(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("bad", "at"), [(np.nan, 30001), (np.inf, 0), (-np.inf, 44099)])
def test_samples_that_are_no_numbers(tmp_path: Path, bad: float, at: int) -> None:
    samples = music(1, 44100)
    samples[at, 1] = bad
    wrong = f"sample at {at / 44100:.3f} s is not a number"
    with open_audio(write(tmp_path / "a.wav", samples, 44100, subtype="FLOAT")) as reader:
        assert reader.truncated is None
        good = reader.read(44100) if at else np.zeros((2, 0), np.float32)
        assert np.array_equal(good, samples[:at].T)
        for _ in range(2):
            with pytest.raises(RtsepError, match=wrong):
                reader.read(100)
        assert wrong in str(reader.truncated)
        reader.seek(at + 1)
        assert np.array_equal(read_all(reader), samples[at + 1 :].T)
        assert reader.truncated is None


@pytest.mark.parametrize("keep", [0.3, 0.71])
def test_a_truncated_flac_plays_to_its_last_sample_and_says_so(
    formats: dict[str, Path], tmp_path: Path, keep: float
) -> None:
    raw = formats["flac"].read_bytes()
    whole, _ = soundfile.read(formats["flac"], dtype="float32")
    path = tmp_path / "a.flac"
    path.write_bytes(raw[: int(len(raw) * keep)])
    with open_audio(path) as reader:
        assert reader.truncated is None, "nothing is known before it has been met"
        heard = read_all(reader)
        n = heard.shape[1]
        assert n == reader.frames
        assert n > (keep - 0.02) * len(whole)
        assert np.array_equal(heard, whole[:n].T)
        assert f"states 20.30 s, but it ends after {n / 44100:.2f} s" in str(reader.truncated)
        for place in (1000, n - 3000, 5):
            reader.seek(place)
            assert np.array_equal(reader.read(2000), heard[:, place : place + 2000])


def test_a_flac_that_promises_more_than_it_has(formats: dict[str, Path], tmp_path: Path) -> None:
    with open_audio(patched_flac(formats["flac"], tmp_path, lambda total: 3 * total)) as reader:
        assert read_all(reader).shape[1] == int(20.3 * 44100)
        assert reader.truncated is not None


def test_a_flac_that_promises_less_than_it_has_is_read_to_its_end(formats: dict[str, Path], tmp_path: Path) -> None:
    whole, _ = soundfile.read(formats["flac"], dtype="float32")
    with open_audio(patched_flac(formats["flac"], tmp_path, lambda total: total // 2)) as reader:
        assert np.array_equal(read_all(reader), whole.T)
        assert reader.truncated is None


def test_an_mp3_that_promises_less_than_it_has_is_read_to_its_end(formats: dict[str, Path], tmp_path: Path) -> None:
    whole, _ = soundfile.read(formats["mp3"], dtype="float32")
    raw = bytearray(formats["mp3"].read_bytes())
    at = max(raw.find(b"Xing"), raw.find(b"Info")) + 8
    struct.pack_into(">I", raw, at, struct.unpack_from(">I", raw, at)[0] // 3)
    path = tmp_path / "a.mp3"
    path.write_bytes(raw)
    with open_audio(path) as reader:
        assert np.allclose(read_all(reader)[:, : len(whole)], whole.T, atol=1e-5)
        assert reader.truncated is None


def _with_data_size(path: Path, size: int) -> Path:
    write(path, music(1, 44100), 44100)
    raw = bytearray(path.read_bytes())
    struct.pack_into("<I", raw, raw.index(b"data") + 4, size)
    path.write_bytes(raw)
    return path


def test_a_wav_that_promises_more_than_it_has(tmp_path: Path) -> None:
    with open_audio(_with_data_size(tmp_path / "a.wav", 2 * 176400)) as reader:
        wanted = "its header states 2.00 s, but it ends after 1.00 s"
        assert wanted in str(reader.truncated), "known at once, before anything is computed"


def test_a_wav_cut_in_half(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", music(1, 44100), 44100)
    path.write_bytes(path.read_bytes()[:90_001])
    with open_audio(path) as reader:
        assert reader.truncated is not None
        assert read_all(reader).shape[1] == 22489, "what is there can be played"


@pytest.mark.parametrize(
    ("offset", "value", "says"), [(24, 7, "7 Hz"), (24, 2**31 - 1, "Hz"), (22, 300, "300 channels")]
)
def test_impossible_rates_and_channels(tmp_path: Path, offset: int, value: int, says: str) -> None:
    path = write(tmp_path / "a.wav", music(1, 44100), 44100, subtype="PCM_16")
    raw = bytearray(path.read_bytes())
    struct.pack_into("<H" if offset == 22 else "<I", raw, offset, value)
    if offset == 22:
        struct.pack_into("<H", raw, 32, 2 * value)
    path.write_bytes(raw)
    with pytest.raises(RtsepError, match=says):
        open_audio(path)


def test_negative_places_and_sizes_are_programmer_errors(formats: dict[str, Path]) -> None:
    with open_audio(formats["wav"]) as reader:
        with pytest.raises(ValueError, match="negative"):
            reader.seek(-1)
        with pytest.raises(ValueError, match="negative"):
            reader.read(-1)
