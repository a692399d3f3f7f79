"""Multiband frame attention of carperbr's frame transformer: heads are bands of the token; attention is bidirectional.

There are two relative terms. `transpose` is what the author's code computes and the weights were trained with:
the padded product is transposed where the Music Transformer (Huang et al. 2018, arXiv:1809.04281) reshapes it, so that
row i, column j holds what query j asks of table column i. It needs exactly as many frames as the table has columns.
`skew` is the true relative term: query i asks for the distance to key j, in both directions, over any number of frames
up to the window.

Dimensions: B batch, T frames, D width of a token (bins of its level), H heads, E = D / H.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

RELATIONS = ("transpose", "skew")


class Projection(nn.Module):
    """Linear, then a centred depthwise convolution over frames: (B, T, D) -> (B, H, T, E)."""

    def __init__(self, width: int, heads: int, taps: int) -> None:
        super().__init__()
        self.heads = heads
        self.linear = nn.Linear(width, width)
        self.between_frames = nn.Conv1d(width, width, taps, padding=taps // 2, groups=width)

    def forward(self, x: Tensor) -> Tensor:
        mixed = self.between_frames(self.linear(x).transpose(1, 2))
        return mixed.unflatten(1, (self.heads, -1)).transpose(2, 3)


class BandAttention(nn.Module):
    """(B, T, D), asked of itself or of a memory (B, T, D) -> (B, T, D).

    Args:
        taps: of the convolutions behind the projections, odd.
        window: frames of the relative table.
        rel: transpose or skew.
    """

    def __init__(self, width: int, heads: int, window: int, taps: int, rel: str) -> None:
        super().__init__()
        self.window, self.rel = window, rel
        self.query = Projection(width, heads, taps)
        self.key = Projection(width, heads, taps)
        self.value = Projection(width, heads, taps)
        self.out = nn.Linear(width, width)
        self.relative = nn.Parameter(torch.randn(width // heads, window if rel == "transpose" else 2 * window - 1))

    def forward(self, x: Tensor, memory: Tensor | None = None) -> Tensor:
        """Raises ValueError for another number of frames than the window (transpose), or more (skew)."""
        frames, width = x.shape[1:]
        if frames > self.window or (self.rel == "transpose" and frames != self.window):
            limit = "" if self.rel == "transpose" else "at most "
            raise ValueError(f"expected {limit}{self.window} frames, got {frames}")
        source = x if memory is None else memory
        queries, scale = self.query(x), width**-0.5  # of the whole width, not of a head's
        bias = scale * (
            (queries @ self.relative).transpose(2, 3)
            if self.rel == "transpose"
            else skew(queries @ self.relative[:, self.window - frames : self.window + frames - 1])
        )
        attended = F.scaled_dot_product_attention(
            queries, self.key(source), self.value(source), attn_mask=bias, scale=scale
        )
        return self.out(attended.transpose(1, 2).flatten(2))


def skew(by_distance: Tensor) -> Tensor:
    """Columns by distance, (..., T, 2T - 1), to columns by key, (..., T, T).

    Row i, key j takes column j - i + T - 1.
    """
    frames = by_distance.shape[-2]
    rows = F.pad(by_distance, (0, 1)).flatten(-2)[..., frames - 1 : 2 * frames**2 - 1]
    return rows.unflatten(-1, (frames, 2 * frames - 1))[..., :frames]
