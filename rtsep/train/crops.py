"""Batches of crops: true mixtures and random remixes of stems from different songs, as waveforms.

Dimensions: B batch, S stems, two channels, N samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import RtsepError
from rtsep.recipe import Recipe
from rtsep.train import augment
from rtsep.train.data import Song

SILENCE_RMS = 1e-4
MIXUP = (0.4, 0.4)
"""Of the beta distribution that a mixup's weight comes from: mostly one song, the other faint."""


@dataclass(frozen=True)
class Batch:
    """`stems` float32 (B, S, 2, N), their sum is the mixture; `top_bin` (B,): bins from there up are not judged."""

    stems: NDArray[np.float32]
    top_bin: NDArray[np.int64]


def rms(x: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(np.square(x), dtype=np.float64)))


class CropSampler:
    """Draws crops by the sources' weights; songs by their length. One seed gives one sequence."""

    def __init__(self, recipe: Recipe, songs: list[Song], seed: int) -> None:
        self.recipe, self.songs = recipe, songs
        self.random = np.random.default_rng(seed)
        train, stft = recipe.train, recipe.stft
        self.samples = stft.n_fft + stft.hop * (train.frames - 1)
        needed = augment.longest_crop(self.samples, 1 + train.augment.speed_range)
        self.songs = [song for song in songs if song.samples >= needed]
        if not self.songs:
            raise RtsepError(f"no song is as long as a crop of {needed} samples; lower frames in the recipe")
        length_of = {source: sum(s.samples for s in self.songs if s.source == source) for source in train.data}
        shares = np.array([song.source.weight * song.samples / length_of[song.source] for song in self.songs])
        self.shares = shares / shares.sum()

    def draw(self) -> Batch:
        items = [self._item() for _ in range(self.recipe.train.batch)]
        return Batch(np.stack([stems for stems, _ in items]), np.array([top for _, top in items]))

    def _crop(self) -> tuple[NDArray[np.float32], int]:
        """(S, 2, N) of a place that sounds, and the first bin that its material does not reach."""
        stft, speed_range = self.recipe.stft, self.recipe.train.augment.speed_range
        while True:
            song = self.songs[self.random.choice(len(self.songs), p=self.shares)]
            speed = self.random.uniform(1 - speed_range, 1 + speed_range)
            length = augment.longest_crop(self.samples, speed)
            crop = song.segment(int(self.random.integers(song.samples - length + 1)), length)
            if rms(crop.sum(axis=0)) > SILENCE_RMS:
                bandwidth_hz = min((song.source.bandwidth_hz or stft.sample_rate / 2) * speed, stft.sample_rate / 2)
                top = int(bandwidth_hz / stft.sample_rate * stft.n_fft) + 1
                return augment.change_speed(crop, speed, self.samples), top

    def _item(self) -> tuple[NDArray[np.float32], int]:
        """Stems of a mixture, after all augmentations, at a random level; see `rtsep.train.augment` for their order."""
        settings, random, rate = self.recipe.train.augment, self.random, self.recipe.stft.sample_rate
        stems, top = self._stems()
        stems = augment.record_and_mix(stems, settings, random, rate)
        if random.random() < settings.mixup_share:
            other, other_top = self._stems()
            other = augment.record_and_mix(other, settings, random, rate)
            other *= _level_ratio(stems.sum(axis=0), other.sum(axis=0))
            stems, top = augment.blend(stems, other, random.beta(*MIXUP)), min(top, other_top)
        stems = augment.publish(stems, settings, random, rate)
        level = rms(stems.sum(axis=0))
        if level > SILENCE_RMS:
            stems *= 10 ** (random.uniform(-36, -12) / 20) / level
        return stems, top

    def _stems(self) -> tuple[NDArray[np.float32], int]:
        """Of one song or of several."""
        settings, random = self.recipe.train.augment, self.random
        stems, top = self._crop()
        if random.random() < settings.remix_share:
            for index in range(1, len(stems)):
                other, other_top = self._crop()
                # Songs come at any level, mixes do not.
                level = 10 ** (random.uniform(-4, 8) / 20) * _level_ratio(stems[0], other[index])
                stems[index], top = other[index] * level, min(top, other_top)
        if "vocals" in self.recipe.stems and random.random() < settings.vocal_blend_share:
            vocals = self.recipe.stems.index("vocals")
            other, other_top = self._crop()
            second = other[vocals] * _level_ratio(stems[vocals], other[vocals])
            stems[vocals], top = augment.blend(stems[vocals], second, random.random()), min(top, other_top)
        return stems, top


def _level_ratio(reference: NDArray[np.float32], sound: NDArray[np.float32]) -> float:
    """What brings a sound to the level of the reference; 1 if one of them is silent."""
    reference_rms, sound_rms = rms(reference), rms(sound)
    return reference_rms / sound_rms if min(reference_rms, sound_rms) > SILENCE_RMS else 1.0
