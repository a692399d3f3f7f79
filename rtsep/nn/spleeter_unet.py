"""Spleeter's U-net, with transposed and dilated convolutions computed as plain ones, several times faster.

Sort the samples of a map by the parity of row and column: each of the four quarters of the output is a plain
convolution, of the whole input or of its quarters. The kernels for that are rearranged from those that are saved.

Letters: B batch, C channels, T frames, F bins. Frames come before bins, as in the kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# In place: their inputs are not needed afterwards.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "leaky_relu": lambda x: F.leaky_relu(x, 0.2, inplace=True),
    "relu": lambda x: F.relu(x, inplace=True),
    "elu": lambda x: F.elu(x, inplace=True),
}


class FrozenNorm(nn.Module):
    """Batch norm of (B, C, ...) whose statistics are part of the weights, in training too."""

    EPSILON = 1e-3

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        mean, variance = self.get_buffer("running_mean"), self.get_buffer("running_var")
        return F.batch_norm(x, mean, variance, self.weight, self.bias, training=False, eps=self.EPSILON)


class InQuarters(nn.Module):
    """A layer of (B, C, T, F) that computes the quarters of its output with one plain convolution."""

    weight: Tensor
    bias: Tensor | None
    _frozen: Tensor | None = None

    def quarter_kernel(self) -> Tensor:
        """(4 C', C, taps, taps), the quarters of a map side by side, for as many taps as reach both ways."""
        raise NotImplementedError

    def freeze(self) -> None:
        """Rearrange the kernel for the last time."""
        self._frozen = self.quarter_kernel().detach().contiguous(memory_format=torch.channels_last)

    def quarters(self, x: Tensor) -> Tensor:
        """(B, C, T, F) -> (B, C', 2 T, 2 F)"""
        kernel = self.quarter_kernel() if self._frozen is None else self._frozen
        assert self.bias is not None
        bias = self.bias.repeat_interleave(4)
        return F.pixel_shuffle(F.conv2d(x, kernel, bias, padding=kernel.shape[2] // 2), 2)


class Raise(InQuarters, nn.ConvTranspose2d):
    """Transposed 5×5 convolution of stride 2 with TensorFlow's SAME: (B, C, T, F) -> (B, C', 2 T, 2 F).

    An even sample hears the kernel's taps 1 and 3, an odd one 0, 2 and 4; the taps stand backwards.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, 5, stride=2)

    def quarter_kernel(self) -> Tensor:
        taps = F.pad(self.weight, (1, 0, 1, 0)).unflatten(3, (3, 2)).unflatten(2, (3, 2)).flip(2, 4)
        return taps.permute(1, 3, 5, 0, 2, 4).flatten(0, 2)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        return self.quarters(input)


class Dilated(InQuarters, nn.Conv2d):
    """4×4 convolution of one map with dilation 2 and SAME: (B, 1, T, F) -> (B, C, T, F), T and F even.

    Even samples hear odd ones alone, and odd ones even ones.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(1, channels, 4, dilation=2, padding=3)

    def quarter_kernel(self) -> Tensor:
        kernel = self.weight.new_zeros(self.out_channels, 2, 2, 2, 2, 5, 5)
        for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
            taps = F.pad(self.weight[:, 0], (column, 1 - column, row, 1 - row))
            kernel[:, row, column, 1 - row, 1 - column] = taps
        return kernel.flatten(3, 4).flatten(0, 2)

    def forward(self, input: Tensor) -> Tensor:
        return self.quarters(F.pixel_unshuffle(input, 2))


class UNet(nn.Module):
    """(B, C, T, F) -> (B, C, T, F) without a last activation; T and F multiples of 2 to the number of levels."""

    def __init__(self, channels: int, filters: Sequence[int], conv_activation: str, deconv_activation: str) -> None:
        super().__init__()
        self.activate_down, self.activate_up = ACTIVATIONS[conv_activation], ACTIVATIONS[deconv_activation]
        levels = range(len(filters))
        into = [channels, *filters]
        self.down = nn.ModuleList(nn.Conv2d(into[i], filters[i], 5, stride=2) for i in levels)
        self.down_norms = nn.ModuleList(FrozenNorm(size) for size in filters)  # the last is never used, yet saved
        out = [*reversed(filters[:-1]), 1]
        joined = [filters[-1], *(2 * size for size in out[:-1])]
        self.up = nn.ModuleList(Raise(joined[i], out[i]) for i in levels)
        self.up_norms = nn.ModuleList(FrozenNorm(size) for size in out)
        self.out = Dilated(channels)
        for layer in (*self.down, *self.up, self.out):
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def freeze(self) -> None:
        """Keep all kernels as they are computed with, for good: fast, and neither to be trained nor saved."""
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for layer in self.modules():
            if isinstance(layer, InQuarters):
                layer.freeze()

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.below(x, 0))

    def below(self, x: Tensor, level: int) -> Tensor:
        """What the levels below one make of its activated map: (B, C, T, F) -> (B, C', T, F), to join with its skip."""
        x = self.down[level](F.pad(x, (1, 2, 1, 2)))
        skips = []
        for conv, norm in zip(self.down[level + 1 :], self.down_norms[level:-1], strict=True):
            skips.append(x)
            x = conv(F.pad(self.activate_down(norm(x)), (1, 2, 1, 2)))
        levels = len(self.up) - level
        for conv, norm in zip(self.up[:levels], self.up_norms[:levels], strict=True):
            x = norm(self.activate_up(conv(x)))
            if skips:
                x = torch.cat([skips.pop(), x], dim=1)
        return x
