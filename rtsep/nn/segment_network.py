"""The interface of networks that map segments of audio to waveforms.

They have no frames and no masks, and a delay of at least half a segment: they are for files. Their stems need not sum
to the mixture.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn


class SegmentNetwork(nn.Module):
    """A network of whole segments.

    Attributes:
        stems: names of the S stems, in the order of their axis.
        channels: C, audio channels.
        segment_samples: N, samples of a segment, no other length is taken.
    """

    stems: tuple[str, ...]
    channels: int
    segment_samples: int

    def forward(self, mixture: Tensor) -> Tensor:
        """Stems (B, S, C, N) of segments (B, C, N)."""
        raise NotImplementedError(f"{type(self).__name__} must define forward")


def _problems(network: SegmentNetwork) -> Iterator[str]:
    noise = torch.randn(1, network.channels, network.segment_samples, generator=torch.Generator().manual_seed(7)) / 4
    stems = network(noise)
    expected = (1, len(network.stems), network.channels, network.segment_samples)
    if tuple(stems.shape) != expected:
        yield f"forward gives stems {tuple(stems.shape)}, expected {expected}"
    elif not torch.isfinite(stems).all():
        yield "stems are not finite"
    elif not torch.isfinite(network(torch.zeros_like(noise))).all():
        yield "silence gives stems that are not finite"


def check_segments(network: SegmentNetwork) -> list[str]:
    """The violations of the interface, one line each. `network` must be in evaluation mode."""
    with torch.inference_mode():
        return list(_problems(network))
