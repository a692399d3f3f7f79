"""Draw crops: real mixtures, random remixes of stems from different songs, and vocals added to instrumentals.

Crops of a batch are made together, on the CPU or a CUDA device. A crop depends on the recipe's seed, the step and its
place in the batch alone: on one device it is the same in any thread or process, before and after a restart.

Dimensions: B batch, R some crops of it, S stems, two channels, N samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rtsep.errors import RtsepError
from rtsep.recipe import Recipe
from rtsep.train.crops import augment
from rtsep.train.crops.augment import Randoms
from rtsep.train.crops.batch import CropBatch
from rtsep.train.crops.magnitudes import largest_magnitude
from rtsep.train.crops.speed import change_speed, played_samples
from rtsep.train.data.sample_bank import SampleBank
from rtsep.train.data.songs import SILENCE_RMS, Song

CPU = torch.device("cpu")
ADD_VOCALS = 0.98  # share of the crops of instrumentals, as in the frame transformer's training
TRIES = 50  # to find a place in a song that is not silent
MIXUP = (0.4, 0.4)
"""Parameters of the beta distribution of mixup weights: mostly one of the two mixes is faint."""


def rms(x: Tensor) -> Tensor:
    """Of each of (..., channels, N): (...)."""
    return x.square().mean(dim=(-2, -1)).sqrt()


def crop_samples(recipe: Recipe) -> int:
    """Samples of a crop: those that its frames cover."""
    return recipe.stft.n_fft + recipe.stft.hop * (recipe.train.frames - 1)


def shortest_song(recipe: Recipe) -> int:
    """Samples a song must have so that crops can be drawn from it at every speed."""
    return played_samples(crop_samples(recipe), 1 + recipe.train.augment.speed_range)


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


@dataclass
class Crops:
    """Crops while they are made, all on one device.

    Attributes:
        songs: the song that each began with.
        stems: float32 (B, S, 2, N).
        known, top_bin: (B, S) and (B,); see `CropBatch`.
        peaks: largest magnitude of the songs in each, see `rtsep.train.crops.magnitudes`: (B,).
    """

    songs: list[Song]
    stems: Tensor
    known: NDArray[np.bool_]
    top_bin: NDArray[np.int64]
    peaks: NDArray[np.float32]

    def note(self, chosen: Sequence[int], others: Crops) -> None:
        """Take over what it means that others' sound is now in the chosen crops."""
        self.top_bin[chosen] = np.minimum(self.top_bin[chosen], others.top_bin)
        self.peaks[chosen] = np.maximum(self.peaks[chosen], others.peaks)


class CropSampler:
    """Draws crops from songs, each of them at least as long as `shortest_song`.

    Args:
        device: where crops are made; the songs are kept there as far as they fit.
    """

    def __init__(self, recipe: Recipe, songs: list[Song], seed: int, device: torch.device = CPU) -> None:
        self.recipe, self.seed, self.device = recipe, seed, device
        self.samples = crop_samples(recipe)
        self.vocals = recipe.stems.index("vocals") if "vocals" in recipe.stems else None
        self.pool = Pool(song for song in songs if song.kind != "vocals")
        if not self.pool:
            raise RtsepError(
                "no songs to draw crops from: the recipe's [[train.data]] needs a source other than vocals"
            )
        self.stem_pools = [self._donors(songs, stem) for stem in range(len(recipe.stems))]
        self.vocals_pool = Pool(song for song in songs if song.kind == "vocals")
        if self.vocals is not None:
            self.vocals_pool = self.vocals_pool or self.stem_pools[self.vocals]
            if not self.vocals_pool and any(self._added_share(song) for song in songs):
                raise RtsepError(
                    "no vocals to add to the instrumentals: add a source with layout 'vocals' to [[train.data]]"
                )
        self.bank = SampleBank(songs, device)

    def batch(self, step: int, places: Sequence[int] | None = None) -> CropBatch:
        """Crops of a step at some places of its batch, at all by default, in that order."""
        places = range(self.recipe.train.batch) if places is None else places
        crops = self.crops([generator(self.seed, step, place) for place in places])
        top_bin, known = torch.from_numpy(crops.top_bin), torch.from_numpy(crops.known)
        return CropBatch(crops.stems, top_bin.to(self.device), known.to(self.device))

    def crops(self, randoms: Randoms) -> Crops:
        """A crop for each generator."""
        settings, rate = self.recipe.train.augment, self.recipe.stft.sample_rate
        crops = self._mix(randoms)
        mixed = [crop for crop, random in enumerate(randoms) if random.random() < settings.mixup_share]
        if mixed:
            some = [randoms[crop] for crop in mixed]
            others, firsts = self._mix(some), crops.stems[mixed]
            match_level(firsts.flatten(1, 2), others.stems.flatten(1, 2), draw_levels_db(some))
            crops.stems[mixed] = others.stems.lerp(firsts, _column([random.beta(*MIXUP) for random in some], firsts))
            crops.known[mixed] &= others.known
            crops.note(mixed, others)
        augment.publish(crops.stems, settings, randoms, rate)
        self._set_level(crops, randoms)
        return crops

    def _mix(self, randoms: Randoms) -> Crops:
        """Stems drawn, remixed and augmented, in the order of `rtsep.train.crops.augment`."""
        crops = self._draw([self.pool.draw(random) for random in randoms], randoms)
        self._add_vocals(crops, randoms)
        self._remix(crops, randoms)
        self._blend_vocals(crops, randoms)
        self._augment(crops, randoms)
        return crops

    def _donors(self, songs: list[Song], stem: int) -> Pool:
        """Songs whose stem is known, true and not merely known to be silent."""
        wanted = {"song", "vocals" if stem == self.vocals else "instrumental"}
        return Pool(
            song
            for song in songs
            if song.kind in wanted and song.source.labels == "true" and (song.known is None or song.known[stem])
        )

    def _draw(self, songs: list[Song], randoms: Randoms, stem: int | None = None) -> Crops:
        """A crop of each song, of all stems or of one, from a place that is not silent, at a random speed."""
        stft, speed_range = self.recipe.stft, self.recipe.train.augment.speed_range
        stems = slice(None) if stem is None else slice(stem, stem + 1)
        speeds = [random.uniform(1 - speed_range, 1 + speed_range) for random in randoms]
        lengths = [played_samples(self.samples, speed) for speed in speeds]
        pieces: dict[int, Tensor] = {}
        silent = list(range(len(songs)))
        for _ in range(TRIES):
            for row in silent:
                start = int(randoms[row].integers(songs[row].samples - lengths[row] + 1))
                pieces[row] = self.bank.segment(songs[row], start, lengths[row])
            levels = torch.stack([rms(pieces[row].sum(dim=0)) for row in silent]).tolist()
            silent = [row for row, level in zip(silent, levels, strict=True) if level <= SILENCE_RMS]
            if not silent:
                break
        widest = stft.sample_rate / 2
        bandwidths_hz = np.array([song.source.bandwidth_hz or widest for song in songs])
        audible = np.minimum(bandwidths_hz * speeds, widest) / stft.sample_rate
        return Crops(
            songs,
            change_speed([pieces[row][stems] for row in range(len(songs))], speeds, self.samples),
            np.array([song.known or [True] * len(self.recipe.stems) for song in songs])[:, stems],
            (audible * stft.n_fft).astype(np.int64) + 1,
            np.array([song.peak for song in songs], np.float32),
        )

    def _added_share(self, song: Song) -> float:
        if song.source.add_vocals is not None and song.kind != "vocals":
            return song.source.add_vocals
        return ADD_VOCALS if song.kind == "instrumental" else 0.0

    def _add_vocals(self, crops: Crops, randoms: Randoms) -> None:
        """Add vocals of another song to some crops; at a lower gain to those that have vocals of their own."""
        shares = [0.0 if self.vocals is None else self._added_share(song) for song in crops.songs]
        chosen = [crop for crop, share in enumerate(shares) if share and randoms[crop].random() < share]
        if not chosen:
            return
        some = [randoms[crop] for crop in chosen]
        others = self._draw([self.vocals_pool.draw(random) for random in some], some, self.vocals)
        vocals = others.stems[:, 0]
        matched = [row for row, crop in enumerate(chosen) if crops.songs[crop].source.level == "random"]
        if matched:
            voices, mixtures = vocals[matched], crops.stems[[chosen[row] for row in matched]].sum(dim=1)
            match_level(mixtures, voices, draw_levels_db([some[row] for row in matched]))
            vocals[matched] = voices
        gains = [
            random.random() if crops.songs[crop].kind == "song" else 1.0
            for crop, random in zip(chosen, some, strict=True)
        ]
        crops.stems[chosen, self.vocals] += vocals * _column(gains, vocals)
        crops.note(chosen, others)

    def _remix(self, crops: Crops, randoms: Randoms) -> None:
        """Replace stems by those of other songs: all known ones around the rest, or all but the first.

        Not instrumentals, which have been mixed already, nor a teacher's stems, which are learnt in their own mixture.
        """
        share = self.recipe.train.augment.remix_share
        chosen = [
            crop
            for crop, song in enumerate(crops.songs)
            if not (song.kind == "instrumental" or song.source.labels == "teacher" or randoms[crop].random() >= share)
        ]
        if not chosen:
            return
        whole = np.all(crops.known[chosen], axis=1)[:, None]
        first = np.zeros_like(crops.known[chosen])
        first[:, 0] = True
        kept = np.where(whole, first, ~crops.known[chosen])
        weights = torch.from_numpy(kept.astype(np.float32)).to(self.device)
        references = torch.einsum("rs,rscn->rcn", weights, crops.stems[chosen])
        for stem, pool in enumerate(self.stem_pools):
            rows = np.flatnonzero(~kept[:, stem]).tolist() if pool else []
            if rows:
                replaced, some = [chosen[row] for row in rows], [randoms[chosen[row]] for row in rows]
                others = self._draw([pool.draw(random) for random in some], some, stem)
                match_level(references[rows], others.stems[:, 0], draw_levels_db(some))
                crops.stems[replaced, stem] = others.stems[:, 0]
                crops.note(replaced, others)

    def _blend_vocals(self, crops: Crops, randoms: Randoms) -> None:
        """Blend the vocals of another singer into vocals that are known, true and not silent."""
        share = self.recipe.train.augment.vocal_blend_share
        if self.vocals is None or not self.vocals_pool or not share:
            return
        chosen = [
            crop
            for crop, song in enumerate(crops.songs)
            if randoms[crop].random() < share and crops.known[crop, self.vocals] and song.source.labels == "true"
        ]
        levels = rms(crops.stems[chosen, self.vocals]).tolist() if chosen else []
        chosen = [crop for crop, level in zip(chosen, levels, strict=True) if level > SILENCE_RMS]
        if chosen:
            some = [randoms[crop] for crop in chosen]
            others = self._draw([self.vocals_pool.draw(random) for random in some], some, self.vocals)
            firsts, seconds = crops.stems[chosen, self.vocals], others.stems[:, 0]
            match_level(firsts, seconds, draw_levels_db(some))
            crops.stems[chosen, self.vocals] = seconds.lerp(firsts, _column([r.random() for r in some], firsts))
            crops.note(chosen, others)

    def _augment(self, crops: Crops, randoms: Randoms) -> None:
        augment.record_and_mix(crops.stems, self.recipe.train.augment, randoms, self.recipe.stft.sample_rate)

    def _set_level(self, crops: Crops, randoms: Randoms) -> None:
        """Scale crops to a random level or by their largest magnitude, as their sources say; silence stays."""
        mixtures, stft = crops.stems.sum(dim=1), self.recipe.stft
        levels = rms(mixtures)
        scales = _column([10 ** (random.uniform(-36, -12) / 20) for random in randoms], levels) / levels
        by_peak = [crop for crop, song in enumerate(crops.songs) if song.source.level == "peak"]
        if by_peak:
            largest = largest_magnitude(mixtures[by_peak], stft.n_fft, stft.hop)
            peaks = torch.from_numpy(crops.peaks[by_peak]).to(self.device)
            scales[by_peak] = 1 / (torch.maximum(largest, peaks) * (stft.n_fft / 2))
        scales = torch.where(levels > SILENCE_RMS, scales, 1.0)
        crops.stems *= scales[:, None, None, None]


def draw_levels_db(randoms: Randoms) -> list[float]:
    """Levels of other songs' stems relative to their reference, in dB."""
    return [random.uniform(-4, 8) for random in randoms]


def match_level(references: Tensor, stems: Tensor, levels_db: Sequence[float]) -> None:
    """Scale other songs' stems (R, ..., N), in place, to these levels relative to references; silence stays."""
    wanted, found = rms(references), rms(stems)
    gains = _column([10 ** (level_db / 20) for level_db in levels_db], wanted) * wanted / found
    gains = torch.where((wanted > SILENCE_RMS) & (found > SILENCE_RMS), gains, 1.0)
    stems *= gains.view(-1, *[1] * (stems.ndim - 1))


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    """(R,) as a factor of `like` (R, ...)."""
    column = torch.tensor(values, dtype=torch.float32, device=like.device)
    return column.view(-1, *[1] * (like.ndim - 1))
