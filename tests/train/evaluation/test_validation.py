"""Scores while a run goes on: the same as `rtsep eval` over the same seconds."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from rtsep.nn.constant import ConstantMask
from rtsep.nn.windowed import Windowed
from rtsep.recipe import Stft
from rtsep.train.data.songs import Song
from rtsep.train.data.store import INT16_PER_UNIT
from rtsep.train.evaluation.evaluate import evaluate_song, masking_system
from rtsep.train.evaluation.validation import Validation, loudest
from rtsep.train.run.distributed import DistributedGroup
from rtsep.train_settings import DataSource
from tests.networks import LevelShares

STFT = Stft()
NETWORK = ConstantMask(("vocals", "instrumental"), [0.3, 0.7])


def song(name: str, seed: int, samples: int, voice: float = 0.05) -> Song:
    stems = np.random.default_rng(seed).standard_normal((2, 2, samples)) * np.array([voice, 0.1])[:, None, None]
    audio = np.rint(stems * INT16_PER_UNIT).astype(np.int16)
    return Song(name, audio, DataSource(folder="here", layout="stems"))


def validation(songs: list[Song], seconds: float, folder: Path) -> Validation:
    return Validation(songs, STFT, seconds, folder, DistributedGroup(torch.device("cpu")))


def test_scores_are_means_of_whole_evaluations(tmp_path: Path) -> None:
    songs = [song("a", 1, 50001), song("b", 2, 60000, 0.02), song("c", 3, 40000, 0.0)]
    scores = validation(songs, 10, tmp_path).run(NETWORK, 7)
    rows = {
        (row.song, row.stem, row.system): row
        for one in songs
        for row in evaluate_song(one, NETWORK.stems, STFT, [masking_system(NETWORK, STFT, 1)])
    }
    over_gain_db = {
        (song, stem): row.sdr_db - gained
        for (song, stem, system), row in rows.items()
        if system == "K=1"
        and row.sdr_db is not None
        and (gained := rows[song, stem, "constant gain"].sdr_db) is not None
        and np.isfinite(gained)
    }
    assert len(over_gain_db) == 4  # in the third song the voice never sounds
    means = {
        f"over_gain_db/{stem}": np.mean([value for (_, of), value in over_gain_db.items() if of == stem])
        for stem in NETWORK.stems
    }
    assert scores == pytest.approx({"over_gain_db": np.mean(list(means.values())), **means}, abs=1e-4)


def test_where_a_stem_sounds_alone_nothing_is_to_be_separated(tmp_path: Path) -> None:
    alone = song("a", 1, 40000, voice=0.0)
    assert validation([alone], 1.0, tmp_path).run(NETWORK, 0) == {}


def test_a_stem_that_nobody_knows_is_not_scored(tmp_path: Path) -> None:
    whole = song("a", 1, 40000)
    partly = Song("a", whole.audio, whole.source, known=(True, False))
    scores = validation([partly], 1.0, tmp_path).run(NETWORK, 0)
    assert scores.keys() == {"over_gain_db", "over_gain_db/vocals"}


def test_only_the_first_seconds_are_judged(tmp_path: Path) -> None:
    whole = song("a", 1, 90000)
    cut = Song("a", whole.audio[:, :, :44100], whole.source)
    assert validation([whole], 1.0, tmp_path).run(NETWORK, 0) == validation([cut], 1.0, tmp_path).run(NETWORK, 0)


def test_nothing_that_sounds_is_no_score(tmp_path: Path) -> None:
    silent = Song("a", np.zeros((2, 2, 30000), np.int16), DataSource(folder="here", layout="stems"))
    assert validation([silent], 1.0, tmp_path).run(NETWORK, 0) == {}
    assert not validation([], 1.0, tmp_path)


def test_the_clip_is_where_its_stem_is_loudest_and_of_the_step(tmp_path: Path) -> None:
    stems = song("a", 4, 12 * 44100).audio.copy()
    stems[0, :, : 3 * 44100] = stems[0, :, 11 * 44100 :] = 0
    one = Song("a", stems, DataSource(folder="here", layout="stems"))
    for step in (0, 20):
        validation([one], 12, tmp_path).run(NETWORK, step)
    assert {path.name for path in tmp_path.iterdir()} == {
        *("mixture.flac", "vocals.flac", "0000000.flac", "0000000.png", "0000020.flac", "0000020.png")
    }
    mixture, rate = soundfile.read(tmp_path / "mixture.flac", dtype="float32")
    place = slice(3 * 44100, 11 * 44100)
    assert rate == 44100
    np.testing.assert_allclose(mixture.T, one.segment(0, one.samples).sum(axis=0)[:, place], atol=1e-4)
    np.testing.assert_allclose(soundfile.read(tmp_path / "0000020.flac")[0], 0.3 * mixture, atol=1e-4)


def test_a_stop_ends_the_validation_of_windows_before_the_next_one(tmp_path: Path) -> None:
    """A network that computes a window for every frame: two of hundreds are computed, and nothing is scored or kept."""
    network = Windowed(LevelShares(), frames=16, stride=1).eval()
    windows: list[int] = []
    network.network.register_forward_hook(lambda *computed: windows.append(len(windows)))
    long = validation([song("a", 1, 300 * 1024), song("b", 2, 300 * 1024)], 30, tmp_path)
    assert long.run(network, 0, lambda: len(windows) >= 2) is None
    assert len(windows) == 2 and not list(tmp_path.iterdir())
    network.forward(torch.ones(1, 2, 1024, 3))  # it can be used as before
    assert len(windows) == 5


@pytest.mark.parametrize(("samples", "length", "expected"), [(90, 20, 40), (90, 100, 0), (5, 5, 0), (57, 20, 30)])
def test_the_loudest_place_begins_at_the_pace(samples: int, length: int, expected: int) -> None:
    x = np.zeros((2, samples), np.float32)
    x[:, 43:61] = 1
    assert loudest(x, length, 10) == slice(expected, expected + length)
