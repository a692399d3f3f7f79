"""D3Net: densely connected multidilated convolutions, one network for each stem (Takahashi and Mitsufuji 2021).

arXiv:2011.11844; sizes and details as in github.com/sony/ai-research-code, d3net/music-source-separation (cfe96df). The
dense connections are sums: every layer reads its own slice of the maps and adds to all slices after it, each with the
dilation that the distance asks for. A lower and an upper band and the whole go through U-nets of such blocks; a gated
1×1 convolution makes the stem's magnitude of them.

The authors let the mixture pass above the highest bin they process, in every stem, and leave it to the multichannel
Wiener filter behind it; here a mask has to rule that band, and it is the mean of the highest bins' masks. Convolution
kernels are (time, frequency): inside, maps are (B, C, T, F).

Dimensions: B batch, S stems, C channels, F bins, T frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rtsep.nn.masks import EstimateNetwork

FINAL_GROWTH, FINAL_LAYERS = 12, 3


@dataclass(frozen=True)
class Blocks:
    """A U-net of D3 blocks, from the top down and up again: growth `k`, layers `L` and dense blocks `M` of each."""

    k: tuple[int, ...]
    L: tuple[int, ...]
    M: tuple[int, ...]


@dataclass(frozen=True)
class Size:
    """A published size: `split` parts the lower from the upper band, in bins."""

    split: int
    low: Blocks
    high: Blocks
    full: Blocks


_HIGH = Blocks(k=(2,) * 5, L=(1,) * 5, M=(1,) * 5)
_VOCALS = Size(
    split=256,
    low=Blocks(k=(16, 18, 20, 22, 20, 18, 16), L=(5, 5, 5, 5, 4, 4, 4), M=(2,) * 7),
    high=_HIGH,
    full=Blocks(k=(13, 14, 15, 16, 17, 16, 14, 12, 11), L=(4, 5, 6, 7, 8, 6, 5, 4, 4), M=(2,) * 9),
)
SIZES = {
    "vocals": _VOCALS,
    "other": _VOCALS,
    "drums": Size(
        split=128,
        low=replace(_VOCALS.low, L=(5, 5, 5, 4, 4, 4, 4)),
        high=_HIGH,
        full=Blocks(k=(13, 14, 15, 16, 16, 16, 14, 12, 11), L=(4, 5, 6, 7, 8, 6, 6, 4, 4), M=(2,) * 9),
    ),
    "bass": Size(
        split=192,
        low=Blocks(k=(16, 18, 18, 20, 18, 16, 16), L=(5, 5, 5, 5, 4, 4, 4), M=(2,) * 7),
        high=Blocks(k=(2,) * 7, L=(1,) * 7, M=(1,) * 7),
        full=Blocks(k=(10, 10, 12, 14, 16, 14, 12, 8, 8), L=(4, 5, 6, 7, 8, 6, 6, 4, 4), M=(2,) * 9),
    ),
    # Ours, for slower machines: 0.6 of the lower band's growth and half of the full band's dense blocks.
    "lite": replace(
        _VOCALS,
        low=replace(_VOCALS.low, k=(10, 11, 12, 13, 12, 11, 10)),
        full=replace(_VOCALS.full, M=(1,) * 9),
    ),
}


class NormConv(nn.Sequential):
    """Batch normalisation, ReLU, dilated 3×3 convolution."""

    def __init__(self, channels_in: int, channels_out: int, dilation: int = 1) -> None:
        conv = nn.Conv2d(channels_in, channels_out, 3, padding=dilation, dilation=dilation)
        super().__init__(nn.BatchNorm2d(channels_in), nn.ReLU(), conv)


class Dense(nn.Module):
    """`first` gives all slices of `growth` maps; module i of `rest` reads slice i and adds to those after it."""

    def __init__(self, growth: int, first: nn.Module, rest: list[nn.Module]) -> None:
        super().__init__()
        self.growth, self.first, self.rest = growth, first, nn.ModuleList(rest)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, F) -> the last slice, (B, growth, T, F)."""
        slices = list(self.first(x).split(self.growth, dim=1))
        for index, module in enumerate(self.rest):
            for further, part in enumerate(module(slices[index]).split(self.growth, dim=1), start=index + 1):
                slices[further] = slices[further] + part
        return slices[-1]


def dilated_dense(channels_in: int, growth: int, layers: int) -> Dense:
    """D2 block: `layers` convolutions, dilated by 1, 2, 4, ..."""
    rest: list[nn.Module] = [
        NormConv(growth, growth * (layers - 1 - index), dilation=2 ** (index + 1)) for index in range(layers - 1)
    ]
    return Dense(growth, NormConv(channels_in, growth * layers), rest)


def nested_dense(channels_in: int, growth: int, layers: int, blocks: int) -> Dense:
    """D3 block: `blocks` D2 blocks, connected among each other as the layers in them are."""
    rest: list[nn.Module] = [
        dilated_dense(growth, growth * (blocks - 1 - index), layers) for index in range(blocks - 1)
    ]
    return Dense(growth, dilated_dense(channels_in, growth * blocks, layers), rest)


class BlockNet(nn.Module):
    """U-net of D3 blocks with average pooling: (B, C, T, F) -> (B, k, T, F), both divisible by 2 ** levels."""

    def __init__(self, channels_in: int, sizes: Blocks) -> None:
        super().__init__()
        depth = len(sizes.k) // 2
        parts = list(zip(sizes.k, sizes.L, sizes.M, strict=True))
        inputs = [channels_in, *sizes.k[:depth]]
        down = [nested_dense(maps, *part) for maps, part in zip(inputs, parts[: depth + 1], strict=True)]
        self.down, self.bottleneck = nn.ModuleList(down[:-1]), down[-1]
        from_below = sizes.k[depth:-1]
        self.raise_up = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(maps), nn.ConvTranspose2d(maps, maps, 2, stride=2)) for maps in from_below
        )
        skips = sizes.k[:depth][::-1]
        self.up = nn.ModuleList(
            nested_dense(below + skip, *part)
            for below, skip, part in zip(from_below, skips, parts[depth + 1 :], strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for block in self.down:
            x = block(x)
            skips.append(x)
            x = F.avg_pool2d(x, 2)
        x = self.bottleneck(x)
        for raise_up, block in zip(self.raise_up, self.up, strict=True):
            x = block(torch.cat([raise_up(x), skips.pop()], dim=1))
        return x


class StemNet(nn.Module):
    """The magnitude of one stem: (B, C, T, F) -> (B, C, T, F), 0 or more."""

    def __init__(self, size: Size, channels: int, bins: int) -> None:
        super().__init__()
        self.split = size.split
        self.register_buffer("input_mean", torch.zeros(bins))
        self.register_buffer("input_deviation", torch.ones(bins))
        self.low_in = nn.Conv2d(channels, 32, 3, padding=1)
        self.high_in = nn.Conv2d(channels, 8, 3, padding=1)
        self.full_in = nn.Conv2d(channels, 32, 3, padding=1)
        self.low, self.high, self.full = BlockNet(32, size.low), BlockNet(8, size.high), BlockNet(32, size.full)
        maps = size.low.k[-1]
        self.widen_high = nn.Sequential(nn.BatchNorm2d(size.high.k[-1]), nn.Conv2d(size.high.k[-1], maps, 1))
        self.final = dilated_dense(maps + size.full.k[-1], FINAL_GROWTH, FINAL_LAYERS)
        self.norm_out = nn.BatchNorm2d(FINAL_GROWTH)
        self.gate = nn.Conv2d(FINAL_GROWTH, channels, 1)
        self.filter = nn.Conv2d(FINAL_GROWTH, channels, 1)
        self.output_scale = nn.Parameter(torch.ones(bins))
        self.output_shift = nn.Parameter(torch.ones(bins))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_normal_(module.weight)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, magnitudes: Tensor) -> Tensor:
        x = (magnitudes - self.get_buffer("input_mean")) / self.get_buffer("input_deviation")
        low = self.low(self.low_in(x[..., : self.split]))
        high = self.widen_high(self.high(self.high_in(x[..., self.split :])))
        bands = torch.cat([low, high], dim=3)
        x = self.norm_out(self.final(torch.cat([bands, self.full(self.full_in(x))], dim=1)))
        return F.relu(self.gate(x).sigmoid() * self.filter(x) * self.output_scale + self.output_shift)


class D3Net(EstimateNetwork):
    """Masks of all stems from a window of magnitudes: (B, C, F, T) -> (B, S, C, F + 1, T), T a multiple of 16.

    A mask is its stem's share in the sum of squared estimates. With one size fewer than stems, the last stem is what
    the estimates leave of the mixture.

    Args:
        sizes: for each stem the size of its network: vocals, drums, bass, other (as published) or lite.
        bins: 1600 is what the published weights process; a multiple of 16, as what each size leaves above its `split`.
    Raises ValueError for sizes that do not fit together.
    """

    frames_multiple = 16

    def __init__(self, stems: Sequence[str], sizes: Sequence[str], channels: int = 2, bins: int = 1600) -> None:
        super().__init__()
        unknown = [size for size in sizes if size not in SIZES]
        if unknown:
            raise ValueError(f"sizes: expected of {', '.join(SIZES)}, got {unknown[0]!r}")
        if not len(stems) - 1 <= len(sizes) <= len(stems) or len(stems) < 2:
            raise ValueError(f"{len(stems)} stems need {len(stems) - 1} or {len(stems)} sizes, got {len(sizes)}")
        if bins % 16 or any(SIZES[size].split >= bins for size in sizes):
            raise ValueError(f"bins must be a multiple of 16 beyond every split, got {bins}")
        self.stems, self.channels, self.bins = tuple(stems), channels, bins
        self.networks = nn.ModuleList(StemNet(SIZES[size], channels, bins) for size in sizes)

    def estimates(self, magnitudes: Tensor) -> Tensor:
        turned = magnitudes.transpose(2, 3)
        estimates = torch.stack([network(turned) for network in self.networks], dim=1).transpose(3, 4)
        if len(self.networks) == len(self.stems):
            return estimates
        rest = (magnitudes - estimates.sum(dim=1)).clamp(min=0)
        return torch.cat([estimates, rest[:, None]], dim=1)
