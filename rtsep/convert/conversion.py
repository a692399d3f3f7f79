"""What a converter makes of a foreign checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from rtsep.recipe import Recipe


@dataclass(frozen=True)
class Conversion:
    """A recipe, and the complete state dict of the network that it names, in single precision.

    `licence` is that of the weights which the network's author published.
    """

    recipe: Recipe
    tensors: dict[str, Tensor]
    licence: str
