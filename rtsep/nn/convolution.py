"""Convolution, batch normalisation, activation: the building block of networks with foreign weights.

Channels come second, (B, C, F, T), as in those weights; `rtsep.nn.layers` has the layers of our own networks.
"""

from __future__ import annotations

from torch import nn


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
