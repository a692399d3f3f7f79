"""From a training run to a bundle that plays: weights in half precision, and the recipe that names their sum."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from rtsep.bundle import RECIPE_FILE, WEIGHTS_FILE
from rtsep.recipe import Recipe, encode_network
from rtsep.train.files import write_atomically

WEIGHTS_TABLE = "\n[weights]    # written by the trainer, always last\n"


def export_bundle(recipe: Recipe, recipe_text: str, parameters: dict[str, Tensor], folder: Path) -> Path:
    """Write `recipe.toml` (the text, with its comments) and `weights.safetensors`; returns the folder, a bundle."""
    halves = {name: tensor.detach().to(torch.float16).contiguous() for name, tensor in parameters.items()}
    content = _serialise(halves, {"rtsep": encode_network(recipe), "licence": recipe.train.licence})
    text = recipe_text.partition(WEIGHTS_TABLE)[0].rstrip()
    table = f'sha256 = "{hashlib.sha256(content).hexdigest()}"\nlicence = "{recipe.train.licence}"\n'
    write_atomically(folder / WEIGHTS_FILE, content)
    write_atomically(folder / RECIPE_FILE, f"{text}\n{WEIGHTS_TABLE}{table}".encode())
    return folder


def _serialise(tensors: dict[str, Tensor], metadata: dict[str, str]) -> bytes:
    """A safetensors file. The same tensors give the same bytes: as it comes, the metadata's order is random."""
    content = safetensors.torch.save(tensors, metadata)
    start, end = 8, 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[start:end])
    header["__metadata__"] = metadata
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    return content[:start] + text.ljust(end - start) + content[end:]
