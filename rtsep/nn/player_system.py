"""The AI player's systems: a token transformer for each stem, and a four-stem system whose networks are connected.

After audioai.gfsoftware.com/wp/?p=78. In the four-stem system vocals and drums run in parallel and one layer crosses
between them to lessen bleed; bass has a smaller network over the lowest bins alone; "other" is a small U-net fed with
the mixture and all separated stems, which predicts the rest. All numbers are ours, the post names none.

Inputs are divided by the largest magnitude so far (`input_scale` of the window). In training estimates are
unconstrained; in playback they are turned into shares of the mixture.

Dimensions: B batch, S stems, C channels, F bins, T frames.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rtsep.nn.linear_tokens import MixedNet, TokenNet, crossed
from rtsep.nn.masks import EstimateNetwork, compare_with_mixture
from rtsep.nn.reduced_unet import ReducedUNet

SMALL_UNET = (8, 16, 32, 64, 128)
OTHER_UNET = (16, 32, 64, 128, 128)
SYSTEM_STEMS = ("vocals", "drums", "bass", "other")


class PlayerTransformer(EstimateNetwork):
    """Masks from a window of magnitudes, a network for each stem: (B, C, F, T) -> (B, S, C, F + 1, T), T <= `frames`.

    Args:
        frames: the most that a window has.
        width, heads, feed_forward, layers: of the transformer.
        filters: of the U-net in parallel, none for the transformer alone; F and T are multiples of 2 to their number.
    Raises ValueError for sizes that do not fit together.
    """

    def __init__(
        self,
        stems: Sequence[str],
        channels: int = 2,
        bins: int = 1024,
        frames: int = 192,
        width: int = 384,
        heads: int = 8,
        feed_forward: int = 1536,
        layers: int = 4,
        filters: Sequence[int] = SMALL_UNET,
    ) -> None:
        super().__init__()
        self.frames_multiple = 2 ** len(filters)
        _check_sizes(bins, width, heads, self.frames_multiple)
        self.stems, self.channels, self.bins = tuple(stems), channels, bins
        self.networks = nn.ModuleDict(
            {
                stem: MixedNet(TokenNet(channels, bins, frames, width, heads, feed_forward, layers), channels, filters)
                for stem in stems
            }
        )

    def estimates(self, magnitudes: Tensor) -> Tensor:
        return torch.stack([network(magnitudes) for network in self.networks.values()], dim=1)


class BassNet(nn.Module):
    """A token network over the lowest `bins` alone: (B, C, F, T) -> (B, C, F, T), nothing above them.

    The last `edge` bins fade out along a raised cosine.
    """

    def __init__(
        self,
        channels: int,
        bins: int,
        frames: int,
        width: int = 128,
        heads: int = 4,
        feed_forward: int = 512,
        layers: int = 3,
        edge: int = 16,
    ) -> None:
        super().__init__()
        self.bins = bins
        self.tokens = TokenNet(channels, bins, frames, width, heads, feed_forward, layers)
        fade = 0.5 + 0.5 * torch.cos(torch.pi * (torch.arange(edge) + 0.5) / edge)
        self.register_buffer("edge", torch.cat([torch.ones(bins - edge), fade])[:, None], persistent=False)

    def forward(self, magnitudes: Tensor) -> Tensor:
        low = F.relu(self.tokens(magnitudes[:, :, : self.bins])) * self.get_buffer("edge")
        return F.pad(low, (0, 0, 0, magnitudes.shape[2] - self.bins))


class PlayerSystem(EstimateNetwork):
    """Masks of vocals, drums, bass and other from a window of magnitudes: (B, C, F, T) -> (B, 4, C, F + 1, T).

    Trained jointly, the loss of "other" reaches the networks whose stems it is fed with; with `joint = false` it does
    not. A recipe's `train.parts` trains some of `vocals`, `drums`, `bass`, `other` with the rest frozen, stage by
    stage. In a quarter of the training steps "other" is fed with the true stems.

    Args:
        stems: vocals, drums, bass, other, in this order.
        frames: the most that a window has; a multiple of 32, as F is.
        width, heads, feed_forward, layers: of the transformers for vocals and drums.
        crossing: which of their layers crosses, from 0.
        bass_bins: the lowest bins, which the bass is looked for in.
        joint: whether gradients pass from "other" to the stems.
    Raises ValueError for sizes that do not fit together.
    """

    TRUE_STEMS_SHARE = 0.25

    def __init__(
        self,
        stems: Sequence[str] = SYSTEM_STEMS,
        channels: int = 2,
        bins: int = 1024,
        frames: int = 192,
        width: int = 384,
        heads: int = 8,
        feed_forward: int = 1536,
        layers: int = 4,
        crossing: int = 2,
        bass_bins: int = 128,
        joint: bool = True,
    ) -> None:
        super().__init__()
        self.frames_multiple = 2 ** len(OTHER_UNET)
        _check_sizes(bins, width, heads, self.frames_multiple)
        if tuple(stems) != SYSTEM_STEMS:
            raise ValueError(f"stems must be {list(SYSTEM_STEMS)}, got {list(stems)}")
        if not 0 <= crossing < layers or not 16 <= bass_bins <= bins:
            raise ValueError(f"crossing {crossing} must lie in 0..{layers - 1}, bass_bins {bass_bins} in 16..{bins}")

        def mixed() -> MixedNet:
            tokens = TokenNet(channels, bins, frames, width, heads, feed_forward, layers, crossing)
            return MixedNet(tokens, channels, SMALL_UNET)

        self.stems, self.channels, self.bins, self.joint = tuple(stems), channels, bins, joint
        self.vocals, self.drums = mixed(), mixed()
        self.bass = BassNet(channels, bass_bins, frames)
        self.other = ReducedUNet(4 * channels, channels, OTHER_UNET)

    def estimates(self, magnitudes: Tensor) -> Tensor:
        first = self._first_stems(magnitudes)
        return self._with_other(magnitudes, first, first)

    def teach(self, magnitudes: Tensor, stems: Tensor) -> Tensor:
        """Now and then "other" is fed with the true vocals, drums and bass of `stems` (B, 4, C, F, T)."""
        first = self._first_stems(magnitudes)
        fed = first if self.joint else first.detach()
        if torch.rand(()) < self.TRUE_STEMS_SHARE:
            fed = stems[:, :3]
        return compare_with_mixture(self._with_other(magnitudes, first, fed), magnitudes)

    def _first_stems(self, magnitudes: Tensor) -> Tensor:
        """Magnitudes (B, 3, C, F, T) of vocals, drums and bass."""
        vocals, drums = crossed(self.vocals, self.drums, magnitudes)
        return torch.stack([vocals, drums, self.bass(magnitudes)], dim=1)

    def _with_other(self, magnitudes: Tensor, first: Tensor, fed: Tensor) -> Tensor:
        other = F.relu(self.other(torch.cat([magnitudes, fed.flatten(1, 2)], dim=1)))
        return torch.cat([first, other[:, None]], dim=1)


def _check_sizes(bins: int, width: int, heads: int, multiple: int) -> None:
    if bins % multiple or width % heads:
        raise ValueError(f"bins {bins} must be a multiple of {multiple} and width {width} one of {heads} heads")
