"""The yardstick itself: known errors give known figures."""

import math
from collections.abc import Iterable
from itertools import product

import numpy as np
import pytest
import torch

from rtsep.dsp.song_stft import analyse, synthesise
from rtsep.nn.constant import ConstantMask
from rtsep.recipe import Stft
from rtsep.separation.backends.pytorch import TorchStepper
from rtsep.separation.processor import Processor
from rtsep.separation.stream_separator import StreamSeparator
from rtsep.train.data.songs import Song
from rtsep.train.data.store import INT16_PER_UNIT
from rtsep.train.evaluation.evaluate import (
    best_gain,
    evaluate_song,
    ideal_ratio_masks,
    masking_system,
    pause_level_db,
    sdr_db,
)  # fmt: skip
from rtsep.train.evaluation.scores import Row
from rtsep.train_settings import DataSource
from tests.networks import Delayed

STFT = Stft()
MODES = ["standard", "medium", "low"]


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
@pytest.mark.parametrize("latency", MODES)
def test_masks_of_one_give_the_song_back(samples: int, latency: str) -> None:
    x = noise(3, samples)
    frames = analyse(x)
    ones = np.ones((1, 2, STFT.bins + 1, len(frames)), np.float32)
    np.testing.assert_allclose(synthesise(frames, ones, samples, latency=latency)[0], x, atol=1e-6)


@pytest.mark.parametrize("latency", MODES)
def test_what_is_judged_is_what_is_played(latency: str) -> None:
    """Masks that change with every frame, through the evaluator and through the engine's path."""
    x = noise(5, 40 * 1024) * np.linspace(0.01, 1, 40 * 1024, dtype=np.float32)
    separator = StreamSeparator(
        Processor(TorchStepper(Delayed(["a", "b"], [0.5, 0.5]), torch.device("cpu"), 1), latency), 1
    )
    pieces = [separator.feed(x)["a"], separator.flush()["a"]]
    frames = analyse(x)
    level = np.abs(frames[:, :, : STFT.bins]).mean(axis=(1, 2))
    masks = np.broadcast_to((1 / (1 + level)).astype(np.float32), (1, 2, STFT.bins + 1, len(frames)))
    judged = synthesise(frames, masks, x.shape[1], latency=latency)[0]
    np.testing.assert_allclose(judged, np.concatenate(pieces, axis=1), atol=1e-6)


def test_less_latency_costs_a_little() -> None:
    """Ideal masks of two sounds that come and go: nobody waits for the frames that would have shown it better."""
    rng = np.random.default_rng(6)
    gates = rng.random((2, 1, 30)).repeat(2048, axis=2) > 0.5
    stems = np.stack([noise(7, 61440), noise(8, 61440)]) * gates
    frames, masks = analyse(stems.sum(axis=0)), ideal_ratio_masks(stems, STFT)
    scores = [sdr_db(stems[0], synthesise(frames, masks, 61440, latency=latency)[0]) for latency in MODES]
    assert scores[0] > scores[2] > scores[0] - 3
    assert scores[1] > scores[2]


def test_ideal_masks_part_what_does_not_overlap() -> None:
    time_s = np.arange(44100) / 44100
    low, high = (np.tile(np.sin(2 * np.pi * hertz * time_s), (2, 1)).astype(np.float32) for hertz in (300, 15000))
    frames = analyse(low + high)
    stems = synthesise(frames, ideal_ratio_masks(np.stack([low, high]), STFT), 44100)
    assert sdr_db(low, stems[0]) > 25
    assert sdr_db(high, stems[1]) > 25


def test_pauses_are_the_seconds_in_which_the_reference_is_silent() -> None:
    mixture, reference = noise(4, 4000), noise(5, 4000)
    reference[:, 1000:2000] = 0
    estimate = mixture.copy()
    estimate[:, 1000:2000] *= 0.1
    assert pause_level_db(mixture, reference, estimate, 1000) == pytest.approx(-20, abs=0.01)
    assert pause_level_db(mixture, noise(6, 4000), estimate, 1000) is None


def rows_by_system(rows: Iterable[Row]) -> dict[tuple[str, str, str | None], Row]:
    return {(row.stem, row.system, row.latency): row for row in rows}


def test_rows_of_a_network_that_only_turns_the_volume_down() -> None:
    stems = np.stack([noise(1, 50000), 3 * noise(2, 50000)])
    audio = np.rint(stems * INT16_PER_UNIT).astype(np.int16)
    song = Song("noise", audio, DataSource(folder="here", layout="stems"))
    network = ConstantMask(("vocals", "instrumental"), [0.1, 0.9])
    systems = [masking_system(network, STFT, *setting) for setting in product((1, 0), ("standard", "low"))]
    told = list(evaluate_song(song, network.stems, STFT, systems))
    assert len(told) == 2 * (2 + 3 * 2)
    assert {(row.folder, row.song, row.songs, row.pause_db) for row in told} == {("here", "noise", 1, None)}
    rows = rows_by_system(told)

    def sdr(*key: str | None) -> float | None:
        return rows[key].sdr_db  # type: ignore[index]

    assert sdr("vocals", "mixture", None) == pytest.approx(-9.54, abs=0.1)
    assert sdr("instrumental", "mixture", None) == pytest.approx(9.54, abs=0.1)
    best = sdr("vocals", "constant gain", None)
    assert sdr("vocals", "K=1", "standard") == pytest.approx(best, abs=0.01)  # 1 / (1 + 9) is the best there is
    assert sdr("vocals", "K=all", "standard") == pytest.approx(sdr("vocals", "K=1", "standard"))
    assert sdr("vocals", "K=1", "low") == pytest.approx(best, abs=0.01)  # masks that do not change cost nothing
    ideal = sdr("vocals", "ideal mask", "standard")
    assert ideal is not None and best is not None and ideal > best + 0.5
    assert sdr("vocals", "ideal mask", "low") < ideal  # type: ignore[operator]
    one = rows["vocals", "K=1", "standard"]
    assert one.median_sdr_db == pytest.approx(best, abs=0.2)  # one frame, most of the song
    assert one.median_isr_db is not None and one.median_sir_db is not None and one.median_sar_db is not None
    assert one.median_sir_db < 0 < one.median_isr_db


def test_of_a_silent_stem_only_the_level_is_told_and_the_others_are_judged_without_it() -> None:
    stems = np.stack([np.zeros((2, 90000), np.float32), noise(2, 90000)])
    song = Song("quiet", np.rint(stems * INT16_PER_UNIT).astype(np.int16), DataSource(folder="x", layout="stems"))
    network = ConstantMask(("vocals", "instrumental"), [0.1, 0.9])
    rows = rows_by_system(evaluate_song(song, network.stems, STFT, [masking_system(network, STFT, 1)]))
    vocals, instrumental = rows["vocals", "K=1", "standard"], rows["instrumental", "K=1", "standard"]
    assert vocals.songs == 0
    assert vocals.pause_db == pytest.approx(-20, abs=0.01)
    assert vocals.sdr_db is None and vocals.median_sdr_db is None and vocals.median_sir_db is None
    assert instrumental.songs == 1 and instrumental.pause_db is None
    assert instrumental.sdr_db == pytest.approx(20, abs=0.01) == instrumental.median_sdr_db
    assert rows["vocals", "ideal mask", "standard"].pause_db == -120
