"""A batch of crops as tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class CropBatch:
    """Crops of one length, all on one device: B crops, S stems, C channels, N samples.

    Attributes:
        stems: float32 (B, S, C, N); their sum is the mixture.
        top_bin: int64 (B,); bins from there up count in no loss.
        known: bool (B, S); the others of a crop are the rest of its mixture: only their sum counts.
    """

    stems: Tensor
    top_bin: Tensor
    known: Tensor

    def use_on(self, stream: torch.cuda.Stream) -> None:
        """Keep the memory from being used again before `stream` has done what it is told with the batch."""
        for tensor in (self.stems, self.top_bin, self.known):
            tensor.record_stream(stream)

    def split(self, count: int) -> Iterator[CropBatch]:
        """`count` batches of nearly equal size."""
        pieces = (tensor.tensor_split(count) for tensor in (self.stems, self.top_bin, self.known))
        return map(CropBatch, *pieces)

    def stem_counts(self) -> Tensor:
        """(B, S): 1 for a known stem and for the first unknown one, which stands for all unknown ones; else 0."""
        return (self.known | self._first_unknown()).float()

    def merge_unknown(self, x: Tensor) -> Tensor:
        """Stems or masks (B, S, ...) with the unknown ones added up in the first of them."""
        if self.known.all():
            return x
        unknown = ~self.known
        groups = torch.diag_embed(self.known) | (self._first_unknown()[:, :, None] & unknown[:, None])
        return torch.einsum("bij,bj...->bi...", groups.to(x.dtype), x)

    def _first_unknown(self) -> Tensor:
        return ~self.known & ((~self.known).cumsum(dim=1) == 1)


def join(batches: Sequence[CropBatch]) -> CropBatch:
    """One batch of several, in their order."""
    if len(batches) == 1:
        return batches[0]
    parts = ((batch.stems, batch.top_bin, batch.known) for batch in batches)
    return CropBatch(*map(torch.cat, zip(*parts, strict=True)))
