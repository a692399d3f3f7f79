"""Draw crops: real mixtures, random remixes of stems from different songs, and vocals added to instrumentals.

A crop depends on the recipe's seed, the step and the crop's place in the batch alone: it is the same in any thread or
process, before and after a restart.

Dimensions: B batch, S stems, two channels, N samples.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from rtsep.errors import RtsepError
from rtsep.recipe import Recipe
from rtsep.train.crops import augment
from rtsep.train.crops.augment import longest_crop
from rtsep.train.crops.batch import CropBatch
from rtsep.train.crops.magnitudes import largest_magnitude
from rtsep.train.data.songs import SILENCE_RMS, Song

Float32 = NDArray[np.float32]

ADD_VOCALS = 0.98  # share of the crops of instrumentals, as in the frame transformer's training
TRIES = 50  # to find a place in a song that is not silent
MIXUP = (0.4, 0.4)
"""Parameters of the beta distribution of mixup weights: mostly one of the two mixes is faint."""


@dataclass
class Crop:
    """One crop while it is made.

    Attributes:
        song: the song it began with.
        stems, known, top_bin: (S, 2, N), (S,) and a number; see `CropBatch`.
        peak: largest magnitude of the songs in it, see `rtsep.train.crops.magnitudes`.
    """

    song: Song
    stems: Float32
    known: NDArray[np.bool_]
    top_bin: int
    peak: float


def rms(x: Float32) -> float:
    return float(np.sqrt(np.mean(np.square(x))))  # pairwise sums: single precision is enough


def crop_samples(recipe: Recipe) -> int:
    """Samples of a crop: those that its frames cover."""
    return recipe.stft.n_fft + recipe.stft.hop * (recipe.train.frames - 1)


def shortest_song(recipe: Recipe) -> int:
    """Samples a song must have so that crops can be drawn from it at every speed."""
    return longest_crop(crop_samples(recipe), 1 + recipe.train.augment.speed_range)


def generator(seed: int, step: int, *place: int) -> np.random.Generator:
    """The random generator of one step, or of one place in its batch; independent of anything drawn before."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(step, *place)))


class Pool:
    """A set of songs to draw from: sources by their weights, the songs of a source by their lengths."""

    def __init__(self, songs: Iterable[Song]) -> None:
        self.songs = list(songs)
        lengths = dict.fromkeys((song.source for song in self.songs), 0)
        for song in self.songs:
            lengths[song.source] += song.samples
        shares = np.array([song.source.weight * song.samples / lengths[song.source] for song in self.songs])
        self._bounds = np.cumsum(shares)

    def __bool__(self) -> bool:
        return bool(self.songs) and bool(self._bounds[-1] > 0)

    def draw(self, random: np.random.Generator) -> Song:
        place = np.searchsorted(self._bounds, random.random() * self._bounds[-1], side="right")
        return self.songs[min(int(place), len(self.songs) - 1)]


class CropSampler:
    """Draws crops from songs, each of them at least as long as `shortest_song`."""

    def __init__(self, recipe: Recipe, songs: list[Song], seed: int) -> None:
        self.recipe, self.seed = recipe, seed
        self.samples = crop_samples(recipe)
        self.vocals = recipe.stems.index("vocals") if "vocals" in recipe.stems else None
        self.pool = Pool(song for song in songs if song.kind != "vocals")
        if not self.pool:
            raise RtsepError(
                "no songs to draw crops from: the recipe's [[train.data]] needs a source other than vocals"
            )
        self.stem_pools = [self._donors(songs, stem) for stem in range(len(recipe.stems))]
        self.vocals_pool = Pool(song for song in songs if song.kind == "vocals")
        if self.vocals is None:
            return
        self.vocals_pool = self.vocals_pool or self.stem_pools[self.vocals]
        if not self.vocals_pool and any(self._added_share(song) for song in songs):
            raise RtsepError(
                "no vocals to add to the instrumentals: add a source with layout 'vocals' to [[train.data]]"
            )

    def batch(self, step: int) -> CropBatch:
        """All crops of a step."""
        return collate([self.crop(step, index) for index in range(self.recipe.train.batch)])

    def crop(self, step: int, index: int) -> Crop:
        """The crop at place `index` of the batch of a step."""
        random, settings = generator(self.seed, step, index), self.recipe.train.augment
        crop = self._mix(random)
        if random.random() < settings.mixup_share:
            other = self._mix(random)
            match_level(crop.stems, other.stems, random)
            crop.stems = augment.blend(crop.stems, other.stems, random.beta(*MIXUP))
            crop.known &= other.known
            self._note(crop, other)
        crop.stems = augment.publish(crop.stems, settings, random, self.recipe.stft.sample_rate)
        self._set_level(crop, random)
        return crop

    def _mix(self, random: np.random.Generator) -> Crop:
        """One mix: stems drawn, remixed and augmented, in the order of `rtsep.train.crops.augment`."""
        crop = self._draw(self.pool.draw(random), random)
        self._add_vocals(crop, random)
        self._remix(crop, random)
        self._blend_vocals(crop, random)
        self._augment(crop, random)
        return crop

    def _donors(self, songs: list[Song], stem: int) -> Pool:
        """Songs whose stem is known, true and not merely known to be silent."""
        wanted = {"song", "vocals" if stem == self.vocals else "instrumental"}
        return Pool(
            song
            for song in songs
            if song.kind in wanted and song.source.labels == "true" and (song.known is None or song.known[stem])
        )

    def _draw(self, song: Song, random: np.random.Generator, stems: slice = slice(None)) -> Crop:
        """Stems from a place in the song that is not silent, at a random speed."""
        stft, speed_range = self.recipe.stft, self.recipe.train.augment.speed_range
        speed = random.uniform(1 - speed_range, 1 + speed_range)
        length = longest_crop(self.samples, speed)
        tries_left = TRIES
        while True:
            place = song.segment(int(random.integers(song.samples - length + 1)), length)
            tries_left -= 1
            if rms(place.sum(axis=0)) > SILENCE_RMS or not tries_left:
                break
        bandwidth_hz = min((song.source.bandwidth_hz or stft.sample_rate / 2) * speed, stft.sample_rate / 2)
        return Crop(
            song,
            augment.change_speed(place[stems], speed, self.samples),
            np.array(song.known or [True] * len(place))[stems],
            int(bandwidth_hz / stft.sample_rate * stft.n_fft) + 1,
            song.peak,
        )

    def _added_share(self, song: Song) -> float:
        if song.source.add_vocals is not None and song.kind != "vocals":
            return song.source.add_vocals
        return ADD_VOCALS if song.kind == "instrumental" else 0.0

    def _add_vocals(self, crop: Crop, random: np.random.Generator) -> None:
        """Add vocals of another song to the crop; at a lower gain if it has vocals of its own."""
        share = self._added_share(crop.song)
        if self.vocals is None or not share or random.random() >= share:
            return
        other = self._draw(self.vocals_pool.draw(random), random, slice(self.vocals, self.vocals + 1))
        vocals = other.stems[0]
        if crop.song.source.level == "random":
            match_level(crop.stems.sum(axis=0), vocals, random)
        if crop.song.kind == "song":
            vocals *= np.float32(random.random())
        crop.stems[self.vocals] += vocals
        self._note(crop, other)

    def _remix(self, crop: Crop, random: np.random.Generator) -> None:
        """Replace stems by those of other songs: all known ones around the rest, or all but the first.

        Not instrumentals, which have been mixed already, nor a teacher's stems, which are learnt in their own mixture.
        """
        source, kind = crop.song.source, crop.song.kind
        share = self.recipe.train.augment.remix_share
        if kind == "instrumental" or source.labels == "teacher" or random.random() >= share:
            return
        whole = bool(crop.known.all())
        reference = crop.stems[0] if whole else crop.stems[~crop.known].sum(axis=0)
        for index in range(1 if whole else 0, len(crop.stems)):
            pool = self.stem_pools[index]
            if crop.known[index] and pool:
                other = self._draw(pool.draw(random), random, slice(index, index + 1))
                match_level(reference, other.stems[0], random)
                crop.stems[index] = other.stems[0]
                self._note(crop, other)

    def _blend_vocals(self, crop: Crop, random: np.random.Generator) -> None:
        """Blend the vocals of another singer into vocals that are known, true and not silent."""
        share = self.recipe.train.augment.vocal_blend_share
        if self.vocals is None or not self.vocals_pool or random.random() >= share:
            return
        first, true = crop.stems[self.vocals], crop.known[self.vocals] and crop.song.source.labels == "true"
        if true and rms(first) > SILENCE_RMS:
            other = self._draw(self.vocals_pool.draw(random), random, slice(self.vocals, self.vocals + 1))
            match_level(first, other.stems[0], random)
            crop.stems[self.vocals] = augment.blend(first, other.stems[0], random.random())
            self._note(crop, other)

    @staticmethod
    def _note(crop: Crop, other: Crop) -> None:
        crop.top_bin, crop.peak = min(crop.top_bin, other.top_bin), max(crop.peak, other.peak)

    def _augment(self, crop: Crop, random: np.random.Generator) -> None:
        settings, rate = self.recipe.train.augment, self.recipe.stft.sample_rate
        crop.stems = augment.record_and_mix(crop.stems, settings, random, rate)

    def _set_level(self, crop: Crop, random: np.random.Generator) -> None:
        mixture, stft = crop.stems.sum(axis=0), self.recipe.stft
        level = rms(mixture)
        if level <= SILENCE_RMS:
            return
        if crop.song.source.level == "peak":
            crop.stems /= np.float32(max(crop.peak, largest_magnitude(mixture, stft.n_fft, stft.hop)) * stft.n_fft / 2)
        else:
            crop.stems *= np.float32(10 ** (random.uniform(-36, -12) / 20) / level)


def collate(crops: list[Crop]) -> CropBatch:
    """The batch of crops, in the order of their places."""
    return CropBatch(
        torch.from_numpy(np.stack([crop.stems for crop in crops])),
        torch.from_numpy(np.array([crop.top_bin for crop in crops])),
        torch.from_numpy(np.stack([crop.known for crop in crops])),
    )


def match_level(reference: Float32, stem: Float32, random: np.random.Generator) -> None:
    """Scale another song's stem, in place, to a level near the reference: -4 to +8 dB."""
    reference_rms, stem_rms = rms(reference), rms(stem)
    if reference_rms > SILENCE_RMS and stem_rms > SILENCE_RMS:
        stem *= np.float32(10 ** (random.uniform(-4, 8) / 20) * reference_rms / stem_rms)
