"""A batch of crops as tensors."""

from __future__ import annotations

from collections.abc import Iterator
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

    def to(self, device: torch.device) -> CropBatch:
        """The batch on a device."""
        return CropBatch(*(x.to(device, non_blocking=True) for x in (self.stems, self.top_bin, self.known)))

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
