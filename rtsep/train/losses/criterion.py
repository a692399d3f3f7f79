"""From crops and a network to the losses of a recipe, each a mean over the whole batch.

A batch may be spread over processes and passes. Every part of it then gives its share of the sums, divided by counts of
the whole: shares add up to the mean that one process would find in one pass.

Dimensions: B crops, S stems, C channels, N samples, T frames, F judged bins, L losses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from msgspec.structs import asdict
from torch import Tensor

from rtsep.errors import RtsepError
from rtsep.nn.contract import spread_high_band
from rtsep.recipe import Recipe
from rtsep.train.losses import spectral_losses as losses
from rtsep.train.losses import waveform_losses as waveforms
from rtsep.train.losses.spectral_losses import Target, bin_weights, judged_bins, spectra
from rtsep.train.losses.waveform_losses import judged_samples, low_pass, synthesise

COUNTED_BY_BIN = {"separation", "magnitude", "compressed", "complex"}
"""Losses in which a crop counts by how many of its bins are judged; in the others each crop counts the same."""


@dataclass(frozen=True)
class Crops:
    """Crops on their device. `stems` (B, S, C, N), whose sum is the mixture; `top_bin` (B,): bins from there up are not
    judged; `known` bool (B, S): stems that are what they are called. The others of a crop are judged by their sum."""

    stems: Tensor
    top_bin: Tensor
    known: Tensor

    def split(self, parts: int) -> Iterator[Crops]:
        """As many nearly equal parts."""
        pieces = (tensor.tensor_split(parts) for tensor in (self.stems, self.top_bin, self.known))
        return map(Crops, *pieces)

    def judged(self) -> Tensor:
        """(B, S): 1 for a known stem, and for the first of a crop's others, which stands for all of them; else 0."""
        return (self.known | self._first_unknown()).float()

    def together(self, x: Tensor) -> Tensor:
        """Stems or masks (B, S, ...) with those that are not known added up in the first of them."""
        if self.known.all():
            return x
        unknown = ~self.known
        groups = torch.diag_embed(self.known) | (self._first_unknown()[:, :, None] & unknown[:, None])
        return torch.einsum("bij,bj...->bi...", groups.to(x.dtype), x)

    def _first_unknown(self) -> Tensor:
        return ~self.known & ((~self.known).cumsum(dim=1) == 1)


class Criterion:
    """The losses of a recipe.

    Attributes:
        names: of the losses, in the order of L.
        weights: (L,).

    Raises RtsepError if crops are too short for the losses on waveforms.
    """

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        chosen = {name: weight for name, weight in asdict(recipe.train.losses).items() if weight}
        self.names = list(chosen)
        self.weights = torch.tensor(list(chosen.values()), device=device)
        self._stft, self._warmup_frames = recipe.stft, recipe.train.warmup_frames
        self._bins = judged_bins(recipe.stft, device)
        self._bin_weights = bin_weights(self._bins, recipe.stft, recipe.train)
        self._by_bin = torch.tensor([name in COUNTED_BY_BIN for name in chosen], device=device)[:, None, None]
        self._judged = judged_samples(recipe.train.frames, self._warmup_frames, recipe.stft)
        of_waves = [name for name in chosen if name in waveforms.LOSSES]
        if of_waves and self._judged.stop - self._judged.start < waveforms.RESOLUTIONS[-1]:
            raise RtsepError(
                f"the loss {of_waves[0]} needs more frames beyond warmup_frames; raise frames in the recipe"
            )

    def counts(self, crops: Crops) -> Tensor:
        """How much each crop and stem counts in each loss: (L, B, S)."""
        judged = crops.judged()
        return torch.where(self._by_bin, self._weight(crops).sum(dim=1, keepdim=True) * judged, judged)

    def normalised(self, crops: Crops) -> tuple[Tensor, Tensor]:
        """Complex mixture (B, T, F, C) and stems (B, S, T, F, C) of the judged bins, scaled so that what the network
        sees of each mixture has a mean square magnitude of 1."""
        stems = spectra(crops.stems.flatten(0, 1), self._stft, self._bins).unflatten(0, crops.known.shape)
        mixture = stems.sum(dim=1)
        seen = mixture[:, :, : self._stft.bins]
        level = (seen.real.square() + seen.imag.square()).mean(dim=(1, 2, 3)).sqrt().clamp(min=1e-6)
        return mixture / level[:, None, None, None], stems / level[:, None, None, None, None]

    def magnitudes(self, mixture: Tensor) -> Tensor:
        """What the network sees of a mixture of `normalised`: (B, C, bins, T)."""
        return mixture[:, :, : self._stft.bins].abs().permute(0, 3, 2, 1)

    def __call__(
        self, network: Callable[[Tensor, Callable[[], Tensor]], Tensor], crops: Crops, totals: Tensor, latency: str
    ) -> Tensor:
        """The share of these crops in each loss: (L,).

        Args:
            network: magnitudes (B, C, F, T), and what gives those of the true stems (B, S, C, F, T), those that are not
                known in sum, if it wants them -> masks (B, S, C, F + 1, T).
            totals: (L,), the sums of `counts` over the whole batch.
            latency: mode of synthesis for the losses on waveforms.
        """
        crops = replace(crops, stems=crops.together(crops.stems))
        mixture, stems = self.normalised(crops)

        def true() -> Tensor:
            return stems[:, :, :, : self._stft.bins].abs().permute(0, 1, 4, 3, 2)

        masks = crops.together(network(self.magnitudes(mixture), true))
        errors = self._on_spectra(masks, mixture, stems, crops) | self._on_waves(masks, crops, latency)
        means = torch.stack([errors[name] for name in self.names])
        return (means * self.counts(crops)).sum(dim=(1, 2)) / totals.clamp(min=1)

    def _on_spectra(self, masks: Tensor, mixture: Tensor, stems: Tensor, crops: Crops) -> dict[str, Tensor]:
        chosen = [name for name in self.names if name in losses.LOSSES]
        if not chosen:
            return {}
        first = self._warmup_frames
        target = Target(mixture[:, first:], stems[:, :, first:], self._weight(crops))
        of_bins = spread_high_band(masks[..., first:].permute(0, 4, 1, 3, 2), len(self._bins))
        return {name: losses.LOSSES[name](of_bins, target) for name in chosen}

    def _on_waves(self, masks: Tensor, crops: Crops, latency: str) -> dict[str, Tensor]:
        chosen = [name for name in self.names if name in waveforms.LOSSES]
        if not chosen:
            return {}
        heard = (self._judged, self._stft, latency)
        estimates = synthesise(masks, crops.stems.sum(dim=1), crops.top_bin, *heard)
        references = low_pass(crops.stems, crops.top_bin, *heard)
        return {name: waveforms.LOSSES[name](estimates, references) for name in chosen}

    def _weight(self, crops: Crops) -> Tensor:
        """Of the judged bins: (B, F)."""
        return self._bin_weights * (self._bins < crops.top_bin[:, None])
