"""Convolution, batch normalisation, activation: the brick of networks that other people trained.

Channels stand second, (B, C, F, T), as in their weights; `rtsep.nn.layers` has the parts of our own networks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ConvNorm(nn.Sequential):
    """Convolution without bias, batch normalisation, activation: (B, C, F, T) -> (B, C', F / stride, T / stride).

    Kernel sizes are odd and edges padded with zeros, so that only the stride changes the size. Every size is a number
    for both axes or a pair (frequency, time).
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int | tuple[int, int],
        activation: nn.Module,
        stride: int | tuple[int, int] = 1,
        dilation: int | tuple[int, int] = 1,
    ) -> None:
        sizes, spread = pair(kernel), pair(dilation)
        padding = tuple(step * (size // 2) for size, step in zip(sizes, spread, strict=True))
        super().__init__(
            nn.Conv2d(channels_in, channels_out, sizes, stride, padding, spread, bias=False),  # type: ignore[arg-type]
            nn.BatchNorm2d(channels_out),
            activation,
        )


def pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def repeat_top_bin(masks: Tensor) -> Tensor:
    """(..., F, T) -> (..., F + 1, T): the highest bin's mask rules the band above as well."""
    return F.pad(masks, (0, 0, 0, 1), mode="replicate")


def average_top_bins(masks: Tensor, bins: int = 64) -> Tensor:
    """(..., F, T) -> (..., F + 1, T): the mean of the highest `bins` masks rules the band above."""
    return torch.cat([masks, masks[..., -bins:, :].mean(dim=-2, keepdim=True)], dim=-2)
