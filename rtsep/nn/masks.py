"""Turn the outputs of networks into masks with a row for every bin and one for the band above.

Dimensions: B batch, S stems, C channels, F bins, T frames.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from rtsep.nn.windowed import WindowNetwork

SILENCE = 1e-4
"""Smallest magnitude that is divided among the stems."""
TOP_BINS = 64
"""Number of highest bins whose mean mask is used for the band above."""


def repeat_top_bin(masks: Tensor) -> Tensor:
    """(B, C, F, T) -> (B, C, F + 1, T): the highest bin's mask rules the band above as well."""
    return F.pad(masks, (0, 0, 0, 1), mode="replicate")


def share_out(estimates: Tensor, exponent: float) -> Tensor:
    """Magnitudes (B, S, C, F, T) to masks (B, S, C, F + 1, T): each stem's share, at 2 in the energy of all.

    In silence all stems have the same. The mean of the highest masks rules the band above.
    """
    powers = estimates.pow(exponent) + SILENCE**exponent / estimates.shape[1]
    masks = powers / powers.sum(dim=1, keepdim=True)
    return torch.cat([masks, masks[..., -TOP_BINS:, :].mean(dim=-2, keepdim=True)], dim=-2)


def compare_with_mixture(estimates: Tensor, magnitudes: Tensor) -> Tensor:
    """Magnitudes (B, S, C, F, T) over the mixture's (B, C, F, T), without a limit: (B, S, C, F + 1, T).

    What each estimate is worth by itself, for training: times the mixture it is the estimate again.
    """
    mixture = magnitudes[:, None]
    low = estimates / mixture.clamp(min=SILENCE)
    top = mixture[..., -TOP_BINS:, :].sum(dim=-2, keepdim=True).clamp(min=SILENCE)
    return torch.cat([low, estimates[..., -TOP_BINS:, :].sum(dim=-2, keepdim=True) / top], dim=-2)


class EstimateNetwork(WindowNetwork):
    """A network that estimates each stem's magnitude by itself; what it plays by is their shares in the energy."""

    mask_exponent = 2.0

    def estimates(self, magnitudes: Tensor) -> Tensor:
        """Magnitudes (B, S, C, F, W), 0 or more, of the stems in windows (B, C, F, W)."""
        raise NotImplementedError(f"{type(self).__name__} must define estimates")

    def forward(self, magnitudes: Tensor) -> Tensor:
        return share_out(self.estimates(magnitudes), self.mask_exponent)

    def teach(self, magnitudes: Tensor, stems: Tensor) -> Tensor:
        return compare_with_mixture(self.estimates(magnitudes), magnitudes)
