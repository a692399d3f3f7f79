"""Export the weights of a run as a bundle, in half precision."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from rtsep.bundle import write_bundle
from rtsep.recipe import Recipe


def export_bundle(recipe: Recipe, recipe_text: str, parameters: dict[str, Tensor], folder: Path) -> Path:
    """Write `recipe.toml` (the text, with its comments) and `weights.safetensors`; return the bundle's folder."""
    halves = {
        name: (tensor.detach().to(torch.float16) if tensor.ndim > 1 else tensor.detach()).contiguous()
        for name, tensor in parameters.items()
    }
    return write_bundle(folder, recipe, recipe_text, halves, recipe.train.licence).path
