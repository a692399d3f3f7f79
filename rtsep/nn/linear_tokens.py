"""The AI player's transformer over whole frames with a small U-net in parallel, for one stem.

After audioai.gfsoftware.com/wp/?p=78: a convolution over all bins turns a frame into a token, without activation; a
transformer processes 192 tokens; the transposed convolution turns them into frames. A small U-net in parallel keeps
what tokens lose, and both outputs are mixed. The post does not state layers, heads or the mixing; these are ours.

Dimensions: B batch, C channels, F bins, T frames, D width of a token.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rtsep.nn.reduced_unet import ReducedUNet


class TokenLayer(nn.Module):
    """Pre-norm attention and GELU feed-forward: (B, T, D) -> (B, T, D).

    A crossing layer also asks the tokens of another network, as they enter this layer there.
    """

    DROPOUT = 0.1

    def __init__(self, width: int, heads: int, feed_forward: int, crossing: bool) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, dropout=self.DROPOUT, batch_first=True)
        if crossing:
            self.norm_asking, self.norm_asked = nn.LayerNorm(width), nn.LayerNorm(width)
            self.crossing = nn.MultiheadAttention(width, heads, dropout=self.DROPOUT, batch_first=True)
        self.norm_expand = nn.LayerNorm(width)
        self.expand = nn.Linear(width, feed_forward)
        self.contract = nn.Linear(feed_forward, width)
        self.dropout = nn.Dropout(self.DROPOUT)

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        h = self.norm_attention(x)
        attended = self.attention(h, h, h, need_weights=False)[0]
        if other is not None:
            asked = self.norm_asked(other)
            attended = attended + self.crossing(self.norm_asking(x), asked, asked, need_weights=False)[0]
        x = x + self.dropout(attended)
        return x + self.dropout(self.contract(self.dropout(F.gelu(self.expand(self.norm_expand(x))))))


class TokenNet(nn.Module):
    """Frames to tokens, layers, tokens to frames: (B, C, F, T) -> (B, C, F, T), T at most `frames`, all linear outside.

    Args:
        crossing: which layer, from 0, crosses with another network; none if left out.
    """

    def __init__(
        self,
        channels: int,
        bins: int,
        frames: int,
        width: int,
        heads: int,
        feed_forward: int,
        layers: int,
        crossing: int | None = None,
    ) -> None:
        super().__init__()
        self.to_tokens = nn.Conv2d(channels, width, (bins, 1))
        self.positions = nn.Parameter(0.02 * torch.randn(frames, width))
        self.layers = nn.ModuleList(
            TokenLayer(width, heads, feed_forward, index == crossing) for index in range(layers)
        )
        self.to_frames = nn.ConvTranspose2d(width, channels, (bins, 1))

    def embed(self, magnitudes: Tensor) -> Tensor:
        """(B, C, F, T) -> tokens (B, T, D)."""
        tokens = self.to_tokens(magnitudes)[:, :, 0].transpose(1, 2)
        return tokens + self.positions[: tokens.shape[1]]

    def restore(self, tokens: Tensor) -> Tensor:
        """(B, T, D) -> (B, C, F, T)."""
        return self.to_frames(tokens.transpose(1, 2)[:, :, None])

    def forward(self, magnitudes: Tensor) -> Tensor:
        tokens = self.embed(magnitudes)
        for layer in self.layers:
            tokens = layer(tokens)
        return self.restore(tokens)


class MixedNet(nn.Module):
    """A token network and, with `filters`, a small U-net in parallel, mixed to one magnitude of 0 or more.

    The mixing, a 1×1 convolution over both answers, starts as their sum.
    """

    def __init__(self, tokens: TokenNet, channels: int, filters: Sequence[int]) -> None:
        super().__init__()
        self.tokens = tokens
        self.unet = ReducedUNet(channels, channels, filters) if filters else None
        if filters:
            self.mix = nn.Conv2d(2 * channels, channels, 1)
            with torch.no_grad():
                self.mix.weight.copy_(torch.eye(channels).repeat(1, 2)[:, :, None, None])
                nn.init.zeros_(self.mix.bias)  # type: ignore[arg-type]

    def forward(self, magnitudes: Tensor) -> Tensor:
        return self.finish(self.tokens(magnitudes), magnitudes)

    def finish(self, from_tokens: Tensor, magnitudes: Tensor) -> Tensor:
        """The answer of the token network (B, C, F, T) and the mixture's magnitudes to the stem's."""
        if self.unet is None:
            return F.relu(from_tokens)
        return F.relu(self.mix(torch.cat([from_tokens, self.unet(magnitudes)], dim=1)))


def crossed(first: MixedNet, second: MixedNet, magnitudes: Tensor) -> tuple[Tensor, Tensor]:
    """Both networks' magnitudes; in their crossing layer each asks the tokens that the other's has before it."""
    ours, theirs = first.tokens.embed(magnitudes), second.tokens.embed(magnitudes)
    for layer, twin in zip(first.tokens.layers, second.tokens.layers, strict=True):
        if hasattr(layer, "crossing"):
            ours, theirs = layer(ours, theirs), twin(theirs, ours)
        else:
            ours, theirs = layer(ours), twin(theirs)
    return (
        first.finish(first.tokens.restore(ours), magnitudes),
        second.finish(second.tokens.restore(theirs), magnitudes),
    )
