"""The target's side of the autoregressive frame transformer: blocks in which no frame knows of a later one.

Every part takes all frames at once, or the frames from `first` on with the state that those before have left.

Dimensions: B batch, C maps, F bins of the level, T frames of a window, n frames of a call, H heads, E = F / H.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rtsep.nn.carperbr_blocks import KERNEL, ToToken, add_padded
from rtsep.nn.contract import State
from rtsep.nn.layers import CausalDepthwise


class MapNorm(nn.LayerNorm):
    """Layer normalisation over the maps of each bin and frame: (B, C, F, T)."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.movedim(1, 3)).movedim(3, 1)


def target_conv(channels_in: int, channels_out: int, stride: int = 1) -> nn.Sequential:
    """N×1 convolution in which no frame knows of another."""
    conv = nn.Conv2d(channels_in, channels_out, KERNEL, (stride, 1), (1, 0), bias=False)
    return nn.Sequential(conv, MapNorm(channels_out), nn.LeakyReLU())


class DistanceAttention(nn.Module):
    """Attention with a relative term by the distance back to a key, 0 for keys ahead."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.relative = nn.Parameter(torch.randn(width // heads, window))  # the last column is distance 0

    def keys_values(self, x: Tensor) -> Tensor:
        """(B, n, F) -> (2, B, H, n, E)."""
        return torch.stack([self._split(self.key(x)), self._split(self.value(x))])

    def forward(self, x: Tensor, keys_values: Tensor, first: int, causal: bool) -> Tensor:
        """Frames x (B, n, F), the first of which is frame `first`, ask frames 0 to m - 1 (2, B, H, m, E)."""
        queries, scale = self._split(self.query(x)), x.shape[-1] ** -0.5
        keys, values = keys_values.unbind(0)
        back = torch.arange(first, first + x.shape[1], device=x.device)[:, None]
        back = back - torch.arange(keys.shape[2], device=x.device)
        columns = self.window - 1 - back.clamp(min=0)
        bias = scale * (queries @ self.relative).gather(3, columns.expand(*queries.shape[:2], -1, -1))
        if causal:
            bias = bias.masked_fill(back < 0, float("-inf"))
        attended = F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias, scale=scale)
        return self.out(attended.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


class CausalBranch(nn.Module):
    """Causal depthwise convolution and a projection: (B, n, F) -> (B, n, F')."""

    def __init__(self, width: int, width_out: int, taps: int, bias: bool) -> None:
        super().__init__()
        self.between_frames = CausalDepthwise(width, taps)
        self.shift = nn.Parameter(torch.zeros(width)) if bias else None
        self.project = nn.Linear(width, width_out, bias=bias)

    def init_past(self, batch: int) -> Tensor:
        weight = self.between_frames.weight
        return weight.new_zeros(batch, self.between_frames.past_frames, weight.shape[1])

    def forward(self, x: Tensor, past: Tensor | None) -> Tensor:
        mixed = self.between_frames(x, past)
        return self.project(mixed if self.shift is None else mixed + self.shift)


@dataclass
class BlockState(State):
    """What a block keeps while it generates.

    `heard` (2, 2, B, H, T, E): keys and values of both self-attentions; `pasts` of the convolutions.
    """

    heard: Tensor
    pasts: list[Tensor]


class TargetBlock(nn.Module):
    """Self- and mixture attention, wide causal convolutions, both attentions again, feed-forward, all pre-norm.

    (B, C, F, n) with the mixture's map of the level (B, C', F, T) -> (B, 1, F, n).
    """

    def __init__(
        self,
        channels: int,
        memory_channels: int,
        bins: int,
        heads: int,
        feed_forward: int,
        window: int,
        dropout: float,
        bias: bool,
    ) -> None:
        super().__init__()
        wide = 2 * feed_forward
        self.to_token = ToToken(channels, bias)
        self.memory_to_token = ToToken(memory_channels, bias)
        self.norms = nn.ModuleList(nn.LayerNorm(bins) for _ in range(5))
        self.self_attention = nn.ModuleList(DistanceAttention(bins, heads, window) for _ in range(2))
        self.mixture_attention = nn.ModuleList(DistanceAttention(bins, heads, window) for _ in range(2))
        self.wide_left = CausalBranch(bins, wide, 11, bias)
        self.wide_right = CausalBranch(bins, feed_forward // 2, 7, bias)
        self.norm_wide = nn.LayerNorm(wide)
        self.narrow = CausalBranch(wide, bins, 7, bias)
        self.expand = nn.Linear(bins, wide, bias=bias)
        self.contract = nn.Linear(wide, bins, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def init_state(self, batch: int) -> BlockState:
        attention = self.self_attention[0]
        assert isinstance(attention, DistanceAttention)
        width, window = attention.out.in_features, attention.window
        heard = attention.out.weight.new_zeros(2, 2, batch, attention.heads, window, width // attention.heads)
        return BlockState(heard, [branch.init_past(batch) for branch in self._branches()])

    def remember(self, memory: Tensor) -> list[Tensor]:
        """Keys and values of the mixture for both attentions, each (2, B, H, T, E)."""
        tokens = self.memory_to_token(memory)
        return [attention.keys_values(tokens) for attention in self.mixture_attention]  # type: ignore[operator]

    def forward(self, x: Tensor, remembered: list[Tensor], first: int, state: BlockState | None) -> Tensor:
        """Without `state` x is all frames from 0; with it, those from `first`, and the state goes on."""
        x = self.to_token(x)

        def listen(index: int, h: Tensor) -> Tensor:
            attention = self.self_attention[index]
            keys_values = attention.keys_values(h)  # type: ignore[operator]
            if state is not None:
                end = first + h.shape[1]
                state.heard[index, :, :, :, first:end] = keys_values
                keys_values = state.heard[index, :, :, :, :end]
            return attention(h, keys_values, first, causal=True)

        def compare(index: int, h: Tensor) -> Tensor:
            return self.mixture_attention[index](h, remembered[index], first, causal=False)

        def convolve(h: Tensor) -> Tensor:
            left, right, narrow = state.pasts if state is not None else (None, None, None)
            wide = add_padded(F.relu(self.wide_left(h, left)), self.wide_right(h, right))
            return self.narrow(self.norm_wide(wide), narrow)

        branches = (
            lambda h: listen(0, h) + compare(0, h),
            convolve,
            partial(listen, 1),
            partial(compare, 1),
            lambda h: self.contract(F.silu(self.expand(h))),
        )
        for norm, branch in zip(self.norms, branches, strict=True):
            x = x + self.dropout(branch(norm(x)))
        return x.transpose(1, 2)[:, None]

    def _branches(self) -> tuple[CausalBranch, CausalBranch, CausalBranch]:
        return self.wide_left, self.wide_right, self.narrow
