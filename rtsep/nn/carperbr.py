"""carperbr's frame transformer in three versions: a U-net along frequency with transformer blocks at every level.

    A  6ed73e8 (2022-05-02)  post-norm decoder blocks only: what the README describes
    B  0f77420 (2022-05-05)  pre-norm, encoder blocks too: what the README's checkpoint belongs to
    C  5bc163f (2022-05-09)  B with residual convolutions, normalised per frame, and wider depthwise ones

of github.com/carperbr/vocal-remover-frame-transformer, lib/frame_transformer.py and lib/res_frame_transformer.py.
Convolutions never mix frames and time is never reduced. Every block projects its level to one map and adds one channel;
decoder blocks also attend to the encoder's map of their level.

The causal mask of version C is not supported: its centred convolutions look ahead anyway.
`rtsep.nn.autoregressive` is causal. The input is divided by the largest magnitude of the song.

Dimensions: B batch, S stems, C channels, F bins, T frames.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rtsep.nn.band_attention import RELATIONS
from rtsep.nn.carperbr_blocks import (
    DecoderBlock,
    EncoderBlock,
    NormConv,
    down_block,
    frame_conv,
    join,
    up_block,
)
from rtsep.nn.masks import repeat_top_bin
from rtsep.nn.windowed import WindowNetwork

STEMS = ("instrumental", "vocals")
WIDENING = (1, 2, 4, 6, 8)
"""Maps of the levels, in multiples of the first one's."""
VERSIONS = ("A", "B", "C")


def level_bins(bins: int) -> list[int]:
    """Bins of the five levels: each convolution of stride 2 keeps every other one."""
    sizes = [bins]
    while len(sizes) < len(WIDENING):
        sizes.append((sizes[-1] - 1) // 2 + 1)
    return sizes


class CarperbrFrameTransformer(WindowNetwork):
    """Masks of instrumental and vocals from a window of magnitudes: (B, C, F, T) -> (B, 2, C, F + 1, T).

    Args:
        stems: instrumental, vocals, in this order; vocals are what the instrumental mask leaves.
        version: A, B or C.
        width: maps of the first level.
        encoders, decoders: transformer blocks at each level; A has no encoders.
        heads: frequency bands of the attention; every level's bins are a multiple.
        window: T; with `rel="transpose"` exactly, with "skew" at most.
        rel: relative term of the attention, see `rtsep.nn.band_attention`.
        bias: of the linear layers and convolutions outside the attention.
    Raises ValueError for sizes that do not fit together.
    """

    def __init__(
        self,
        stems: Sequence[str] = STEMS,
        channels: int = 2,
        bins: int = 1024,
        version: str = "B",
        width: int = 8,
        encoders: int = 2,
        decoders: int = 2,
        heads: int = 8,
        feed_forward: int = 3072,
        window: int = 1024,
        rel: str = "skew",
        bias: bool = True,
    ) -> None:
        super().__init__()
        sizes = level_bins(bins)
        if tuple(stems) != STEMS:
            raise ValueError(f"stems must be {list(STEMS)}, got {list(stems)}")
        if version not in VERSIONS or rel not in RELATIONS:
            raise ValueError(f"expected version A, B or C and rel transpose or skew, got {version!r} and {rel!r}")
        if version == "A" and encoders:
            raise ValueError(f"version A has no encoder blocks, got encoders = {encoders}")
        if any(size % heads for size in sizes):
            raise ValueError(f"every level's bins {sizes} must be a multiple of {heads} heads")
        self.stems, self.channels, self.bins = tuple(stems), channels, bins
        self.frames_multiple = window if rel == "transpose" else 1
        residual = version == "C"
        taps = 7 if residual else 3
        wide = (2 * feed_forward, feed_forward) if version == "A" else (feed_forward // 2, feed_forward // 4)
        maps = [width * factor for factor in WIDENING]
        levels = range(len(maps))

        first = NormConv(channels, width, bins) if residual else frame_conv(channels, width)
        down = [down_block(maps[level - 1] + encoders, maps[level], sizes[level - 1], residual) for level in levels[1:]]
        self.encoder = nn.ModuleList([first, *down])
        self.encoder_blocks = nn.ModuleList(
            nn.ModuleList(
                EncoderBlock(maps[level] + index, sizes[level], heads, feed_forward, window, taps, rel, bias)
                for index in range(encoders)
            )
            for level in levels
        )
        upwards = levels[::-1]
        self.decoder = nn.ModuleList(
            up_block(maps[level + 1] + maps[level] + decoders + encoders, maps[level], sizes[level], residual)
            for level in upwards[1:]
        )
        self.decoder_blocks = nn.ModuleList(
            nn.ModuleList(
                DecoderBlock(
                    maps[level] + index,
                    maps[level] + encoders,
                    sizes[level],
                    heads,
                    feed_forward,
                    wide,
                    window,
                    taps,
                    rel,
                    bias,
                    post_norm=version == "A",
                )
                for index in range(decoders)
            )
            for level in upwards
        )
        self.out = nn.Linear(width + decoders, channels)

    def forward(self, magnitudes: Tensor) -> Tensor:
        """Raises ValueError for a number of frames that `rel` does not take."""
        x = magnitudes
        level, skips = x, []
        for conv, blocks in zip(self.encoder, self.encoder_blocks, strict=True):
            x = level = conv(x)
            for block in blocks:  # type: ignore[attr-defined]
                x = join(x, block(x))
            skips.append(x)
        x = level  # the bottleneck goes up without the channels that its encoder blocks added
        for index, blocks in enumerate(self.decoder_blocks):
            skip = skips[-1 - index]
            if index:
                raised = F.interpolate(x, size=skip.shape[2:], mode="bilinear", align_corners=True)
                x = self.decoder[index - 1](join(raised, skip))
            for block in blocks:  # type: ignore[attr-defined]
                x = join(x, block(x, skip))
        masks = self.out(x.transpose(1, 3)).transpose(1, 3).sigmoid()
        masks = repeat_top_bin(masks)
        return torch.stack([masks, 1 - masks], dim=1)
