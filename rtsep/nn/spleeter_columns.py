"""The layers of Spleeter's U-net for a few columns at a time.

A column is a level's map at one time: (F, C), F bins with their channels innermost. For the few columns at the end of a
window a convolution is one matrix product: its rows are the bins, and it goes from the taps of all columns at once to
all columns that are wanted. What would be multiplied with the zeros beyond a window is left out of the matrix.

Letters: B batch, F bins, C channels, n columns; C' and n' those that come out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rtsep.nn.spleeter_unet import FrozenNorm, Raise, UNet

Activation = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Affine:
    """A norm whose statistics do not move: a gain and a bias for each channel."""

    gain: Tensor
    bias: Tensor

    @classmethod
    def of(cls, norm: FrozenNorm) -> Affine:
        gain = norm.weight * (norm.get_buffer("running_var") + norm.EPSILON).rsqrt()
        return cls(gain, norm.bias - gain * norm.get_buffer("running_mean"))

    def __call__(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """Of (..., C)."""
        return torch.addcmul(self.bias, x, self.gain, out=out)


class AlongBins:
    """Columns (B, n, F, C) to columns (B, n', F', C'), as a product for each of the bins that one place gives.

    Args:
        kernels: (C', n', C, n, taps) for every bin of a place: from the lowest `taps` bins of it, in all columns.
        bias: (C',).
        stride: bins from one place to the next.
        padding: zeros below the lowest bin and above the highest.
        activation: of what goes in, behind its norm.
    """

    def __init__(
        self,
        kernels: list[Tensor],
        bias: Tensor,
        stride: int,
        padding: tuple[int, int],
        activation: Activation | None = None,
    ) -> None:
        self._activation = activation
        self._columns, self._channels = kernels[0].shape[1], kernels[0].shape[0]
        self._taps = max(kernel.shape[4] for kernel in kernels)
        self._weights = [kernel.permute(1, 0, 4, 3, 2).flatten(2).flatten(0, 1).contiguous().t() for kernel in kernels]
        self._bias = bias.repeat(self._columns)
        self._stride, (self._below, self._above) = stride, padding

    def __call__(self, x: Tensor, norm: Affine | None, skip: Tensor | None = None) -> Tensor:
        """Of `norm(x)`, behind the channels of `skip` if there is one."""
        batch, columns, bins, channels = x.shape
        first = 0 if skip is None else skip.shape[3]
        channels += first
        padded = x.new_empty(batch, columns, self._below + bins + self._above, channels)
        padded[:, :, : self._below] = 0
        padded[:, :, self._below + bins :] = 0
        inside = padded[:, :, self._below : self._below + bins]
        if skip is not None:
            inside[..., :first] = skip
        if norm is None:
            inside[..., first:] = x
        else:
            norm(x, out=inside[..., first:])
        if self._activation is not None:
            self._activation(padded)  # zeros stay zeros
        places = bins // self._stride
        step = padded.stride()
        taps = padded.as_strided(
            (batch, places, self._taps, columns, channels), (step[0], self._stride * step[2], step[2], step[1], 1)
        )
        rows = taps.reshape(batch * places, -1)
        out = rows.new_empty(len(rows), len(self._weights), len(self._bias))
        for index, weight in enumerate(self._weights):
            torch.addmm(self._bias, rows[:, : len(weight)], weight, out=out[:, index])
        found = out.view(batch, places * len(self._weights), self._columns, self._channels)
        return found.transpose(1, 2)


def narrowing(conv: nn.Conv2d, columns: int, activation: Activation) -> AlongBins:
    """A convolution of stride 2 with zeros around: from all n columns of a window to all n / 2."""
    assert conv.bias is not None
    kernel = conv.weight.new_zeros(conv.out_channels, columns // 2, conv.in_channels, columns, 5)
    for out in range(columns // 2):
        for column in range(max(0, 2 * out - 1), min(columns, 2 * out + 4)):
            kernel[:, out, :, column] = conv.weight[:, :, column - 2 * out + 1]
    return AlongBins([kernel], conv.bias, 2, (1, 2), activation)


def widening(layer: Raise, columns: int, wanted: int) -> AlongBins:
    """A transposed convolution: from the last n columns of a window to the last n' of twice as many.

    The first of the n' may not hear a column before the n: it is wanted there only where the window begins.
    """
    assert layer.bias is not None
    # Even bins hear the bin below and their own, odd ones that above too; the taps of a transposed kernel go backwards.
    orders = ([3, 1], [4, 2, 0])
    kernels = [layer.weight.new_zeros(layer.out_channels, wanted, layer.in_channels, columns, len(o)) for o in orders]
    for out in range(wanted):
        for column in range(columns):
            tap = 2 * columns - wanted + out + 1 - 2 * column
            if 0 <= tap < 5:
                for kernel, order in zip(kernels, orders, strict=True):
                    kernel[:, out, :, column] = layer.weight[:, :, tap, order].transpose(0, 1)
    return AlongBins(kernels, layer.bias, 1, (1, 1))


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
        self._narrow = [
            narrowing(convolutions[i], whole >> (i - shallow), unet.activate_down) for i in range(shallow, depth)
        ]
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
        """Columns (B, n, F / 2, C') of a shallow level from the last 2 n + 1 of that above, (B, 2 n + 1, F, C).

        Both are before norm and activation; of the frames there is neither.
        """
        batch, columns, bins, channels = x.shape
        padded = x.new_empty(batch, columns + 2, bins + 3, channels)
        padded[:, columns:] = 0
        padded[:, :, 0] = 0
        padded[:, :, bins + 1 :] = 0
        inside = padded[:, :columns, 1 : bins + 1]
        if level == 1:
            inside.copy_(x)
        else:
            self._down_norms[level - 2](x, out=inside)
            self._down_activation(padded)  # zeros stay zeros
        weight, bias = self._convolutions[level - 1]
        return F.conv2d(padded.permute(0, 3, 1, 2), weight, bias, stride=2).permute(0, 2, 3, 1)

    def deep(self, x: Tensor) -> Tensor:
        """What the deep levels make of the window's columns of the last shallow one, before norm and activation."""
        x = self._narrow[0](x, self._down_norms[self._shallow - 1])
        skips: list[Tensor] = []
        for narrow, norm in zip(self._narrow[1:], self._down_norms[self._shallow :], strict=False):
            skips.append(x)
            x = narrow(x, norm)
        before: Affine | None = None
        skip = None
        for widen, norm in self._widen:
            x = self._up_activation(widen(x, before, skip))
            before, skip = norm, skips.pop() if skips else None
        assert before is not None
        return before(x)

    def decode(self, x: Tensor, skips: list[Tensor]) -> Tensor:
        """The output's last frames (B, n, F, C), from what `deep` gave and the skips of the shallow levels."""
        before: Affine | None = None
        for (widen, norm), skip in zip(self._decode, reversed(skips), strict=True):
            x = self._up_activation(widen(x, before, skip))
            before = norm
        assert before is not None
        x = before(x)
        maps = F.pad(x.permute(0, 3, 1, 2), (0, 0, 0, 3))
        return F.conv2d(maps, self._out_weight, self._out_bias, dilation=2, padding=(0, 3)).permute(0, 2, 3, 1)
