"""From what networks answer to masks with a row for every bin and one for the band above.

Dimensions: B batch, S stems, C channels, F bins, T frames.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

SILENCE = 1e-8
"""Of a sum of squared magnitudes: where there is less, there is nothing to share out."""


def repeat_top_bin(masks: Tensor) -> Tensor:
    """(B, C, F, T) -> (B, C, F + 1, T): the highest bin's mask rules the band above as well."""
    return F.pad(masks, (0, 0, 0, 1), mode="replicate")


def average_top_bins(masks: Tensor, bins: int = 64) -> Tensor:
    """(..., F, T) -> (..., F + 1, T): the mean of the highest `bins` masks rules the band above."""
    return torch.cat([masks, masks[..., -bins:, :].mean(dim=-2, keepdim=True)], dim=-2)


def share_energy(estimates: Tensor) -> Tensor:
    """Magnitudes (B, S, C, F, T) to each stem's share in their energy; in silence all have the same."""
    energies = estimates.square() + SILENCE / estimates.shape[1]
    return energies / energies.sum(dim=1, keepdim=True)
