"""Weights by name, with their sizes checked: compiled kernels check none and would read beyond an array."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Affine = tuple[Float32, Float32]
"""Weight and bias."""


class WeightReader:
    """A state dict. What is missing, or of another size than asked for, is a ValueError that names it."""

    def __init__(self, weights: Mapping[str, Float32]) -> None:
        self._weights = weights
        self._left = set(weights)

    def array(self, name: str, *shape: int | None) -> Float32:
        """A tensor as contiguous float32 of `shape`, in which None stands for any size but 0."""
        array = self._of(name)
        asked = tuple(size if wanted is None else wanted for size, wanted in zip(array.shape, shape, strict=False))
        if array.shape != asked or array.ndim != len(shape) or not array.size:
            raise ValueError(f"{name} has the shape {array.shape}")
        self._left.discard(name)
        return np.ascontiguousarray(array, np.float32)

    def __call__(self, name: str, *shape: int) -> Affine:
        """Weight and bias of a layer."""
        return self.array(f"{name}.weight", *shape), self.array(f"{name}.bias", shape[0])

    def size(self, name: str) -> int:
        """Length of a vector."""
        return len(self._of(name))

    def count(self, name: str) -> int:
        """Number of the modules in a list."""
        return len({key[len(name) + 1 :].partition(".")[0] for key in self._weights if key.startswith(f"{name}.")})

    def learnt_context(self) -> int:
        """Frames of context for which the attention has positions."""
        for name, array in self._weights.items():
            if name.endswith(".attention.bias") and array.ndim == 2:
                return (1 + array.shape[1]) // 2
        raise ValueError("no attention layer")

    def check_all_read(self) -> None:
        """ValueError if there is a tensor that nobody has asked for."""
        if self._left:
            raise ValueError(f"unexpected tensor {min(self._left)}")

    def _of(self, name: str) -> Float32:
        if name not in self._weights:
            raise ValueError(f"{name} is missing")
        return self._weights[name]
