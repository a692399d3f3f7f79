"""Any file is a stream of stereo blocks; any place in it is reached exactly; bad files are one line."""

import struct
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtsep.audio.files import AudioReader, open_audio
from rtsep.errors import RtsepError

FORMATS = {
    "wav": {"subtype": "PCM_24"},
    "flac": {"subtype": "PCM_16"},
    "ogg": {"format": "OGG", "subtype": "VORBIS"},
    "opus": {"format": "OGG", "subtype": "OPUS"},
    "mp3": {"format": "MP3"},
    "aiff": {"subtype": "PCM_16"},
    "caf": {"subtype": "FLOAT"},
}


def music(seconds: float, rate: int, channels: int = 2) -> np.ndarray:
    """(n, channels): tones, noise and clicks, so that lossy coders change their block size."""
    rng = np.random.default_rng(0)
    n = int(seconds * rate)
    out = 0.1 * np.sin(2 * np.pi * 220 * np.arange(n) / rate)[:, None] + 0.03 * rng.standard_normal((n, channels))
    out[rng.integers(0, n, n // 5000)] = 0.8
    return out.astype(np.float32)


def write(path: Path, samples: np.ndarray, rate: int, **how: str) -> Path:
    # In pieces: libsndfile's Vorbis encoder overflows its stack on a minute at once.
    with soundfile.SoundFile(path, "w", rate, samples.shape[1], **how) as file:
        for at in range(0, len(samples), rate):
            file.write(samples[at : at + rate])
    return path


def write_aac(path: Path, samples: np.ndarray, rate: int, layout: str = "stereo") -> Path:
    av = pytest.importorskip("av", reason="PyAV (extra aac) is not installed")
    with av.open(str(path), "w") as container:
        # Without noise substitution, whose noise depends on where a decoder began.
        stream = container.add_stream("aac", rate=rate, layout=layout, options={"aac_pns": "0"})
        stream.bit_rate = 128000
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), format="fltp", layout=layout)
        frame.sample_rate, frame.pts = rate, 0
        cut = av.AudioResampler(format="fltp", layout=layout, rate=rate, frame_size=1024)
        for piece in cut.resample(frame) + cut.resample(None):
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return path


def read_all(reader: AudioReader, block: int = 10_007) -> np.ndarray:
    pieces = [np.zeros((2, 0), np.float32)]
    while (piece := reader.read(block)).shape[1]:
        pieces.append(piece)
    return np.concatenate(pieces, axis=1)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("formats")
    return {
        name: write(
            folder / f"a.{name}",
            music(20.3, 48000 if name == "opus" else 44100),
            48000 if name == "opus" else 44100,
            **how,
        )
        for name, how in FORMATS.items()
    }


@pytest.mark.parametrize("form", FORMATS)
class TestEveryFormat:
    def test_blocks_equal_the_whole(self, shelf: dict[str, Path], form: str) -> None:
        whole, rate = soundfile.read(shelf[form], dtype="float32", always_2d=True)
        for block in (1, 4096, 44100):
            with open_audio(shelf[form]) as reader:
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

    def test_seek_is_sample_exact(self, shelf: dict[str, Path], form: str) -> None:
        with open_audio(shelf[form]) as reader:
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


class TestOddButGood:
    @pytest.mark.parametrize(
        ("rate", "channels", "subtype"), [(8000, 1, "PCM_U8"), (96000, 2, "PCM_24"), (192000, 1, "DOUBLE")]
    )
    def test_rates_and_depths(self, tmp_path: Path, rate: int, channels: int, subtype: str) -> None:
        samples = music(0.5, rate, channels)
        with open_audio(write(tmp_path / "a.wav", samples, rate, subtype=subtype)) as reader:
            assert (reader.sample_rate, reader.channels) == (rate, channels)
            assert np.allclose(read_all(reader), samples.T, atol=0.01 if subtype == "PCM_U8" else 1e-6)

    @pytest.mark.parametrize("form", ["wav", "flac", "ogg", "opus"])
    def test_surround_is_folded_down_and_said(self, tmp_path: Path, form: str) -> None:
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

    def test_eight_channels(self, tmp_path: Path) -> None:
        with open_audio(write(tmp_path / "a.wav", music(0.1, 44100, 8), 44100)) as reader:
            assert read_all(reader).shape == (2, 4410)
            assert "7.1" in reader.notes[0]

    @pytest.mark.parametrize("form", ["wav", "ogg", "aiff", "caf"])
    def test_no_samples_at_all(self, tmp_path: Path, form: str) -> None:
        with open_audio(write(tmp_path / f"a.{form}", np.zeros((0, 2)), 44100, **FORMATS[form])) as reader:
            assert reader.frames == 0
            assert reader.read(100).shape == (2, 0)
            reader.seek(0)
            assert reader.read(100).shape == (2, 0)
            assert reader.truncated is None

    def test_a_wav_from_a_pipe_has_no_length_to_lie_about(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.wav", music(1, 44100), 44100)
        raw = bytearray(path.read_bytes())
        struct.pack_into("<I", raw, raw.index(b"data") + 4, 0xFFFFFFFF)
        path.write_bytes(raw)
        with open_audio(path) as reader:
            assert read_all(reader).shape == (2, 44100)
            assert reader.truncated is None

    def test_a_flac_without_a_length_is_read_to_its_end(self, shelf: dict[str, Path], tmp_path: Path) -> None:
        path = patched_flac(shelf["flac"], tmp_path, lambda total: 0)
        with open_audio(path) as reader:
            assert reader.frames is None
            heard = read_all(reader)
            assert reader.frames == heard.shape[1] == int(20.3 * 44100)
            assert reader.truncated is None

    def test_an_mp3_whose_count_is_too_high_ends_where_the_sound_ends(
        self, shelf: dict[str, Path], tmp_path: Path
    ) -> None:
        raw = shelf["mp3"].read_bytes()
        path = tmp_path / "a.mp3"
        path.write_bytes(raw[: len(raw) // 2])
        with open_audio(path) as reader:
            promised = reader.frames
            heard = read_all(reader)
            assert promised is not None
            assert heard.shape[1] == reader.frames < 0.6 * promised
            assert reader.truncated is None
            assert "promises 20 s" in reader.notes[0]
            reader.seek(heard.shape[1] - 100)
            assert reader.read(3000).shape == (2, 100)

    def test_three_hours_do_not_grow_memory(self, tmp_path: Path) -> None:
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


def patched_flac(path: Path, folder: Path, change: Callable[[int], int]) -> Path:
    """A copy whose STREAMINFO tells another number of samples."""
    raw = bytearray(path.read_bytes())
    word = int.from_bytes(raw[18:26], "big")
    total = word & (2**36 - 1)
    raw[18:26] = (word - total + change(total)).to_bytes(8, "big")
    out = folder / "patched.flac"
    out.write_bytes(raw)
    return out


class TestBadFiles:
    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(RtsepError, match="does not exist"):
            open_audio(tmp_path / "nothing.wav")

    def test_folder(self, tmp_path: Path) -> None:
        with pytest.raises(RtsepError, match="is a folder"):
            open_audio(tmp_path)

    def test_device(self) -> None:
        if not Path("/dev/zero").exists():
            pytest.skip("needs /dev/zero")
        with pytest.raises(RtsepError, match="not a regular file"):
            open_audio("/dev/zero")

    @pytest.mark.parametrize("suffix", ["wav", "mp3", "flac", "m4a", "", "txt"])
    def test_empty(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"a.{suffix}"
        path.write_bytes(b"")
        with pytest.raises(RtsepError, match="is empty"):
            open_audio(path)

    @pytest.mark.parametrize(
        "content", [b"Dear diary,\n" * 99, b"x", bytes(1000), b"RIFF\0\0\0\0WAVE", b"ID3" + bytes(9999)]
    )
    @pytest.mark.parametrize("suffix", ["wav", "mp3", "flac", "ogg", "m4a", "txt"])
    def test_something_else_under_an_audio_name(self, tmp_path: Path, suffix: str, content: bytes) -> None:
        path = tmp_path / f"a.{suffix}"
        path.write_bytes(content)
        with pytest.raises(RtsepError, match=r"can be read") as caught:
            open_audio(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(("bad", "at"), [(np.nan, 30001), (np.inf, 0), (-np.inf, 44099)])
    def test_samples_that_are_no_numbers(self, tmp_path: Path, bad: float, at: int) -> None:
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
        self, shelf: dict[str, Path], tmp_path: Path, keep: float
    ) -> None:
        raw = shelf["flac"].read_bytes()
        whole, _ = soundfile.read(shelf["flac"], dtype="float32")
        path = tmp_path / "a.flac"
        path.write_bytes(raw[: int(len(raw) * keep)])
        with open_audio(path) as reader:
            assert reader.truncated is None, "nothing is known before it has been met"
            heard = read_all(reader)
            n = heard.shape[1]
            assert n == reader.frames
            assert n > (keep - 0.02) * len(whole)
            assert np.array_equal(heard, whole[:n].T)
            assert f"cut off after {n / 44100:.2f} s" in str(reader.truncated)
            for place in (1000, n - 3000, 5):
                reader.seek(place)
                assert np.array_equal(reader.read(2000), heard[:, place : place + 2000])

    def test_a_flac_that_promises_more_than_it_has(self, shelf: dict[str, Path], tmp_path: Path) -> None:
        with open_audio(patched_flac(shelf["flac"], tmp_path, lambda total: 3 * total)) as reader:
            assert read_all(reader).shape[1] == int(20.3 * 44100)
            assert reader.truncated is not None

    def test_a_flac_that_promises_less_than_it_has(self, shelf: dict[str, Path], tmp_path: Path) -> None:
        with open_audio(patched_flac(shelf["flac"], tmp_path, lambda total: total // 2)) as reader:
            read_all(reader)
            assert "of sound follow" in str(reader.truncated)

    def test_an_mp3_that_promises_less_than_it_has(self, shelf: dict[str, Path], tmp_path: Path) -> None:
        raw = bytearray(shelf["mp3"].read_bytes())
        at = max(raw.find(b"Xing"), raw.find(b"Info")) + 8
        struct.pack_into(">I", raw, at, struct.unpack_from(">I", raw, at)[0] // 3)
        path = tmp_path / "a.mp3"
        path.write_bytes(raw)
        with open_audio(path) as reader:
            read_all(reader)
            assert "of sound follow" in str(reader.truncated)

    @pytest.mark.parametrize(("size", "says"), [(0x7FFFFFFF, "promises 2147483647 bytes"), (0, "says 0 samples")])
    def test_a_wav_whose_size_is_a_lie(self, tmp_path: Path, size: int, says: str) -> None:
        path = write(tmp_path / "a.wav", music(1, 44100), 44100)
        raw = bytearray(path.read_bytes())
        struct.pack_into("<I", raw, raw.index(b"data") + 4, size)
        path.write_bytes(raw)
        with open_audio(path) as reader:
            assert says in str(reader.truncated), "known at once, before anything is computed"

    def test_a_wav_cut_in_half(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.wav", music(1, 44100), 44100)
        path.write_bytes(path.read_bytes()[:90_001])
        with open_audio(path) as reader:
            assert reader.truncated is not None
            assert read_all(reader).shape[1] == 22489, "what is there can be played"

    @pytest.mark.parametrize(
        ("offset", "value", "says"), [(24, 7, "7 Hz"), (24, 2**31 - 1, "Hz"), (22, 300, "300 channels")]
    )
    def test_impossible_rates_and_channels(self, tmp_path: Path, offset: int, value: int, says: str) -> None:
        path = write(tmp_path / "a.wav", music(1, 44100), 44100, subtype="PCM_16")
        raw = bytearray(path.read_bytes())
        struct.pack_into("<H" if offset == 22 else "<I", raw, offset, value)
        if offset == 22:
            struct.pack_into("<H", raw, 32, 2 * value)
        path.write_bytes(raw)
        with pytest.raises(RtsepError, match=says):
            open_audio(path)

    def test_negative_places_and_sizes_are_programmer_errors(self, shelf: dict[str, Path]) -> None:
        with open_audio(shelf["wav"]) as reader:
            with pytest.raises(ValueError, match="negative"):
                reader.seek(-1)
            with pytest.raises(ValueError, match="negative"):
                reader.read(-1)
