"""The losses of a recipe for a batch and a network, each a mean over the whole batch.

A batch may be spread over processes and passes. Each piece then contributes its sums divided by the counts of the whole
batch, so that the contributions add up to the mean that one process would compute in one pass.

Dimensions: B crops, S stems, C channels, N samples, T frames, F bins that count, L losses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from msgspec.structs import asdict
from torch import Tensor

from rtsep.errors import RtsepError
from rtsep.nn.contract import spread_high_band
from rtsep.recipe import Recipe
from rtsep.train.crops.batch import CropBatch
from rtsep.train.losses import spectral_losses as losses
from rtsep.train.losses import waveform_losses as waveforms
from rtsep.train.losses.spectral_losses import Target, bin_weights, loss_bins, spectra
from rtsep.train.losses.waveform_losses import loss_samples, low_pass, synthesise

COUNTED_BY_BIN = {"separation", "magnitude", "compressed", "complex"}
"""Losses in which a crop counts by the number of its bins; in the others every crop counts the same."""


class Criterion:
    """The losses of a recipe.

    Attributes:
        names: the losses, in the order of L.
        weights: (L,).

    Raises RtsepError if crops are too short for the waveform losses.
    """

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        chosen = {name: weight for name, weight in asdict(recipe.train.losses).items() if weight}
        self.names = list(chosen)
        self.weights = torch.tensor(list(chosen.values()), device=device)
        self._stft, self._warmup_frames = recipe.stft, recipe.train.warmup_frames
        self._bins = loss_bins(recipe.stft, device)
        self._bin_weights = bin_weights(self._bins, recipe.stft, recipe.train)
        self._by_bin = torch.tensor([name in COUNTED_BY_BIN for name in chosen], device=device)[:, None, None]
        self._counted = loss_samples(recipe.train.frames, self._warmup_frames, recipe.stft)
        of_waves = [name for name in chosen if name in waveforms.LOSSES]
        if of_waves and self._counted.stop - self._counted.start < waveforms.RESOLUTIONS[-1]:
            raise RtsepError(
                f"the loss {of_waves[0]} needs more frames after warmup_frames: raise frames in the recipe"
            )

    def counts(self, batch: CropBatch) -> Tensor:
        """The weight of each crop and stem in each loss: (L, B, S)."""
        counted = batch.stem_counts()
        return torch.where(self._by_bin, self._weight(batch).sum(dim=1, keepdim=True) * counted, counted)

    def normalised(self, batch: CropBatch) -> tuple[Tensor, Tensor]:
        """Complex mixture (B, T, F, C) and stems (B, S, T, F, C) at the bins that count.

        Scaled so that the network's input has a mean square magnitude of 1 in each crop.
        """
        stems = spectra(batch.stems.flatten(0, 1), self._stft, self._bins).unflatten(0, batch.known.shape)
        mixture = stems.sum(dim=1)
        seen = mixture[:, :, : self._stft.bins]
        level = (seen.real.square() + seen.imag.square()).mean(dim=(1, 2, 3)).sqrt().clamp(min=1e-6)
        return mixture / level[:, None, None, None], stems / level[:, None, None, None, None]

    def magnitudes(self, mixture: Tensor) -> Tensor:
        """The network's input for a mixture from `normalised`: (B, C, bins, T)."""
        return mixture[:, :, : self._stft.bins].abs().permute(0, 3, 2, 1)

    def __call__(
        self, network: Callable[[Tensor, Callable[[], Tensor]], Tensor], batch: CropBatch, totals: Tensor, latency: str
    ) -> Tensor:
        """The contribution of these crops to each loss: (L,).

        Args:
            network: (magnitudes (B, C, F, T), function that returns the true stems' magnitudes (B, S, C, F, T) with
                unknown stems merged) -> masks (B, S, C, F + 1, T).
            totals: (L,), the sums of `counts` over the whole batch.
            latency: synthesis mode of the waveform losses.
        """
        batch = replace(batch, stems=batch.merge_unknown(batch.stems))
        mixture, stems = self.normalised(batch)

        def true() -> Tensor:
            return stems[:, :, :, : self._stft.bins].abs().permute(0, 1, 4, 3, 2)

        masks = batch.merge_unknown(network(self.magnitudes(mixture), true))
        errors = self._on_spectra(masks, mixture, stems, batch) | self._on_waves(masks, batch, latency)
        means = torch.stack([errors[name] for name in self.names])
        return (means * self.counts(batch)).sum(dim=(1, 2)) / totals.clamp(min=1)

    def _on_spectra(self, masks: Tensor, mixture: Tensor, stems: Tensor, batch: CropBatch) -> dict[str, Tensor]:
        chosen = [name for name in self.names if name in losses.LOSSES]
        if not chosen:
            return {}
        first = self._warmup_frames
        target = Target(mixture[:, first:], stems[:, :, first:], self._weight(batch))
        of_bins = spread_high_band(masks[..., first:].permute(0, 4, 1, 3, 2), len(self._bins))
        return {name: losses.LOSSES[name](of_bins, target) for name in chosen}

    def _on_waves(self, masks: Tensor, batch: CropBatch, latency: str) -> dict[str, Tensor]:
        chosen = [name for name in self.names if name in waveforms.LOSSES]
        if not chosen:
            return {}
        heard = (self._counted, self._stft, latency)
        estimates = synthesise(masks, batch.stems.sum(dim=1), batch.top_bin, *heard)
        references = low_pass(batch.stems, batch.top_bin, *heard)
        return {name: waveforms.LOSSES[name](estimates, references) for name in chosen}

    def _weight(self, batch: CropBatch) -> Tensor:
        """Weights of the bins: (B, F)."""
        return self._bin_weights * (self._bins < batch.top_bin[:, None])
