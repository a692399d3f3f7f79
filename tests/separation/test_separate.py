"""The Python interface: songs from files and arrays into stems in memory, whatever the rate and the network."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import rtsep
from rtsep.nn.windowed import Windowed
from rtsep.separation.segment_separator import SegmentSeparator
from rtsep.separation.song_files import split_file
from rtsep.separation.song_separator import WholeSongSeparator
from tests.networks import LevelShares, Ramps


def noise(samples: int, channels: int = 2) -> np.ndarray:
    return 0.1 * np.random.default_rng(samples).standard_normal((channels, samples)).astype(np.float32)


@pytest.fixture
def model(constant_bundle: Callable[..., Path]) -> Path:
    return constant_bundle(vocals=0.25, other=0.75)


@pytest.mark.parametrize(("rate", "channels"), [(44100, 2), (48000, 1), (32000, 2)])
def test_a_file_gives_the_stems_that_the_command_writes(rate: int, channels: int, model: Path, tmp_path: Path) -> None:
    song = tmp_path / "song.wav"
    soundfile.write(song, noise(20_001, channels).T, rate, subtype="FLOAT")
    written = split_file(song, tmp_path / "command", rtsep.load(model)).paths
    stems = rtsep.separate(song, model=model)
    assert stems.sample_rate == rate
    assert {stem: samples.shape for stem, samples in stems.items()} == dict.fromkeys(written, (channels, 20_001))
    for stem, path in stems.save(tmp_path / "python").items():
        assert path.read_bytes() == written[stem].read_bytes()


def test_arrays_and_tensors_give_what_a_file_gives(model: Path, tmp_path: Path) -> None:
    song, separator = noise(30_001), rtsep.load(model)
    soundfile.write(tmp_path / "song.wav", song.T, 48000, subtype="FLOAT")
    expected = rtsep.separate(tmp_path / "song.wav", model=separator)["vocals"]
    for audio in (song, song.astype(np.float64), torch.from_numpy(song).requires_grad_(), song.tolist()):
        np.testing.assert_array_equal(rtsep.separate(audio, 48000, separator)["vocals"], expected)
    mono = rtsep.separate(song[0], 48000.0, separator)  # type: ignore[arg-type]
    np.testing.assert_array_equal(mono["vocals"], rtsep.separate(song[:1], 48000, separator)["vocals"])
    np.testing.assert_allclose(mono["vocals"] + mono["other"], song[:1], atol=1e-6)
    assert rtsep.separate(song[:, :0], 48000, separator)["vocals"].shape == (2, 0)


@pytest.mark.parametrize("channels", [1, 2])
def test_an_iterator_of_blocks_gives_what_the_whole_array_gives(channels: int, model: Path) -> None:
    song = noise(100_000, channels)
    expected = rtsep.separate(song, 32000, model)
    for separator in (rtsep.load(model), rtsep.load(model, wiener=True)):  # which reads a song twice
        whole = rtsep.separate(song, 32000, separator)
        pieces = np.split(song, [0, 1, 40_001, 40_001, 99_999], axis=1)
        blocks = rtsep.separate(iter([pieces[0], torch.from_numpy(pieces[1]), *pieces[2:]]), 32000, separator)
        assert {stem: samples.shape for stem, samples in blocks.items()} == dict.fromkeys(expected, song.shape)
        np.testing.assert_allclose(blocks["vocals"], whole["vocals"], atol=1e-6)

    read: list[int] = []

    def endless() -> Iterator[np.ndarray]:
        for number in range(10_000):
            read.append(number)
            yield song[0]

    with pytest.raises(rtsep.Cancelled):
        rtsep.separate(endless(), 32000, model, cancel=lambda: len(read) > 3)
    assert len(read) == 4
    for blocks, complaint in (
        ([], "at least one block"),
        ([song, noise(9, 3 - channels)], f"block 1 has {3 - channels} channels: expected {channels}"),
        ([song, song[:, :3] * np.nan], r"block 1\[0, 0\] is nan"),
        ([song.T], r"transpose it: block 0\.T"),
    ):
        with pytest.raises(ValueError, match=complaint):
            rtsep.separate(iter(blocks), 32000, model)


@pytest.mark.parametrize(
    ("audio", "rate", "complaint"),
    [
        (np.zeros((9, 2), np.float32), 44100, r"\(9, 2\).*transpose it: audio.T"),
        (np.zeros((3, 9), np.float32), 44100, r"\(3, 9\): expected \(n,\), \(1, n\) or \(2, n\)$"),
        (np.zeros((2, 9), np.int16), 44100, "int16"),
        (np.array([0, 0, np.nan]), 44100, r"audio\[2\] is nan"),
        (np.array([[0, 0], [0, 1e20]]), 44100, r"audio\[1, 1\] is 1e\+20"),
        (np.zeros(9), None, "sample_rate=None"),
        (np.zeros(9), 44100.5, "sample_rate=44100.5"),
        ("song.wav", 44100, "sample_rate=44100"),
    ],
)
def test_impossible_arguments_are_named(audio: object, rate: int, complaint: str, model: Path) -> None:
    with pytest.raises(ValueError, match=complaint):
        rtsep.separate(audio, rate, model)  # type: ignore[arg-type]


def test_a_file_that_is_cut_is_refused_unless_it_is_allowed(model: Path, tmp_path: Path) -> None:
    song = tmp_path / "song.wav"
    soundfile.write(song, noise(20_000).T, 44100, subtype="FLOAT")
    song.write_bytes(song.read_bytes()[:-80_000])
    with pytest.raises(rtsep.RtsepError, match="song.wav.*allow_damaged=True"):
        rtsep.separate(song, model=model)
    with pytest.warns(UserWarning, match="song.wav"):
        assert rtsep.separate(song, model=model, allow_damaged=True)["vocals"].shape == (2, 10_000)


def test_progress_is_reported_and_what_it_raises_ends_the_separation(model: Path) -> None:
    song, separator, reported = noise(100_000), rtsep.load(model), []
    expected = rtsep.separate(song, 22050, separator, progress=lambda *at: reported.append(at))["vocals"]
    assert reported == [(32768, 100_000), (65536, 100_000), (98304, 100_000), (100_000, 100_000)]

    class Cancelled(Exception):
        pass

    def cancel(done: int, total: int | None) -> None:
        if done > 40_000:
            raise Cancelled

    with pytest.raises(Cancelled):
        rtsep.separate(song, 22050, separator, progress=cancel)
    np.testing.assert_array_equal(rtsep.separate(song, 22050, separator)["vocals"], expected)


def test_songs_are_separated_one_by_one_with_a_model_that_is_loaded_once(model: Path) -> None:
    every = rtsep.separate_all((noise(samples) for samples in (5000, 6000)), 44100, model)
    shutil.rmtree(model)
    assert [stems["vocals"].shape for stems in every] == [(2, 5000), (2, 6000)]
    with pytest.raises(rtsep.UsageError, match="loaded already"):
        rtsep.separate(noise(9), 44100, SegmentSeparator(Ramps(), torch.device("cpu"), 0.5), device="cpu")


def test_stems_mix_by_decibels() -> None:
    stems = rtsep.Stems({"a": noise(100), "b": noise(101)[:, :100]}, 44100)
    np.testing.assert_allclose(stems.mix(), stems["a"] + stems["b"], atol=1e-7)
    np.testing.assert_allclose(stems.mix({"a": -20, "b": -np.inf}), 0.1 * stems["a"], atol=1e-7)
    for gains in ({"c": 0.0}, {"a": np.nan}, {"a": np.inf}):
        with pytest.raises(rtsep.ArgumentError, match="gains="):
            stems.mix(gains)


def test_stems_are_saved_all_or_none(tmp_path: Path) -> None:
    stems = rtsep.Stems({"a": noise(100), "b": 20 * noise(101)}, 48000)
    (tmp_path / "none" / "b.wav" / "in the way").mkdir(parents=True)
    with pytest.raises(rtsep.RtsepError, match="b.wav"):
        stems.save(tmp_path / "none")
    assert [path.name for path in (tmp_path / "none").iterdir()] == ["b.wav"]
    with pytest.warns(UserWarning, match="b: .* exceed full scale"):
        paths = stems.save(tmp_path / "all", "flac")
    samples, rate = soundfile.read(paths["a"], dtype="float32")
    assert rate == 48000
    np.testing.assert_allclose(samples.T, stems["a"], atol=2**-23)
    with pytest.raises(rtsep.ArgumentError, match="format='mp3': expected wav or flac"):
        stems.save(tmp_path, "mp3")


def separators(default_bundle: Path) -> dict[str, rtsep.Separator]:
    cpu = torch.device("cpu")
    windowed = Windowed(LevelShares(), frames=16, stride=8).eval()
    return {
        "stream": rtsep.load(default_bundle, chunk=4, device="cpu"),
        "segments": SegmentSeparator(Ramps(segment=4000).eval(), cpu, 0.25),
        "song": WholeSongSeparator(windowed, cpu, 4096),
    }


def test_every_kind_of_separator_keeps_the_protocol(default_bundle: Path) -> None:
    song, other = noise(20_000), noise(21_000)

    def joined(pieces: list[dict[str, np.ndarray]]) -> np.ndarray:
        return np.concatenate([np.stack(list(piece.values())) for piece in pieces], axis=2)

    for name, separator in separators(default_bundle).items():
        assert isinstance(separator, rtsep.Separator), name
        expected = joined([separator.feed(song), separator.flush()])
        assert expected.shape == (2, 2, 20_000), name
        second = separator.new_stream()
        first = [separator.feed(song[:, :7000])]
        second.feed(other)  # in between, and left there: each has a stream of its own
        np.testing.assert_array_equal(joined([*first, separator.feed(song[:, 7000:]), separator.flush()]), expected)
        with pytest.raises(ValueError, match="shape"), second:
            second.feed(other[:1])
        np.testing.assert_array_equal(joined([second.feed(song), second.flush()]), expected)
        for wrong, place in ((np.nan, "nan"), (-1e20, r"-1e\+20")):
            block = song.copy()
            block[1, 17] = wrong
            with pytest.raises(ValueError, match=rf"block\[1, 17\] is {place}"):
                separator.feed(block)
        np.testing.assert_array_equal(joined([separator.feed(song), separator.flush()]), expected)


def test_streams_share_the_weights(default_bundle: Path) -> None:
    from rtsep.bundle import Bundle
    from rtsep.separation.backends.choose import load_stepper

    stepper = load_stepper(Bundle(default_bundle), "cpu", 4)
    first, second = vars(stepper), vars(stepper.new_stream())
    assert all(np.shares_memory(a, b) for a, b in zip(first["_to_line"], second["_to_line"], strict=True))
    assert not np.shares_memory(first["_energies"], second["_energies"])


def test_models_are_listed(constant_bundle: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = constant_bundle(vocals=1.0, other=0.0)
    (folder.parent / "broken").mkdir()
    (folder.parent / "broken" / "recipe.toml").write_text("name = 3")
    monkeypatch.setenv("RTSEP_MODEL_DIR", str(folder.parent))
    models = {model.name: model for model in rtsep.list_models()}
    assert models[folder.name].stems == ("vocals", "other")
    assert not models[folder.name].has_weights
    assert "broken" not in models
    assert rtsep.load(folder.name).stems == ("vocals", "other")


@pytest.mark.parametrize("arguments", [{"chunk": 40}, {"chunk": 2.5}, {"latency": "no"}, {"device": "gpu"}])
def test_errors_of_load_name_the_argument(arguments: dict[str, object], model: Path) -> None:
    ((name, value),) = arguments.items()
    with pytest.raises(ValueError, match=f"^{name}={value!r}: expected "):
        rtsep.load(model, **arguments)  # type: ignore[arg-type]
