"""What the check of a model hears: songs in a loop, and where their singers pause."""

import numpy as np

from benches.model import _clip_with_pause, _music
from rtsep.train.data.songs import Song
from rtsep.train.data.store import INT16_PER_UNIT
from rtsep.train_settings import DataSource

RATE = 44100


def song(vocals: np.ndarray, rest: np.ndarray) -> Song:
    """Of two mono sounds."""
    stems = np.stack([vocals, rest])[:, None].repeat(2, axis=1)
    audio = np.rint(stems * INT16_PER_UNIT).astype(np.int16)
    return Song("x", audio, DataSource(folder="x", layout="stems"))


def noise(seed: int, samples: int) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(samples)


def test_songs_follow_each_other_round_and_round() -> None:
    songs = [song(noise(1, 1009), noise(2, 1009)), song(noise(3, 700), noise(4, 700))]
    once = np.concatenate([each.segment(0, each.samples).sum(axis=0) for each in songs], axis=1)
    heard = np.concatenate(list(_music(songs, 300, 5003)), axis=1)
    np.testing.assert_array_equal(heard, np.tile(once, 3)[:, 300:5003])


def test_the_clip_has_a_pause_with_the_loudest_accompaniment() -> None:
    vocals, rest = noise(5, 40 * RATE), noise(6, 40 * RATE)
    vocals[5 * RATE : 8 * RATE] = 0
    vocals[25 * RATE : 28 * RATE] = 0
    rest[25 * RATE : 28 * RATE] *= 3
    found = _clip_with_pause(song(vocals, rest))
    assert found is not None
    first, pauses = found
    assert [first + second for second in pauses] == [25, 26, 27]
    assert _clip_with_pause(song(noise(7, 20 * RATE), rest[: 20 * RATE])) is None
