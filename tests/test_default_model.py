"""The shipped model on the shipped song: it separates, at any level, and silences nothing above its own bins."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

import rtsep
from rtsep.train.evaluation.evaluate import best_gain, energy, sdr_db

RATE = 44100
WITHOUT_VOICE = [(0.0, 4.0), (23.5, 26.7)]  # seconds, from SONG.md


def read(path: Path) -> np.ndarray:
    return np.ascontiguousarray(soundfile.read(path, dtype="float32")[0].T)


def separated(mixture: np.ndarray, chunk: int = 32) -> dict[str, np.ndarray]:
    separator = rtsep.load(chunk=chunk, device="cpu")
    first, rest = separator.feed(mixture), separator.flush()
    return {stem: np.concatenate([first[stem], rest[stem]], axis=1) for stem in first}


def high_passed(x: np.ndarray, cut_hz: float = 11_100.0) -> np.ndarray:
    spectrum = np.fft.rfft(x)
    spectrum[:, np.fft.rfftfreq(x.shape[1], 1 / RATE) < cut_hz] = 0
    return np.fft.irfft(spectrum, x.shape[1]).astype(np.float32)


@pytest.fixture(scope="module")
def mixture(song: Path) -> np.ndarray:
    return read(song / "mixture.flac")


@pytest.fixture(scope="module")
def vocals(song: Path) -> np.ndarray:
    return read(song / "vocals.flac")


@pytest.fixture(scope="module")
def stems(mixture: np.ndarray, default_bundle: Path) -> dict[str, np.ndarray]:
    return separated(mixture)


def test_the_stems_sum_to_the_mixture(mixture: np.ndarray, stems: dict[str, np.ndarray]) -> None:
    assert sdr_db(mixture, stems["vocals"] + stems["instrumental"]) > 80


def test_it_separates_better_than_any_volume_knob(
    mixture: np.ndarray, vocals: np.ndarray, stems: dict[str, np.ndarray]
) -> None:
    for reference, estimate in ((vocals, stems["vocals"]), (mixture - vocals, stems["instrumental"])):
        knob = sdr_db(reference, best_gain(mixture, reference) * mixture)
        assert sdr_db(reference, estimate) > knob + 1


def test_where_nobody_sings_the_vocals_are_quiet(mixture: np.ndarray, stems: dict[str, np.ndarray]) -> None:
    for start_s, stop_s in WITHOUT_VOICE:
        part = slice(int(start_s * RATE), int(stop_s * RATE))
        level_db = 10 * np.log10(energy(stems["vocals"][:, part]) / energy(mixture[:, part]))
        assert level_db < -12


@pytest.mark.parametrize("gain", [0.1, 10.0])
def test_a_song_20_db_quieter_or_louder_is_separated_the_same(
    gain: float, mixture: np.ndarray, stems: dict[str, np.ndarray]
) -> None:
    there = separated(np.float32(gain) * mixture)["vocals"] / np.float32(gain)
    assert sdr_db(stems["vocals"], there) > 60


@pytest.mark.parametrize("chunk", [1, 32])
def test_silence_gives_silence_from_the_start_and_after_music(chunk: int, mixture: np.ndarray) -> None:
    silence, music = np.zeros((2, 3 * RATE), np.float32), mixture[:, 20 * RATE : 22 * RATE]
    found = separated(np.concatenate([silence, music, silence], axis=1), chunk)
    ended = silence.shape[1] + music.shape[1] + 4096  # a window is n_fft samples long
    for stem in found.values():
        assert not stem[:, : silence.shape[1] - 4096].any()
        assert not stem[:, ended:].any()
        assert stem[:, silence.shape[1] : ended].any()


def test_nothing_is_silenced_above_11_khz(
    mixture: np.ndarray, vocals: np.ndarray, stems: dict[str, np.ndarray]
) -> None:
    cymbals = high_passed(mixture - vocals)
    assert abs(10 * np.log10(energy(high_passed(stems["instrumental"])) / energy(cymbals))) < 3


def test_larger_chunks_are_not_worse(mixture: np.ndarray, vocals: np.ndarray, stems: dict[str, np.ndarray]) -> None:
    part = slice(0, 15 * RATE)
    live = separated(mixture[:, part], chunk=1)["vocals"]
    large = sdr_db(vocals[:, part], stems["vocals"][:, part])
    assert large > sdr_db(vocals[:, part], live) - 0.1
