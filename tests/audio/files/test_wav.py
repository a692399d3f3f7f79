"""A WAV file appears whole or not at all."""

import os
import resource
import stat
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtsep.audio.files import wav
from rtsep.audio.files.wav import AtomicWav
from rtsep.errors import RtsepError


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("frames", [0, 1, 1023, 44101])
def test_what_was_written_is_read_back_bit_for_bit(tmp_path: Path, channels: int, frames: int) -> None:
    samples = np.random.default_rng(0).standard_normal((channels, frames)).astype(np.float32) * 3
    path = tmp_path / "new" / "folder" / "a b.wav"
    with AtomicWav(path, 22050, channels) as file:
        for at in range(0, frames, 700):
            file.write(samples[:, at : at + 700])
        assert not path.exists()
        file.commit()
    info = soundfile.info(path)
    assert (info.format, info.subtype, info.samplerate, info.channels) == ("WAV", "FLOAT", 22050, channels)
    back, _ = soundfile.read(path, dtype="float32", always_2d=True)
    assert np.array_equal(back.T, samples)
    assert [entry.name for entry in path.parent.iterdir()] == ["a b.wav"]


def test_an_older_file_is_kept_until_commit(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_text("older")
    with AtomicWav(path, 44100, 2) as file:
        file.write(np.zeros((2, 10), np.float32))
        assert path.read_text() == "older"
    assert path.read_text() == "older"
    assert list(tmp_path.iterdir()) == [path], "leaving without commit removes the temporary file"
    with AtomicWav(path, 44100, 2) as file:
        file.commit()
    assert soundfile.info(path).frames == 0


def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        with AtomicWav(tmp_path / "a.wav", 44100, 2) as file:
            file.commit()
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "a.wav").stat().st_mode) == 0o640


def test_beyond_four_gigabytes_it_becomes_rf64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.random.default_rng(0).standard_normal((2, 5000)).astype(np.float32)
    for limit, form in ((wav._LARGEST_RIFF, b"RIFF"), (40086, b"RIFF"), (40085, b"RF64")):
        monkeypatch.setattr(wav, "_LARGEST_RIFF", limit)
        path = tmp_path / f"{limit}.wav"
        with AtomicWav(path, 44100, 2) as file:
            file.write(samples)
            file.commit()
        assert path.read_bytes()[:4] == form
        back, _ = soundfile.read(path, dtype="float32")
        assert np.array_equal(back.T, samples)


def test_a_real_five_gigabyte_header_holds_its_size() -> None:
    size = 5 * 2**30
    header = wav._header(44100, 2, 32, size)
    assert header[:4] == b"RF64"
    assert struct.unpack_from("<QQQ", header, 20) == (len(header) - 8 + size, size, size // 8)
    assert header[-4:] == b"\xff\xff\xff\xff"


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    path = tmp_path / "out" / "a.wav"
    program = (
        "import resource, signal, sys, numpy as np\n"
        "from rtsep.audio.files.wav import AtomicWav\n"
        "from rtsep.errors import RtsepError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n"
        f"    with AtomicWav({str(path)!r}, 44100, 2) as file:\n"
        "        for _ in range(100): file.write(np.ones((2, 1000), np.float32))\n"
        "        file.commit()\n"
        "except RtsepError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert "no space left" in done.stdout, done.stderr
    assert str(path) in done.stdout
    assert list(path.parent.iterdir()) == []
    assert resource.getrlimit(resource.RLIMIT_FSIZE) == limits


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_is_full_only_at_the_last_flush(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = AtomicWav(tmp_path / "a.wav", 44100, 2).open()
    file.write(np.zeros((2, 10), np.float32))
    assert file._file is not None
    file._file.close()
    with Path("/dev/full").open("r+b") as full:
        file._file = full
        with pytest.raises(RtsepError, match="no space left"):
            file.commit()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RtsepError, match=r"cannot write .*a\.wav"):
        AtomicWav(tmp_path / "file" / "a.wav", 44100, 2).open()


def test_wrong_shapes_and_late_writes_are_programmer_errors(tmp_path: Path) -> None:
    with AtomicWav(tmp_path / "a.wav", 44100, 2) as file:
        with pytest.raises(ValueError, match="expected"):
            file.write(np.zeros((1, 5), np.float32))
        file.commit()
        with pytest.raises(ValueError, match="closed"):
            file.write(np.zeros((2, 5), np.float32))
