"""The vocal remover of tsurumeso, versions 5 and 6: U-nets over bands of bins, each stage fed by those before it.

Two narrow U-nets process the lower and upper half of the spectrum, two wider ones process them again together with the
first outputs, and the last processes the whole spectrum with all outputs. Each U-net has a recurrent layer over frames
at half resolution. Source: github.com/tsurumeso/vocal-remover, tags v5.1.1 and v6.0.0b4.

The input is divided by the largest magnitude of the song; a window has 256 frames, and the masks of the outer 64 at
either end are discarded. The variants for complex spectra are not supported: their masks are complex, ours are real.

Dimensions: B batch, S stems, C channels, F bins, T frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rtsep.nn.convolution import ConvNorm
from rtsep.nn.masks import repeat_top_bin
from rtsep.nn.windowed import WindowNetwork

STEMS = ("instrumental", "vocals")


class Pyramid(nn.Module):
    """Atrous spatial pyramid pooling: the mean over bins, the bin itself and three dilated views, joined."""

    DILATIONS = ((4, 2), (8, 4), (12, 6))  # (frequency, time)

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mean = ConvNorm(channels, channels, 1, nn.ReLU())
        self.point = ConvNorm(channels, channels, 1, nn.ReLU())
        self.dilated = nn.ModuleList(
            ConvNorm(channels, channels, 3, nn.ReLU(), dilation=dilation) for dilation in self.DILATIONS
        )
        self.join = ConvNorm(5 * channels, channels, 1, nn.ReLU())
        self.dropout = nn.Dropout2d(0.1)

    def forward(self, x: Tensor) -> Tensor:
        mean = self.mean(x.mean(dim=2, keepdim=True)).expand_as(x)
        views = [mean, self.point(x), *(conv(x) for conv in self.dilated)]
        return self.dropout(self.join(torch.cat(views, dim=1)))


class Recurrence(nn.Module):
    """All maps squeezed into one, and an LSTM over its frames in both directions: (B, C, F, T) -> (B, 1, F, T)."""

    def __init__(self, channels: int, bins: int, width: int) -> None:
        super().__init__()
        self.squeeze = ConvNorm(channels, 1, 1, nn.ReLU())
        self.lstm = nn.LSTM(bins, width // 2, batch_first=True, bidirectional=True)
        self.expand = nn.Sequential(nn.Linear(width, bins), nn.BatchNorm1d(bins), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        frames = self.squeeze(x)[:, 0].transpose(1, 2)
        hidden, _ = self.lstm(frames)
        expanded = self.expand(hidden.flatten(0, 1)).view_as(frames)
        return expanded.transpose(1, 2)[:, None]


class BandNet(nn.Module):
    """U-net over one band: (B, C, F, T) -> (B, width, F, T), F = `bins` and T multiples of 16."""

    def __init__(self, channels_in: int, width: int, bins: int, lstm_width: int) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 6 * width, 8 * width]
        self.stem = ConvNorm(channels_in, width, 3, nn.ReLU())
        self.encoder = nn.ModuleList(
            nn.Sequential(
                ConvNorm(wide, deep, 3, nn.LeakyReLU(), stride=2),
                ConvNorm(deep, deep, 3, nn.LeakyReLU()),
            )
            for wide, deep in pairwise(widths)
        )
        self.pyramid = Pyramid(widths[4])
        joined = [widths[4] + widths[3], widths[3] + widths[2], widths[2] + widths[1], widths[1] + 1 + widths[0]]
        self.decoder = nn.ModuleList(
            ConvNorm(channels, wide, 3, nn.ReLU()) for channels, wide in zip(joined, widths[3::-1], strict=True)
        )
        self.recurrence = Recurrence(widths[1], bins // 2, lstm_width)

    def forward(self, x: Tensor) -> Tensor:
        skips = [self.stem(x)]
        for encode in self.encoder:
            skips.append(encode(skips[-1]))
        x = self.pyramid(skips.pop())
        *lower, top = self.decoder
        for decode in lower:
            x = decode(torch.cat([_twice(x), skips.pop()], dim=1))
        x = torch.cat([x, self.recurrence(x)], dim=1)
        return top(torch.cat([_twice(x), skips.pop()], dim=1))


class CascadedNet(WindowNetwork):
    """Masks of instrumental and vocals from a window of magnitudes: (B, C, F, T) -> (B, 2, C, F + 1, T).

    T is a multiple of 16.

    Args:
        stems: instrumental, vocals, in this order.
        channels, bins: as in the input; bins a multiple of 32.
        version: 5 has one mask, and vocals are what it leaves; 6 has a mask for each, and their sum is free.
        width: maps of the last stage at full resolution.
        lstm_width: of both directions together, in the lower bands.
    Raises ValueError for other stems, versions or bins.
    """

    frames_multiple = 16

    def __init__(
        self,
        stems: Sequence[str] = STEMS,
        channels: int = 2,
        bins: int = 1024,
        version: int = 5,
        width: int = 32,
        lstm_width: int = 128,
    ) -> None:
        super().__init__()
        if tuple(stems) != STEMS:
            raise ValueError(f"stems must be {list(STEMS)}, got {list(stems)}")
        if version not in (5, 6) or bins % 32:
            raise ValueError(f"expected version 5 or 6 and a multiple of 32 bins, got version {version}, {bins} bins")
        self.stems, self.channels, self.bins, self.version = tuple(stems), channels, bins, version
        half, quarter, band = width // 2, width // 4, bins // 2
        self.stage1_low = nn.Sequential(
            BandNet(channels, half, band, lstm_width), ConvNorm(half, quarter, 1, nn.ReLU())
        )
        self.stage1_high = BandNet(channels, quarter, band, lstm_width // 2)
        self.stage2_low = nn.Sequential(
            BandNet(channels + quarter, width, band, lstm_width), ConvNorm(width, half, 1, nn.ReLU())
        )
        self.stage2_high = BandNet(channels + quarter, half, band, lstm_width // 2)
        self.stage3 = BandNet(channels + quarter + half, width, bins, lstm_width)
        self.out = nn.Conv2d(width, channels * (version - 4), 1, bias=False)
        if version == 5:
            # The loss of earlier versions looked at the first stages through it; version 5.1 only carries it along.
            self.auxiliary_out = nn.Conv2d(quarter + half, channels, 1, bias=False)

    def forward(self, magnitudes: Tensor) -> Tensor:
        low, high = magnitudes.chunk(2, dim=2)
        low1, high1 = self.stage1_low(low), self.stage1_high(high)
        low2 = self.stage2_low(torch.cat([low, low1], dim=1))
        high2 = self.stage2_high(torch.cat([high, high1], dim=1))
        answers = [torch.cat([low1, high1], dim=2), torch.cat([low2, high2], dim=2)]
        masks = self.out(self.stage3(torch.cat([magnitudes, *answers], dim=1))).sigmoid()
        masks = masks.unflatten(1, (-1, self.channels))
        if self.version == 5:
            masks = torch.cat([masks, 1 - masks], dim=1)
        return repeat_top_bin(masks.flatten(1, 2)).unflatten(1, (2, self.channels))


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
