"""One rule for every decoder: what can be decoded is decoded, in its place; what is missing is reported."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtsep.audio.files.reader import AudioReader, open_audio
from tests.audio.files.material import (
    music,
    read_all,
    write,
    write_aac,
    write_av,
    write_mp3_without_header,
)

RATE, SECONDS = 44100, 4.0
WRITERS: dict[str, Callable[[Path, np.ndarray], Path]] = {
    "mp3": lambda path, x: write(path, x, RATE, format="MP3"),
    "headerless.mp3": write_mp3_without_header,
    "mp2": lambda path, x: write_av(path, x, "mp2"),
    "aac": lambda path, x: write_aac(path, x, RATE),
    "m4a": lambda path, x: write_av(path, x, "aac", options="aac_pns=0", how="movflags=faststart"),
    "flac": lambda path, x: write(path, x, RATE),
    "ogg": lambda path, x: write(path, x, RATE, format="OGG", subtype="VORBIS"),
    "opus": lambda path, x: write(path, x[:, :], 48000, format="OGG", subtype="OPUS"),
    "flac.ogg": lambda path, x: write_av(path, x, "flac", format="ogg"),
    "webm": lambda path, x: write_av(path, x, "libopus", 48000, how="cluster_time_limit=500"),
    "mka": lambda path, x: write_av(path, x, "flac"),
    "wv": lambda path, x: write_av(path, x, "wavpack"),
    "wma": lambda path, x: write_av(path, x, "wmav2", format="asf"),
    "tta": lambda path, x: write_av(path, x, "tta"),
}
LOSSLESS = {"flac", "flac.ogg", "mka", "wv"}


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    return music(SECONDS, RATE)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, sound: np.ndarray) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("whole")
    return {form: writer(folder / f"a.{form}", sound) for form, writer in WRITERS.items()}


@pytest.fixture(scope="module")
def whole(files: dict[str, Path]) -> dict[str, np.ndarray]:
    decoded = {}
    for form, path in files.items():
        with open_audio(path) as reader:
            decoded[form] = read_all(reader)
            assert (reader.truncated, reader.notes) == (None, []), form
    return decoded


def agrees_after_seeks(reader: AudioReader, heard: np.ndarray, places: list[int], tolerance: float = 5e-3) -> None:
    for place in places:
        reader.seek(place)
        again = reader.read(1500)
        expected = heard[:, place : place + 1500]
        assert again.shape == expected.shape, place
        assert np.allclose(again, expected, atol=tolerance), (place, np.abs(again - expected).max())


@pytest.mark.parametrize("form", WRITERS)
def test_a_cut_download_is_read_as_far_as_it_goes_and_says_so(
    files: dict[str, Path], whole: dict[str, np.ndarray], tmp_path: Path, form: str
) -> None:
    raw = files[form].read_bytes()
    path = tmp_path / files[form].name
    path.write_bytes(raw[: int(len(raw) * 0.7) + 1])
    with open_audio(path) as reader:
        heard = read_all(reader)
        n = heard.shape[1]
        assert reader.truncated is not None
        assert f"after {n / reader.sample_rate:.2f} s" in reader.truncated
        assert reader.frames == n
        assert 0.4 * whole[form].shape[1] < n < 0.85 * whole[form].shape[1]
        same = n - 4096  # a lossy frame may lean on the one that is missing
        assert np.allclose(heard[:, :same], whole[form][:, :same], atol=1e-4)
        agrees_after_seeks(reader, heard, [n - 1, 7, n // 3, n])


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("harm", ["zeros", "noise"])
def test_damage_costs_its_place_and_nothing_else(
    files: dict[str, Path], whole: dict[str, np.ndarray], tmp_path: Path, form: str, harm: str
) -> None:
    raw = bytearray(files[form].read_bytes())
    middle, size = len(raw) // 2, 3000
    raw[middle : middle + size] = bytes(size) if harm == "zeros" else random.Random(1).randbytes(size)
    path = tmp_path / files[form].name
    path.write_bytes(raw)
    with open_audio(path) as reader:
        heard = read_all(reader)
        assert reader.truncated is None
        assert heard.shape == whole[form].shape
        wrong = np.flatnonzero(np.abs(heard - whole[form]).max(axis=0) > 0.02)
        assert wrong.size == 0 or wrong[-1] - wrong[0] < 0.6 * whole[form].shape[1]
        assert np.allclose(heard[:, -20000:], whole[form][:, -20000:], atol=5e-3)
        if form != "tta" or harm == "noise":  # its coding of zeros is valid, if not music
            at_s = wrong[0] / reader.sample_rate
            assert len(reader.notes) == 1
            within_s = 0.5 if form == "flac.ogg" else 0.1
            assert abs(float(reader.notes[0].split(" at ")[1].split(" s")[0]) - at_s) < within_s
        agrees_after_seeks(reader, heard, [5, int(wrong[0]) + 1, int(wrong[-1]) + 3001, heard.shape[1] - 777], 0.03)


@settings(max_examples=40)
@given(form=st.sampled_from(sorted(WRITERS)), place=st.floats(0, 1), count=st.integers(1, 3000))
def test_any_place_of_any_format_is_reached_exactly(
    files: dict[str, Path], whole: dict[str, np.ndarray], form: str, place: float, count: int
) -> None:
    with open_audio(files[form]) as reader:
        at = int(place * whole[form].shape[1])
        reader.seek(at)
        tolerance = {"opus": 5e-3, "webm": 5e-3}.get(form, 1e-6 if form in LOSSLESS else 1e-4)
        assert np.allclose(reader.read(count), whole[form][:, at : at + count], atol=tolerance)


def test_mp3_of_variable_rate_without_a_header_loses_nothing(
    whole: dict[str, np.ndarray], files: dict[str, Path], sound: np.ndarray
) -> None:
    assert whole["headerless.mp3"].shape[1] >= len(sound)
    with open_audio(files["headerless.mp3"]) as reader:
        assert reader.frames == whole["headerless.mp3"].shape[1], "known from the start"
    delay = 1105  # LAME's and the decoder's, which nothing in the file states
    error = whole["headerless.mp3"][:, delay : delay + len(sound)] - sound.T
    assert np.sqrt(np.mean(error**2)) < 0.5 * np.sqrt(np.mean(sound**2))


@pytest.mark.parametrize("form", ["mp3", "headerless.mp3", "aac"])
@pytest.mark.parametrize(
    "before",
    [
        bytes(3000),
        random.Random(2).randbytes(1500),
        b"HTTP/1.0 200 OK\r\nContent-Type: audio/mpeg\r\n\r\n",
        b"ID3\3\0\0\0\0\0\x10" + bytes(16) + bytes(4096),
    ],
    ids=["zeros", "noise", "http", "id3 and zeros"],
)
def test_junk_before_the_first_frame(
    files: dict[str, Path], whole: dict[str, np.ndarray], tmp_path: Path, form: str, before: bytes
) -> None:
    path = tmp_path / files[form].name
    path.write_bytes(before + files[form].read_bytes())
    with open_audio(path) as reader:
        assert np.allclose(read_all(reader), whole[form], atol=1e-4)
        assert (reader.truncated, reader.notes) == (None, [])


@pytest.mark.parametrize("behind", [b"TAG" + bytes(125), b"APETAGEX" + bytes(24) + b"TAG" + bytes(125)])
def test_tags_behind_an_mp3_are_no_damage(
    files: dict[str, Path], whole: dict[str, np.ndarray], tmp_path: Path, behind: bytes
) -> None:
    for form in ("mp3", "headerless.mp3"):
        path = tmp_path / files[form].name
        path.write_bytes(files[form].read_bytes() + behind)
        with open_audio(path) as reader:
            assert read_all(reader).shape == whole[form].shape
            assert (reader.truncated, reader.notes) == (None, [])


class TestChains:
    @pytest.mark.parametrize("form", ["ogg", "opus", "flac.ogg"])
    def test_all_links_are_read(
        self, files: dict[str, Path], whole: dict[str, np.ndarray], tmp_path: Path, form: str
    ) -> None:
        path = tmp_path / files[form].name
        path.write_bytes(files[form].read_bytes() * 2)
        with open_audio(path) as reader:
            expected = np.concatenate([whole[form]] * 2, axis=1)
            assert reader.frames == expected.shape[1]
            heard = read_all(reader)
            assert np.abs(heard - expected).max() < (0.02 if form == "opus" else 1e-5)  # two decoders of Opus
            assert (reader.truncated, reader.notes) == (None, [])
            joint = whole[form].shape[1]
            agrees_after_seeks(reader, heard, [joint - 1, joint, joint + 1, joint - 900, joint + 9001, 3])

    def test_a_mono_link_becomes_stereo(self, tmp_path: Path, sound: np.ndarray) -> None:
        parts = [
            write(tmp_path / f"{n}.ogg", sound[:RATE, : n + 1], RATE, format="OGG", subtype="VORBIS") for n in (0, 1)
        ]
        (tmp_path / "a.ogg").write_bytes(parts[1].read_bytes() + parts[0].read_bytes())
        with open_audio(tmp_path / "a.ogg") as reader:
            assert reader.channels == 2
            heard = read_all(reader)
        assert heard.shape == (2, 2 * RATE)
        assert np.array_equal(heard[0, RATE:], heard[1, RATE:])

    def test_another_rate_is_left_out_and_reported(self, tmp_path: Path, sound: np.ndarray) -> None:
        parts = [write(tmp_path / f"{r}.ogg", sound[:r], r, format="OGG", subtype="VORBIS") for r in (RATE, 48000)]
        (tmp_path / "a.ogg").write_bytes(b"".join(part.read_bytes() for part in parts))
        with open_audio(tmp_path / "a.ogg") as reader:
            assert read_all(reader).shape == (2, RATE)
            assert "changes to 48000 Hz, 2 channels after 1.00 s" in str(reader.truncated)

    def test_a_link_that_is_cut_costs_its_end(self, files: dict[str, Path], tmp_path: Path) -> None:
        raw = files["ogg"].read_bytes()
        (tmp_path / "a.ogg").write_bytes(raw[: len(raw) // 2] + raw)
        with open_audio(tmp_path / "a.ogg") as reader:
            heard = read_all(reader)
            lost_at = reader.frames - SECONDS * RATE  # type: ignore[operator]
            assert heard.shape[1] == reader.frames > 1.3 * SECONDS * RATE
            assert reader.notes == [f"{reader.path}: damaged at {lost_at / RATE:.2f} s"]
            assert reader.truncated is None


class TestWithoutPyAV:
    @pytest.fixture(autouse=True)
    def no_av(self, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "av", None)

    def test_a_chain_ends_after_its_first_link_and_says_what_to_install(
        self, files: dict[str, Path], whole: dict[str, np.ndarray], tmp_path: Path
    ) -> None:
        (tmp_path / "a.ogg").write_bytes(files["ogg"].read_bytes() * 2)
        with open_audio(tmp_path / "a.ogg") as reader:
            assert read_all(reader).shape == whole["ogg"].shape
            assert "1 more stream follows" in str(reader.truncated)
            assert "pip install 'rtsep[aac]'" in str(reader.truncated)

    def test_an_mp3_without_a_header_says_how_much_is_missing(self, files: dict[str, Path]) -> None:
        with open_audio(files["headerless.mp3"]) as reader:
            assert read_all(reader).shape[1] < SECONDS * RATE
            assert "pip install 'rtsep[aac]'" in str(reader.truncated)

    def test_a_damaged_flac_is_read_to_the_damage(self, files: dict[str, Path], tmp_path: Path) -> None:
        raw = bytearray(files["flac"].read_bytes())
        raw[len(raw) // 2 : len(raw) // 2 + 3000] = bytes(3000)
        (tmp_path / "a.flac").write_bytes(raw)
        with open_audio(tmp_path / "a.flac") as reader:
            n = read_all(reader).shape[1]
            assert f"cut off after {n / RATE:.2f} s" in str(reader.truncated)
            assert "pip install 'rtsep[aac]'" in str(reader.truncated)

    def test_what_only_ffmpeg_knows_says_what_to_install(self, files: dict[str, Path]) -> None:
        for form in ("m4a", "webm", "wma", "wv", "aac"):
            with pytest.raises(Exception, match=r"pip install 'rtsep\[aac\]'"):
                open_audio(files[form])


@pytest.mark.parametrize("form", ["flac", "mp3", "ogg", "m4a", "headerless.mp3"])
def test_a_file_that_is_renamed_while_it_is_read_stays_open(
    files: dict[str, Path], whole: dict[str, np.ndarray], tmp_path: Path, form: str
) -> None:
    path = tmp_path / "old"
    path.write_bytes(files[form].read_bytes())
    with open_audio(path) as reader:
        reader.read(1000)
        path.rename(tmp_path / "new")
        reader.seek(0)
        assert np.array_equal(read_all(reader), whole[form])
        assert reader.truncated is None


def test_a_playlist_leads_nowhere(tmp_path: Path, files: dict[str, Path]) -> None:
    (tmp_path / "a.ts").write_bytes(files["aac"].read_bytes())
    (tmp_path / "a.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:8\n#EXTINF:8,\na.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(Exception, match="cannot be read"):
        open_audio(tmp_path / "a.m3u8")
