"""The blocks of carperbr's frame transformer: convolutions along frequency alone, and its two transformer blocks.

An evolved transformer (So et al. 2019, arXiv:1901.11117) with the squared ReLU of Primer, over tokens that are one map
of a level: in_project makes one channel of many, and the block's answer is one channel more.

Dimensions: B batch, C channels (maps), F bins of the level, T frames; tokens are (B, T, F).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rtsep.nn.band_attention import BandAttention
from rtsep.nn.convolution import ConvNorm

KERNEL = (3, 1)


class BinNorm(nn.LayerNorm):
    """Layer normalisation over the bins of each map and frame: (B, C, F, T)."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.transpose(2, 3)).transpose(2, 3)


class NormConv(nn.Sequential):
    """Normalisation over `bins`, LeakyReLU, N×1 convolution: (B, C, F, T) -> (B, C', F / stride, T)."""

    def __init__(self, channels_in: int, channels_out: int, bins: int, stride: int = 1) -> None:
        conv = nn.Conv2d(channels_in, channels_out, KERNEL, (stride, 1), (1, 0), bias=False)
        super().__init__(BinNorm(bins), nn.LeakyReLU(), conv)


class ResidualConv(nn.Module):
    """N×1 convolutions beside a plain projection."""

    def __init__(self, body: nn.Module, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__()
        self.body = body
        self.identity = nn.Conv2d(channels_in, channels_out, 1, (stride, 1), bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + self.identity(x)


def frame_conv(channels_in: int, channels_out: int, stride: int = 1) -> ConvNorm:
    return ConvNorm(channels_in, channels_out, KERNEL, nn.LeakyReLU(), stride=(stride, 1))


def down_block(channels_in: int, channels_out: int, bins: int, residual: bool) -> nn.Module:
    """Two convolutions, the second of stride 2: (B, C, F, T) -> (B, C', ceil(F / 2), T), F = `bins`."""
    if not residual:
        return nn.Sequential(frame_conv(channels_in, channels_out), frame_conv(channels_out, channels_out, 2))
    body = nn.Sequential(NormConv(channels_in, channels_out, bins), NormConv(channels_out, channels_out, bins, 2))
    return ResidualConv(body, channels_in, channels_out, 2)


def up_block(channels_in: int, channels_out: int, bins: int, residual: bool) -> nn.Module:
    """One convolution over a level and its skip, joined: (B, C, F, T) -> (B, C', F, T)."""
    if not residual:
        return nn.Sequential(frame_conv(channels_in, channels_out))
    return ResidualConv(nn.Sequential(NormConv(channels_in, channels_out, bins)), channels_in, channels_out)


class ToToken(nn.Linear):
    """One map of many: (B, C, F, T) -> (B, T, F)."""

    def __init__(self, channels: int, bias: bool) -> None:
        super().__init__(channels, 1, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.transpose(1, 3)).squeeze(3)


def depthwise(channels_in: int, channels_out: int, taps: int, bias: bool) -> nn.Sequential:
    """Centred depthwise convolution over frames and a projection: (B, C, T) -> (B, C', T)."""
    return nn.Sequential(
        nn.Conv1d(channels_in, channels_in, taps, padding=taps // 2, groups=channels_in, bias=bias),
        nn.Conv1d(channels_in, channels_out, 1, bias=bias),
    )


class EncoderBlock(nn.Module):
    """Gate, wide convolutions, attention, feed-forward; each pre-norm with a residual: (B, C, F, T) -> (B, 1, F, T)."""

    def __init__(
        self, channels: int, bins: int, heads: int, feed_forward: int, window: int, taps: int, rel: str, bias: bool
    ) -> None:
        super().__init__()
        self.to_token = ToToken(channels, bias)
        self.norms = nn.ModuleList(nn.LayerNorm(bins) for _ in range(4))
        self.gate = nn.Linear(bins, 2 * bins, bias=bias)
        self.wide_left = nn.Linear(bins, feed_forward, bias=bias)
        self.wide_right = nn.Conv1d(bins, feed_forward // 4, 3, padding=1, bias=bias)
        self.norm_wide = nn.LayerNorm(feed_forward)
        self.narrow = depthwise(feed_forward, bins, 9, bias)
        self.attention = BandAttention(bins, heads, window, taps, rel)
        self.expand = nn.Linear(bins, feed_forward, bias=bias)
        self.contract = nn.Linear(feed_forward, bins, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.to_token(x)
        x = x + F.glu(self.gate(self.norms[0](x)), dim=-1)
        h = self.norms[1](x)
        right = F.relu(self.wide_right(h.transpose(1, 2))).transpose(1, 2)
        h = self.norm_wide(add_padded(F.relu(self.wide_left(h)), right))
        x = x + self.narrow(h.transpose(1, 2)).transpose(1, 2)
        x = x + self.attention(self.norms[2](x))
        x = x + self.contract(F.relu(self.expand(self.norms[3](x))).square())
        return x.transpose(1, 2)[:, None]


class DecoderBlock(nn.Module):
    """Self- and skip attention side by side, wide convolutions, both attentions again, feed-forward.

    (B, C, F, T) with the encoder's map of the level (B, C', F, T) -> (B, 1, F, T).

    Args:
        wide: widths of the left and right wide convolutions.
        post_norm: normalise after each residual, not before each branch.
    """

    def __init__(
        self,
        channels: int,
        skip_channels: int,
        bins: int,
        heads: int,
        feed_forward: int,
        wide: tuple[int, int],
        window: int,
        taps: int,
        rel: str,
        bias: bool,
        post_norm: bool,
    ) -> None:
        super().__init__()
        self.post_norm = post_norm
        self.to_token = ToToken(channels, bias)
        self.skip_to_token = ToToken(skip_channels, bias)
        self.norms = nn.ModuleList(nn.LayerNorm(bins) for _ in range(5))
        self.self_attention = nn.ModuleList(BandAttention(bins, heads, window, taps, rel) for _ in range(2))
        self.skip_attention = nn.ModuleList(BandAttention(bins, heads, window, taps, rel) for _ in range(2))
        self.wide_left = depthwise(bins, wide[0], 11, bias)
        self.wide_right = depthwise(bins, wide[1], 7, bias)
        self.norm_wide = nn.LayerNorm(wide[0])
        self.narrow = depthwise(wide[0], bins, 7, bias)
        self.expand = nn.Linear(bins, feed_forward, bias=bias)
        self.contract = nn.Linear(feed_forward, bins, bias=bias)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x, memory = self.to_token(x), self.skip_to_token(skip)
        branches = (
            lambda h: self.self_attention[0](h) + self.skip_attention[0](h, memory),
            self._convolve,
            self.self_attention[1],
            lambda h: self.skip_attention[1](h, memory),
            lambda h: self.contract(F.relu(self.expand(h)).square()),
        )
        for norm, branch in zip(self.norms, branches, strict=True):
            if self.post_norm:
                x = norm(x + self.dropout(branch(x)))
            else:
                x = x + self.dropout(branch(norm(x)))
        return x.transpose(1, 2)[:, None]

    def _convolve(self, h: Tensor) -> Tensor:
        h = h.transpose(1, 2)
        left, right = F.relu(self.wide_left(h)).transpose(1, 2), self.wide_right(h).transpose(1, 2)
        return self.narrow(self.norm_wide(add_padded(left, right)).transpose(1, 2)).transpose(1, 2)


def add_padded(wide: Tensor, narrow: Tensor) -> Tensor:
    """The sum of two branches, the narrower one filled up with zeros."""
    return wide + F.pad(narrow, (0, wide.shape[-1] - narrow.shape[-1]))


def join(x: Tensor, further: Tensor) -> Tensor:
    """Channels side by side."""
    return torch.cat([x, further], dim=1)
