"""Batches of crops: true mixtures and random remixes of stems from different songs, as waveforms.

Dimensions: B batch, S stems, two channels, N samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import RtsepError
from rtsep.recipe import Recipe
from rtsep.train.augment import change_speed, equalize, longest_crop, silence_span
from rtsep.train.data import Song

SILENCE_RMS = 1e-4


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
        needed = longest_crop(self.samples, 1 + train.speed_range)
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
        stft, speed_range = self.recipe.stft, self.recipe.train.speed_range
        while True:
            song = self.songs[self.random.choice(len(self.songs), p=self.shares)]
            speed = self.random.uniform(1 - speed_range, 1 + speed_range)
            length = longest_crop(self.samples, speed)
            crop = song.segment(int(self.random.integers(song.samples - length + 1)), length)
            if rms(crop.sum(axis=0)) > SILENCE_RMS:
                bandwidth_hz = min((song.source.bandwidth_hz or stft.sample_rate / 2) * speed, stft.sample_rate / 2)
                return change_speed(crop, speed, self.samples), int(bandwidth_hz / stft.sample_rate * stft.n_fft) + 1

    def _item(self) -> tuple[NDArray[np.float32], int]:
        train, rate = self.recipe.train, self.recipe.stft.sample_rate
        stems, top = self._crop()
        if self.random.random() < train.remix_share:
            for index in range(1, len(stems)):
                other, other_top = self._crop()
                self._match_level(stems[0], other[index])
                stems[index] = other[index]
                top = min(top, other_top)
        if train.silence_share and self.random.random() < train.silence_share:
            silence_span(stems[self.random.integers(len(stems))], self.random, rate)
        for stem in stems:
            if train.equalizer_db:
                stem[:] = equalize(stem, self.random, train.equalizer_db, rate)
            stem *= 10 ** (self.random.uniform(-4, 4) / 20) * self.random.choice((-1, 1))
            if self.random.random() < 0.5:
                stem[:] = stem[::-1].copy()
        level = rms(stems.sum(axis=0))
        if level > SILENCE_RMS:
            stems *= 10 ** (self.random.uniform(-36, -12) / 20) / level
        return stems, top

    def _match_level(self, reference: NDArray[np.float32], stem: NDArray[np.float32]) -> None:
        """Bring a stranger's stem near the reference: songs come at any level, mixes do not."""
        reference_rms, stem_rms = rms(reference), rms(stem)
        if reference_rms > SILENCE_RMS and stem_rms > SILENCE_RMS:
            stem *= 10 ** (self.random.uniform(-4, 8) / 20) * reference_rms / stem_rms
