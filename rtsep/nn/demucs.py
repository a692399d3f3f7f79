"""HT Demucs (Rouard, Massa, Défossez 2023, arXiv 2211.08553), computed by its authors' package, the extra `demucs`.

It processes a segment both as a waveform and as a complex spectrogram. Several networks may be averaged with weights
for each stem: in the published "fine-tuned" bag every member is a specialist for one stem.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn

from rtsep.errors import MissingPackage
from rtsep.nn.segment_network import SegmentNetwork


def authors_class() -> Any:
    """`demucs.htdemucs.HTDemucs`. Raises MissingPackage, which says what to install."""
    try:
        return importlib.import_module("demucs.htdemucs").HTDemucs
    except ImportError as error:
        raise MissingPackage(
            f"HT Demucs needs its authors' package: pip install 'rtsep[demucs]' (cannot import it: {error})"
        ) from error


class HTDemucs(SegmentNetwork):
    """The authors' network, or the weighted mean of several.

    Args:
        stems: in the order of the weights.
        arguments: of the authors' class, by their names; `segment` is seconds, also as a fraction, "39/5".
        weights: one row a member, of one weight a stem; None: a single network.
        channels: C, audio channels.
        bins: it looks at all of its own spectrum; this is not used.
    Raises MissingPackage if the package is not installed, ValueError or TypeError for arguments that do not fit.
    """

    def __init__(
        self,
        stems: Sequence[str],
        arguments: Mapping[str, Any],
        weights: Sequence[Sequence[float]] | None = None,
        channels: int = 2,
        bins: int = 2048,
    ) -> None:
        super().__init__()
        network_class = authors_class()
        self.stems, self.channels = tuple(stems), channels
        rows = torch.tensor([[1.0] * len(stems)] if weights is None else weights, device="cpu")
        if rows.ndim != 2 or rows.shape[1] != len(stems) or not bool((rows.sum(dim=0) > 0).all()):
            raise ValueError(f"weights must be one row a member, of {len(stems)} numbers, and no stem without any")
        options = dict(arguments)
        if isinstance(options.get("segment"), str):
            options["segment"] = Fraction(options["segment"])
        self.members = nn.ModuleList(
            network_class(sources=list(stems), audio_channels=channels, **options) for _ in range(len(rows))
        )
        first: Any = self.members[0]
        self.segment_samples = int(first.segment * first.samplerate)
        self.register_buffer("shares", rows / rows.sum(dim=0), persistent=False)

    def forward(self, mixture: Tensor) -> Tensor:
        shares = self.get_buffer("shares")[:, :, None, None]
        return torch.stack([share * member(mixture) for share, member in zip(shares, self.members, strict=True)]).sum(0)
