"""Any file is a stream of stereo blocks; any place in it is reached exactly."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtsep.audio.files.reader import open_audio
from rtsep.errors import RtsepError
from tests.audio.files.material import FORMATS, music, read_all, write, write_aac


@pytest.mark.parametrize("form", FORMATS)
class TestEveryFormat:
    def test_blocks_equal_the_whole(self, formats: dict[str, Path], form: str) -> None:
        whole, rate = soundfile.read(formats[form], dtype="float32", always_2d=True)
        for block in (1, 4096, 44100):
            with open_audio(formats[form]) as reader:
                assert (reader.sample_rate, reader.channels, reader.frames) == (rate, 2, len(whole))
                if block == 1:
                    heard = np.concatenate([reader.read(1) for _ in range(500)], axis=1)
                    assert np.array_equal(heard, whole[:500].T)
                    continue
                heard = read_all(reader, block)
                assert heard.dtype == np.float32
                assert heard.flags.c_contiguous
                assert np.array_equal(heard, whole.T)
                assert reader.read(5).shape == (2, 0)
                assert reader.truncated is None
                assert reader.notes == []

    def test_seek_is_sample_exact(self, formats: dict[str, Path], form: str) -> None:
        with open_audio(formats[form]) as reader:
            whole = read_all(reader)
            length = whole.shape[1]
            places = np.random.default_rng(1).integers(0, length, 60).tolist()
            # Opus forgets its past slowly; a place that is one sample wrong would differ by 0.03 and more.
            tolerance = 5e-3 if form == "opus" else 1e-6
            for place in [0, 1, 4095, 4096, 4097, length - 1, length, *places]:
                reader.seek(place)
                heard = reader.read(3000)
                assert heard.shape[1] == min(3000, length - place), place
                assert np.allclose(heard, whole[:, place : place + 3000], atol=tolerance), place
            reader.seek(length + 12345)
            assert reader.read(10).shape == (2, 0)
            reader.seek(0)
            assert np.array_equal(read_all(reader), whole)


def test_opus_read_in_any_pieces_up_to_its_last_sample(tmp_path: Path) -> None:
    """libsndfile decodes rubbish after a read that stopped inside the last packet."""
    path = write(tmp_path / "a.opus", music(1.0016, 48000), 48000, **FORMATS["opus"])
    whole = soundfile.read(path, dtype="float32")[0].T
    for before_end in (1, 10, 100, 700, 5000, 20000):
        with open_audio(path) as reader:
            heard = np.concatenate(
                [reader.read(whole.shape[1] - before_end), reader.read(37), reader.read(10**6)], axis=1
            )
            assert np.array_equal(heard, whole), before_end


class TestAac:
    @pytest.mark.parametrize("suffix", ["m4a", "aac"])
    def test_blocks_and_seeks_equal_the_whole(self, tmp_path: Path, suffix: str) -> None:
        path = write_aac(tmp_path / f"a.{suffix}", music(9.1, 44100), 44100)
        with open_audio(path) as reader:
            whole = read_all(reader)
            length = whole.shape[1]
            # M4A says its length (in milliseconds); bare AAC is as long as its frames and has no other truth.
            assert abs(length - int(9.1 * 44100)) < (50 if suffix == "m4a" else 4096)
            assert reader.frames == length
            for place in [
                0,
                1,
                1024,
                8192,
                8193,
                16384,
                16385,
                length - 1,
                length,
                *np.random.default_rng(2).integers(0, length, 30),
            ]:
                reader.seek(int(place))
                heard = reader.read(3000)
                assert heard.shape[1] == min(3000, length - place)
                assert np.allclose(heard, whole[:, place : place + 3000], atol=1e-5), place

    def test_it_is_in_time(self, tmp_path: Path) -> None:
        samples = music(3.0, 44100)
        with open_audio(write_aac(tmp_path / "a.m4a", samples, 44100)) as reader:
            heard = read_all(reader)[0]
        n = min(heard.size, len(samples))
        spectrum = np.fft.rfft(heard[:n], 2 * n) * np.conj(np.fft.rfft(samples[:n, 0], 2 * n))
        assert int(np.argmax(np.fft.irfft(spectrum))) == 0

    def test_without_pyav_it_says_what_to_install(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "a.m4a"
        path.write_bytes(struct.pack(">I", 24) + b"ftypM4A " + bytes(100))
        monkeypatch.setitem(sys.modules, "av", None)
        with pytest.raises(RtsepError, match=r"pip install 'rtsep\[aac\]'"):
            open_audio(path)

    def test_a_broken_container_is_one_line(self, tmp_path: Path) -> None:
        pytest.importorskip("av")
        path = tmp_path / "a.m4a"
        path.write_bytes(struct.pack(">I", 24) + b"ftypM4A " + bytes(100))
        with pytest.raises(RtsepError, match="cannot be read"):
            open_audio(path)
