"""The layers of Spleeter's U-net for a few columns at a time.

A column is a level's map at one time: (F, C), F bins with their channels innermost. For the few columns at the end of a
window a convolution is one matrix product: its rows are the bins, and it goes from the taps of all columns at once to
all columns that are wanted. What would be multiplied with the zeros beyond a window is left out of the matrix.

Letters: B batch, F bins, C channels, n columns; C' and n' those that come out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rtsep.nn.spleeter_unet import FrozenNorm, Raise, UNet


@dataclass(frozen=True)
class Affine:
    """A norm whose statistics do not move: a gain and a bias for each channel."""

    gain: Tensor
    bias: Tensor

    @classmethod
    def of(cls, norm: FrozenNorm) -> Affine:
        gain = norm.weight * (norm.get_buffer("running_var") + norm.EPSILON).rsqrt()
        return cls(gain, norm.bias - gain * norm.get_buffer("running_mean"))

    def __call__(self, x: Tensor) -> Tensor:
        """Of (..., C)."""
        return torch.addcmul(self.bias, x, self.gain)


class AlongBins:
    """Columns (B, n, F, C) to columns (B, n', F', C'), as one product for every bin that comes out.

    Args:
        kernel: (C', n', bins, C, n, taps): from `taps` bins of all columns to `bins` bins of all that are wanted.
        bias: (C',).
        stride: F' is F * bins / stride.
        padding: zeros below the lowest bin and above the highest.
    """

    def __init__(self, kernel: Tensor, bias: Tensor, stride: int, padding: tuple[int, int]) -> None:
        self.out_channels, self.out_columns, self.out_bins, _, _, self.taps = kernel.shape
        self.weight = kernel.permute(2, 1, 0, 4, 5, 3).flatten(3).flatten(0, 2).contiguous()
        self.bias = bias.repeat(self.out_bins * self.out_columns)
        self.stride, self.padding = stride, padding

    def __call__(self, x: Tensor) -> Tensor:
        padded = F.pad(x, (0, 0, *self.padding)).contiguous()
        batch, columns, bins, channels = padded.shape
        places = (bins - self.taps) // self.stride + 1
        step = padded.stride()
        rows = padded.as_strided(
            (batch, places, columns, self.taps * channels), (step[0], self.stride * channels, step[1], 1)
        )
        found = F.linear(rows.reshape(batch * places, -1), self.weight, self.bias)
        parts = found.view(batch, places, self.out_bins, self.out_columns, self.out_channels)
        return parts.permute(0, 3, 1, 2, 4).flatten(2, 3)


def narrowing(conv: nn.Conv2d, columns: int) -> AlongBins:
    """A convolution of stride 2 with zeros around: from all n columns of a window to all n / 2."""
    weight = conv.weight
    kernel = weight.new_zeros(len(weight), columns // 2, 1, conv.in_channels, columns, 5)
    for out in range(columns // 2):
        for column in range(max(0, 2 * out - 1), min(columns, 2 * out + 4)):
            kernel[:, out, 0, :, column] = weight[:, :, column - 2 * out + 1]
    assert conv.bias is not None
    return AlongBins(kernel, conv.bias, 2, (1, 2))


def widening(layer: Raise, columns: int, wanted: int) -> AlongBins:
    """A transposed convolution: from the last n columns of a window to the last n' of twice as many.

    The first of the n' may not hear a column before the n: it is wanted there only where the window begins.
    """
    taps = layer.weight.new_zeros(layer.out_channels, wanted, 2, layer.in_channels, columns, 3)
    for out in range(wanted):
        for column in range(columns):
            tap = 2 * columns - wanted + out + 1 - 2 * column
            if 0 <= tap < 5:
                kernel = layer.weight[:, :, tap].permute(1, 0, 2)  # (C', C, 5)
                # Even bins hear the bin below and their own, by taps 3 and 1; odd ones that above too, by 4, 2, 0.
                taps[:, out, 0, :, column, :2] = kernel[:, :, [3, 1]]
                taps[:, out, 1, :, column] = kernel[:, :, [4, 2, 0]]
    assert layer.bias is not None
    return AlongBins(taps, layer.bias, 1, (1, 1))


class ColumnUNet:
    """The layers of a U-net, arranged for the columns that a window computes.

    Args:
        shallow: levels whose columns are kept.
        whole: columns of the last shallow level in a window.
        decoded: columns of each level from the frames to the last shallow one that the decoder reads.
    """

    def __init__(self, unet: UNet, shallow: int, whole: int, decoded: list[int]) -> None:
        depth = len(unet.down)
        self._down_activation, self._up_activation = unet.activate_down, unet.activate_up
        convolutions = [conv for conv in unet.down if isinstance(conv, nn.Conv2d)]
        self._convolutions = [
            (conv.weight.contiguous(memory_format=torch.channels_last), conv.bias) for conv in convolutions[:shallow]
        ]
        self._down_norms = [Affine.of(norm) for norm in unet.down_norms]  # type: ignore[arg-type]
        up_norms = [Affine.of(norm) for norm in unet.up_norms]  # type: ignore[arg-type]
        self._narrow = [narrowing(unet.down[i], whole >> (i - shallow)) for i in range(shallow, depth)]  # type: ignore[arg-type]
        sizes = [whole >> i for i in range(depth - shallow, -1, -1)]
        sizes[-1] = decoded[shallow]
        self._widen = [
            (widening(unet.up[i], sizes[i], sizes[i + 1]), up_norms[i])  # type: ignore[arg-type]
            for i in range(depth - shallow)
        ]
        self._decode = [
            (widening(unet.up[depth - level], decoded[level], decoded[level - 1]), up_norms[depth - level])  # type: ignore[arg-type]
            for level in range(shallow, 0, -1)
        ]
        assert unet.out.bias is not None
        self._out_weight, self._out_bias = unet.out.weight, unet.out.bias
        self._shallow = shallow

    def encode(self, level: int, x: Tensor) -> Tensor:
        """Columns (B, n, F / 2, C') of a shallow level before norm and activation, from the last 2 n + 1 above it."""
        weight, bias = self._convolutions[level - 1]
        maps = F.pad(x, (0, 0, 1, 2, 0, 2)).permute(0, 3, 1, 2)
        return F.conv2d(maps, weight, bias, stride=2).permute(0, 2, 3, 1)

    def activate(self, level: int, x: Tensor) -> Tensor:
        """Norm and activation of a level's columns, as the next level reads them."""
        return self._down_activation(self._down_norms[level - 1](x))

    def deep(self, x: Tensor) -> Tensor:
        """What the deep levels make of the window's activated columns of the last shallow one."""
        x = self._narrow[0](x)
        skips = []
        for level, narrow in enumerate(self._narrow[1:], start=self._shallow + 1):
            skips.append(x)
            x = narrow(self.activate(level, x))
        for widen, norm in self._widen:
            x = norm(self._up_activation(widen(x)))
            if skips:
                x = torch.cat([skips.pop(), x], dim=3)
        return x

    def decode(self, x: Tensor, skips: list[Tensor]) -> Tensor:
        """The output's last frames (B, n, F, C), from what `deep` gave and the skips of the shallow levels."""
        for (widen, norm), skip in zip(self._decode, reversed(skips), strict=True):
            x = norm(self._up_activation(widen(torch.cat([skip, x], dim=3))))
        maps = F.pad(x.permute(0, 3, 1, 2), (0, 0, 0, 3))
        return F.conv2d(maps, self._out_weight, self._out_bias, dilation=2, padding=(0, 3)).permute(0, 2, 3, 1)
