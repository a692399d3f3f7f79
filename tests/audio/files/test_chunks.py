"""What the headers of uncompressed files state, and what of it is there."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtsep.audio.files.chunks import SoundChunk, sound_chunk
from rtsep.audio.files.reader import open_audio
from rtsep.errors import RtsepError
from tests.audio.files.material import read_all

FRAMES, BYTES = 1000, 4000
# Where the size of the sound lies behind the chunk's name, how it is packed, and what it counts beside the sound.
SIZES = {
    "wav": (b"data", 4, "<I", 0),
    "rf64": (b"ds64", 16, "<Q", 0),
    "w64": (b"data", 16, "<Q", 24),
    "aiff": (b"SSND", 4, ">I", 8),
    "au": (b".snd", 8, ">I", 0),
    "caf": (b"data", 4, ">q", 4),
}


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, (FRAMES, 2)).astype(np.float32)


def write(folder: Path, form: str, samples: np.ndarray, stated: int | None) -> Path:
    path = folder / f"a.{form}"
    soundfile.write(path, samples, 44100, format=form.upper(), subtype="PCM_16")
    if stated is not None:
        name, offset, layout, extra = SIZES[form]
        raw = bytearray(path.read_bytes())
        struct.pack_into(layout, raw, raw.index(name) + offset, stated + extra)
        path.write_bytes(raw)
    return path


def chunk_of(path: Path) -> SoundChunk | None:
    with path.open("rb") as file:
        return sound_chunk(file)


@pytest.mark.parametrize("form", SIZES)
@pytest.mark.parametrize("stated", [None, 3000, 8000, 0])
def test_stated_and_present_bytes(tmp_path: Path, samples: np.ndarray, form: str, stated: int | None) -> None:
    chunk = chunk_of(write(tmp_path, form, samples, stated))
    assert chunk is not None
    assert chunk.stated == (BYTES if stated is None else stated)
    assert chunk.present == (3000 if stated == 3000 else BYTES)
    assert (chunk.is_cut, chunk.is_unfinished) == (stated == 8000, stated == 0)


@pytest.mark.parametrize(
    ("form", "stated"), [("wav", 0xFFFFFFFF), ("wav", 0x7FFFF000), ("au", 0xFFFFFFFF), ("caf", -5)]
)
def test_a_size_left_open_is_the_rest_of_the_file(tmp_path: Path, samples: np.ndarray, form: str, stated: int) -> None:
    path = write(tmp_path, form, samples, stated)
    chunk = chunk_of(path)
    assert chunk is not None
    assert (chunk.stated, chunk.present) == (None, BYTES)
    with open_audio(path) as reader:
        assert np.allclose(read_all(reader), samples.T, atol=1e-4)
        assert (reader.truncated, reader.notes) == (None, [])


@pytest.mark.parametrize("form", SIZES)
def test_a_recorder_that_never_filled_in_the_size(tmp_path: Path, samples: np.ndarray, form: str) -> None:
    with open_audio(write(tmp_path, form, samples, 0)) as reader:
        assert np.allclose(read_all(reader), samples.T, atol=1e-4)
        assert reader.truncated is None
        assert reader.notes == [f"{reader.path}: its header states no length; read to the end of the file"]
        reader.seek(123)
        assert np.allclose(reader.read(10), samples[123:133].T, atol=1e-4)


@pytest.mark.parametrize("form", SIZES)
def test_a_cut_file_says_so_from_the_start(tmp_path: Path, samples: np.ndarray, form: str) -> None:
    path = write(tmp_path, form, samples, None)
    path.write_bytes(path.read_bytes()[: -2000 - path.stat().st_size % 4])
    with open_audio(path) as reader:
        assert "states 0.02 s, but it ends after 0.01 s" in str(reader.truncated)
        heard = read_all(reader)
        assert heard.shape[1] > 480
        assert np.allclose(heard, samples[: heard.shape[1]].T, atol=1e-4)


def test_empty_sound_with_other_chunks_behind_it(tmp_path: Path) -> None:
    path = write(tmp_path, "wav", np.zeros((0, 2)), None)
    path.write_bytes(path.read_bytes() + b"LIST" + struct.pack("<I", 4) + b"INFO")
    assert chunk_of(path) == SoundChunk(0, 0, {})


def test_headers_of_random_bytes_raise_nothing_else(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    heads = [
        b"RIFF\0\0\0\0WAVE",
        b"FORM\0\0\0\0AIFF",
        b".snd",
        b"caff\0\1\0\0",
        b"riff",
        b"RF64\0\0\0\0WAVE",
        b"OggS",
        b"fLaC",
    ]
    for number in range(64):
        path = tmp_path / "a"
        path.write_bytes(heads[number % len(heads)] + rng.bytes(int(rng.integers(1, 3000))))
        with contextlib.suppress(RtsepError), open_audio(path) as reader:
            reader.read(100)
