"""Layers of our own networks. Channels come last, so that everything is a matrix product.

Layers that use other frames take an optional buffer of past frames: without it the past is silence and the call is the
whole recording; with it the call is one step, and the buffer is updated in place.

Dimensions: B batch, T frames, F bins, C channels, D width of a token.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class FrameConv(nn.Module):
    """N×1 convolution along frequency, kernel twice the stride: (B, T, F, C) -> (B, T, F / stride, C').

    Frames never mix. Each window is two neighbouring patches of `stride` bins, so that the convolution is one product.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.project = nn.Linear(2 * stride * channels_in, channels_out)

    def forward(self, x: Tensor) -> Tensor:
        batch, frames, bins, channels = x.shape
        edge = self.stride // 2
        patches = F.pad(x, (0, 0, edge, edge)).reshape(batch, frames, bins // self.stride + 1, self.stride * channels)
        return self.project(torch.cat([patches[:, :, :-1], patches[:, :, 1:]], dim=-1))


class FrameConvTransposed(nn.Module):
    """The reverse of `FrameConv`: (B, T, F, C) -> (B, T, F * stride, C'); a bin adds to two patches."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.project = nn.Linear(channels_in, 2 * stride * channels_out, bias=False)
        self.bias = nn.Parameter(torch.zeros(channels_out))

    def forward(self, x: Tensor) -> Tensor:
        batch, frames, bins, _ = x.shape
        first, second = self.project(x).chunk(2, dim=-1)
        patches = F.pad(first, (0, 0, 0, 1)) + F.pad(second, (0, 0, 1, 0))
        edge = self.stride // 2
        wide = patches.reshape(batch, frames, (bins + 1) * self.stride, -1)
        return wide[:, :, edge : edge + bins * self.stride] + self.bias


def sum_taps(x: Tensor, weight: Tensor) -> Tensor:
    """y[t] = sum over taps i of weight[i] * x[t + i]: (B, T + taps - 1, D) with (taps, D) -> (B, T, D)."""
    frames = x.shape[1] - weight.shape[0] + 1
    if frames == 1:
        return (x * weight).sum(dim=1, keepdim=True)
    total = x[:, :frames] * weight[0]
    for tap in range(1, weight.shape[0]):
        total.addcmul_(x[:, tap : tap + frames], weight[tap])
    return total


class _SumTaps(torch.autograd.Function):
    """`sum_taps` with its gradient written out: that of a slice would fill a tensor of zeros for each tap."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return sum_taps(x, weight)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        (gradient,) = gradients
        x, weight = ctx.saved_tensors
        frames = gradient.shape[1]
        to_x = torch.zeros_like(x)
        to_weight = torch.empty_like(weight)
        for tap in range(weight.shape[0]):
            to_x[:, tap : tap + frames].addcmul_(gradient, weight[tap])
            to_weight[tap] = (gradient * x[:, tap : tap + frames]).sum(dim=(0, 1))
        return to_x, to_weight


class CausalDepthwise(nn.Module):
    """Depthwise convolution over frames that never looks ahead: (B, T, D) -> (B, T, D). Starts as the identity."""

    def __init__(self, width: int, taps: int) -> None:
        super().__init__()
        self.past_frames = taps - 1
        self.weight = nn.Parameter(torch.zeros(taps, width))
        with torch.no_grad():
            self.weight[-1] = 1.0

    def forward(self, x: Tensor, past: Tensor | None = None) -> Tensor:
        """`past`: (B, taps - 1, D), updated in place."""
        if past is None:
            past_and_x = F.pad(x, (0, 0, self.past_frames, 0))
        else:
            past_and_x = torch.cat([past, x], dim=1)
            past.copy_(past_and_x[:, x.shape[1] :])
        # Outside training the wrapper would cost more than the sum.
        return (_SumTaps.apply if torch.is_grad_enabled() else sum_taps)(past_and_x, self.weight)


class RunningScale(nn.Module):
    """Root mean square of the magnitudes over the last `memory_frames` frames that sound.

    A quieter song then looks the same to the network. Digital silence neither counts nor lowers the scale, and what
    left the window is forgotten exactly, so that a song's start has no say in its end.
    """

    SILENCE_ENERGY = 1e-8  # mean squared magnitude; the dither of a 16-bit file lies above it

    def __init__(self, memory_frames: int) -> None:
        super().__init__()
        self.past_frames = memory_frames - 1

    def forward(self, magnitudes: Tensor, past: Tensor | None = None) -> Tensor:
        """(B, T, F, C) -> scale (B, T); `past`: energies of the frames before, (B, memory - 1), updated in place."""
        energy = magnitudes.square().mean(dim=(2, 3))
        energy = torch.where(energy > self.SILENCE_ENERGY, energy, torch.zeros_like(energy))
        frames = energy.shape[1]
        whole = F.pad(energy, (self.past_frames, 0)) if past is None else torch.cat([past, energy], dim=1)
        if past is not None:
            past.copy_(whole[:, frames:])
        windows = whole.unfold(1, self.past_frames + 1, 1)
        sounding = (windows > 0).sum(dim=-1)
        mean = windows.sum(dim=-1) / sounding.clamp(min=1)
        return torch.where(sounding > 0, mean, torch.ones_like(mean)).sqrt()
