"""An autoregressive frame transformer: predicts each frame of the instrumental from the mixture and earlier frames.

After carperbr's unfinished wip/frame_transformer_ar.py (5bc163f), in which the target's future leaked into its past, so
that generation could not work. Three things differ here, and a test verifies causality:

* the relative term of every attention on the target's side is gathered by distance from the asking frame's own query
  (the source's comes from the keys' queries, and those of later frames are among them);
* normalisation on the target's side is over the maps of each bin and frame (batch statistics run over time);
* convolutions between the target's frames are causal.

The mixture's side is bidirectional. Training shows the true frames, shifted by one (teacher forcing); generation feeds
back its own, one at a time, with the keys and values of earlier frames kept. The prediction is a magnitude; its share
of the mixture's, at most 1, is the mask. A window is hundreds of steps, each reads every weight: for files only.

Dimensions: B batch, C channels, F bins, T frames of a window, n frames of a step.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rtsep.nn.autoregressive_blocks import BlockState, TargetBlock, target_conv
from rtsep.nn.carperbr import STEMS, WIDENING, level_bins
from rtsep.nn.carperbr_blocks import EncoderBlock, down_block, frame_conv, join
from rtsep.nn.masks import SILENCE, repeat_top_bin
from rtsep.nn.windowed import WindowNetwork


class AutoregressiveFrameTransformer(WindowNetwork):
    """Masks of instrumental and vocals from a window of magnitudes: (B, C, F, T) -> (B, 2, C, F + 1, T).

    T is at most `window`.

    Args:
        stems: instrumental, vocals, in this order; vocals are what the instrumental leaves.
        width: maps of the first level.
        encoders, decoders: transformer blocks at each level of the mixture's and of the target's side.
        heads: frequency bands; every level's bins are a multiple.
        bias: of the linear layers and convolutions outside the attention.
    Raises ValueError for sizes that do not fit together.
    """

    def __init__(
        self,
        stems: Sequence[str] = STEMS,
        channels: int = 2,
        bins: int = 1024,
        width: int = 24,
        encoders: int = 0,
        decoders: int = 3,
        heads: int = 8,
        feed_forward: int = 2048,
        window: int = 256,
        dropout: float = 0.1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        sizes = level_bins(bins)
        if tuple(stems) != STEMS:
            raise ValueError(f"stems must be {list(STEMS)}, got {list(stems)}")
        if any(size % heads for size in sizes):
            raise ValueError(f"every level's bins {sizes} must be a multiple of {heads} heads")
        self.stems, self.channels, self.bins, self.window = tuple(stems), channels, bins, window
        maps, levels = [width * factor for factor in WIDENING], range(len(WIDENING))
        upwards = levels[::-1]
        self.mixture_convs = nn.ModuleList(
            down_block(maps[level - 1] + encoders, maps[level], sizes[level - 1], residual=False)
            if level
            else frame_conv(channels, width)
            for level in levels
        )
        self.mixture_blocks = nn.ModuleList(
            nn.ModuleList(
                EncoderBlock(maps[level] + index, sizes[level], heads, 2 * feed_forward, window, 3, "skew", bias)
                for index in range(encoders)
            )
            for level in levels
        )
        self.target_down = nn.ModuleList(
            nn.Sequential(target_conv(maps[level - 1], maps[level]), target_conv(maps[level], maps[level], 2))
            if level
            else target_conv(channels, width)
            for level in levels
        )
        self.target_up = nn.ModuleList(
            target_conv(maps[level + 1] + maps[level] + decoders, maps[level]) for level in upwards[1:]
        )
        self.target_blocks = nn.ModuleList(
            nn.ModuleList(
                TargetBlock(
                    maps[level] + index,
                    maps[level] + encoders,
                    sizes[level],
                    heads,
                    feed_forward,
                    window,
                    dropout,
                    bias,
                )
                for index in range(decoders)
            )
            for level in upwards
        )
        self.out = nn.Linear(width + decoders, channels, bias=bias)

    def forward(self, magnitudes: Tensor) -> Tensor:
        if magnitudes.is_meta:  # asked for sizes and costs alone: generation has the same products, one by one
            return self._masks(self.predict(magnitudes, magnitudes), magnitudes)
        return self._masks(self.generate(magnitudes), magnitudes).clamp(0, 1)

    def teach(self, magnitudes: Tensor, stems: Tensor) -> Tensor:
        """Masks (B, 2, C, F + 1, T) for training: each frame knows the true ones (B, 2, C, F, T) before it.

        Not limited to 1, so that what is too loud can be learnt from.
        """
        return self._masks(self.predict(magnitudes, stems[:, 0]), magnitudes).clamp(min=0)

    def predict(self, magnitudes: Tensor, target: Tensor) -> Tensor:
        """Magnitudes (B, C, F, T), frame t from the mixture and from the frames of `target` before t."""
        return self._target(F.pad(target, (1, -1)), self._remember(magnitudes), 0, None)

    @torch.no_grad()
    def generate(self, magnitudes: Tensor, given: Tensor | None = None, stop: int | None = None) -> Tensor:
        """Magnitudes (B, C, F, stop) of the instrumental, frame by frame, no louder than the mixture (B, C, F, T).

        Args:
            given: (B, C, F, m), m < stop, the first frames, which are known already.
            stop: at most T, which is what None means.
        """
        stop = magnitudes.shape[3] if stop is None else stop
        remembered = self._remember(magnitudes)
        states = [[block.init_state(len(magnitudes)) for block in blocks] for blocks in self.target_blocks]  # type: ignore[operator, union-attr]
        result = torch.zeros_like(magnitudes[..., :stop])
        known = 0 if given is None else given.shape[3]
        if given is not None:
            result[..., :known] = given
        before = F.pad(result[..., :known], (1, 0))  # the frames before each that is computed next
        first = 0
        for frame in range(known, stop):
            prediction = self._target(before, remembered, first, states)[..., -1:]
            result[..., frame : frame + 1] = torch.minimum(prediction, magnitudes[..., frame : frame + 1])
            before, first = result[..., frame : frame + 1], frame + 1
        return result

    def slide(self, magnitudes: Tensor, advance: int = 1) -> Tensor:
        """Masks (B, 2, C, F + 1, T) of a recording of any length T, in a window that follows it.

        The first half of the window is generated at once. From there on what was generated is given, the next
        `advance` frames follow, and the window moves on by as many: they hear half a window of the past, and of the
        mixture nearly as much of the future.
        """
        frames, half = magnitudes.shape[3], self.window // 2
        padded = F.pad(magnitudes, (0, self.window))
        result = padded[..., :0]
        while (done := result.shape[3]) < frames:
            start = max(0, done - half)
            given, stop = result[..., start:], done - start + (advance if done else half)
            grown = self.generate(padded[..., start : start + self.window], given, stop)
            result = torch.cat([result[..., :start], grown], dim=3)
        return self._masks(result[..., :frames], magnitudes).clamp(0, 1)

    def _remember(self, magnitudes: Tensor) -> list[list[list[Tensor]]]:
        """Keys and values of the mixture, for every block from the bottleneck up and both its attentions."""
        x, levels = magnitudes, []
        for conv, blocks in zip(self.mixture_convs, self.mixture_blocks, strict=True):
            x = conv(x)
            for block in blocks:  # type: ignore[attr-defined]
                x = join(x, block(x))
            levels.append(x)
        return [
            [block.remember(level) for block in blocks]  # type: ignore[attr-defined, operator]
            for blocks, level in zip(self.target_blocks, reversed(levels), strict=True)
        ]

    def _target(
        self,
        target: Tensor,
        remembered: list[list[list[Tensor]]],
        first: int,
        states: list[list[BlockState]] | None,
    ) -> Tensor:
        """Predictions (B, C, F, n) from the n frames before each of frames `first` on."""
        x, skips = target, []
        for conv in self.target_down:
            x = conv(x)
            skips.append(x)
        for level, blocks in enumerate(self.target_blocks):
            if level:
                skip = skips[-1 - level]
                x = self.target_up[level - 1](join(F.interpolate(x, size=skip.shape[2:], mode="nearest"), skip))
            for index, block in enumerate(blocks):  # type: ignore[arg-type]
                state = None if states is None else states[level][index]
                x = join(x, block(x, remembered[level][index], first, state))
        return F.relu(self.out(x.transpose(1, 3)).transpose(1, 3))

    def _masks(self, instrumental: Tensor, magnitudes: Tensor) -> Tensor:
        share = repeat_top_bin(instrumental / magnitudes.clamp(min=SILENCE))
        return torch.stack([share, 1 - share], dim=1)
