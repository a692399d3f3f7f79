"""The AI player's U-net, whose skips are reduced by 1×1 convolutions.

After audioai.gfsoftware.com/wp/?p=78 (2024-06-11), player v0.1, a plain U-net on blocks of 1024 bins × 192 frames with
fewer channels in its skips. The post gives no numbers; these are ours: 5×5 convolutions of stride 2, batch norm,
LeakyReLU 0.2 down and ReLU up, and a quarter of a level's maps in its skip, but no fewer than 8.

Dimensions: B batch, S stems, C channels, F bins, T frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rtsep.nn.masks import EstimateNetwork

HEADS = ("mask", "magnitude")


class ReducedUNet(nn.Module):
    """(B, C, F, T) -> (B, C', F, T) without a last activation; F and T multiples of 2 to the number of filters."""

    def __init__(self, channels_in: int, channels_out: int, filters: Sequence[int]) -> None:
        super().__init__()
        thin = [max(8, maps // 4) for maps in filters[:-1]]
        upwards = [*filters[-2::-1], channels_out]
        joined = [filters[-1], *(up + skip for up, skip in zip(upwards, reversed(thin), strict=False))]
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv2d(wide, deep, 5, stride=2, padding=2), nn.BatchNorm2d(deep), nn.LeakyReLU(0.2))
            for wide, deep in pairwise([channels_in, *filters])
        )
        self.thin = nn.ModuleList(nn.Conv2d(maps, few, 1) for maps, few in zip(filters[:-1], thin, strict=True))
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(below, up, 5, stride=2, padding=2, output_padding=1)
            for below, up in zip(joined, upwards, strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(maps) for maps in upwards[:-1])

    def forward(self, x: Tensor) -> Tensor:
        levels = []
        for down in self.down:
            x = down(x)
            levels.append(x)
        x = levels.pop()
        *lower, top = self.up
        for up, norm, thin in zip(lower, self.norms, reversed(self.thin), strict=True):
            x = torch.cat([F.relu(norm(up(x))), thin(levels.pop())], dim=1)
        return top(x)


class PlayerUNet(EstimateNetwork):
    """Masks from a window of magnitudes, a U-net for each stem: (B, C, F, T) -> (B, S, C, F + 1, T).

    Args:
        filters: maps of the levels, at least two; F and T are multiples of 2 to their number.
        head: mask, an estimate is a share of the mixture's magnitude; magnitude, it is free.
    Raises ValueError for sizes that do not fit together.
    """

    def __init__(
        self,
        stems: Sequence[str],
        channels: int = 2,
        bins: int = 1024,
        filters: Sequence[int] = (16, 32, 64, 128, 256, 512),
        head: str = "mask",
    ) -> None:
        super().__init__()
        self.frames_multiple = 2 ** len(filters)
        if head not in HEADS:
            raise ValueError(f"head must be one of {', '.join(HEADS)}, got {head!r}")
        if len(filters) < 2 or bins % self.frames_multiple:
            raise ValueError(
                f"bins must be a multiple of {self.frames_multiple} with {len(filters)} levels, got {bins}"
            )
        self.stems, self.channels, self.bins, self.head = tuple(stems), channels, bins, head
        self.networks = nn.ModuleDict({stem: ReducedUNet(channels, channels, filters) for stem in stems})

    def estimates(self, magnitudes: Tensor) -> Tensor:
        answers = torch.stack([network(magnitudes) for network in self.networks.values()], dim=1)
        return answers.sigmoid() * magnitudes[:, None] if self.head == "mask" else F.relu(answers)
