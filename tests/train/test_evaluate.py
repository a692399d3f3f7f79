"""The yardstick itself: known errors give known figures."""

import math

import numpy as np
import pytest
import torch

from rtsep.nn.constant import ConstantMask
from rtsep.recipe import DataSource, Stft
from rtsep.train.data import HEADROOM, Song
from rtsep.train.evaluate import (
    analyse,
    best_gain,
    evaluate_song,
    ideal_ratio_masks,
    pause_level_db,
    sdr_db,
    synthesise,
)  # fmt: skip

STFT = Stft()


def noise(seed: int, samples: int = 44100) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal((2, samples))).astype(np.float32)


def test_sdr_of_a_known_error() -> None:
    reference = noise(1)
    assert sdr_db(reference, 0.9 * reference) == pytest.approx(20.0, abs=1e-3)
    assert sdr_db(reference, np.zeros_like(reference)) == pytest.approx(0.0)
    assert sdr_db(reference, reference) == math.inf


def test_no_gain_beats_the_best_gain() -> None:
    vocals, rest = noise(1), 2 * noise(2)
    mixture = vocals + rest
    gain = best_gain(mixture, vocals)
    best = sdr_db(vocals, gain * mixture)
    assert best > sdr_db(vocals, 1.1 * gain * mixture)
    assert best > sdr_db(vocals, 0.9 * gain * mixture)


@pytest.mark.parametrize("samples", [1, 1023, 5000, 44100])
def test_masks_of_one_give_the_song_back(samples: int) -> None:
    x = noise(3, samples)
    frames = analyse(x, STFT)
    ones = np.ones((1, 2, STFT.bins + 1, len(frames)), np.float32)
    np.testing.assert_allclose(synthesise(frames, ones, samples, STFT)[0], x, atol=1e-6)


def test_ideal_masks_part_what_does_not_overlap() -> None:
    time_s = np.arange(44100) / 44100
    low, high = (np.tile(np.sin(2 * np.pi * hertz * time_s), (2, 1)).astype(np.float32) for hertz in (300, 15000))
    frames = analyse(low + high, STFT)
    stems = synthesise(frames, ideal_ratio_masks(np.stack([low, high]), STFT), 44100, STFT)
    assert sdr_db(low, stems[0]) > 25
    assert sdr_db(high, stems[1]) > 25


def test_pauses_are_the_seconds_in_which_the_reference_is_silent() -> None:
    mixture, reference = noise(4, 4000), noise(5, 4000)
    reference[:, 1000:2000] = 0
    estimate = mixture.copy()
    estimate[:, 1000:2000] *= 0.1
    assert pause_level_db(mixture, reference, estimate, 1000) == pytest.approx(-20, abs=0.01)
    assert pause_level_db(mixture, noise(6, 4000), estimate, 1000) is None


def test_rows_of_a_network_that_only_turns_the_volume_down() -> None:
    stems = np.stack([noise(1, 50000), 3 * noise(2, 50000)])
    audio = np.rint(stems * HEADROOM * 32767).astype(np.int16)
    song = Song("noise", audio, DataSource(folder="here", layout="stems"))
    network = ConstantMask(("vocals", "instrumental"), [0.1, 0.9])
    with torch.inference_mode():
        vocals, instrumental = evaluate_song(network, song, STFT, [1, 0])
    assert vocals.network_db[1] == pytest.approx(vocals.gain_db, abs=0.01)  # 1 / (1 + 9) is the best there is
    assert vocals.network_db[0] == pytest.approx(vocals.network_db[1])
    assert vocals.ideal_db > vocals.network_db[1] + 0.5
    assert vocals.mixture_db == pytest.approx(-9.54, abs=0.1)
    assert instrumental.mixture_db == pytest.approx(9.54, abs=0.1)
    assert vocals.pause_db == {1: None, 0: None}


def test_silent_stems_are_left_out() -> None:
    stems = np.stack([np.zeros((2, 30000), np.float32), noise(2, 30000)])
    song = Song("quiet", np.rint(stems * HEADROOM * 32767).astype(np.int16), DataSource(folder="x", layout="stems"))
    network = ConstantMask(("vocals", "instrumental"), [0.1, 0.9])
    assert [row.stem for row in evaluate_song(network, song, STFT, [1])] == ["instrumental"]
