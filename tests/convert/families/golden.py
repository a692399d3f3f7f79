"""Made-up checkpoints that anybody can make again, and what the authors' own code answered with them.

A golden file holds the names and shapes of a small network's state dict and the answer to `magnitudes`; the values of
the weights follow from the names. `python -m benches.foreign`, which runs the authors' code, writes it.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

FOLDER = Path(__file__).parent / "golden_files"


def fill(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Values for every name: gains near 1, matrices that neither swell nor die, variances above 0."""
    filled = {}
    for name, shape in shapes.items():
        x = torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))
        if name.endswith("num_batches_tracked"):
            filled[name] = torch.zeros((), dtype=torch.int64)
        elif name.endswith("running_var"):
            filled[name] = 0.5 + x.abs()
        elif len(shape) > 1:
            filled[name] = x * (x[0].numel() ** -0.5)
        else:
            filled[name] = 0.1 * x + (1.0 if name.endswith("weight") else 0.0)
    return filled


def magnitudes(bins: int, frames: int) -> Tensor:
    """(1, 2, bins, frames), from 0 to 1, mostly quiet."""
    return torch.rand(1, 2, bins, frames, generator=torch.Generator().manual_seed(bins + frames)) ** 3


def write(name: str, shapes: dict[str, tuple[int, ...]], answer: Tensor) -> None:
    texts = [f"{key} {' '.join(map(str, shape))}" for key, shape in shapes.items()]
    np.savez_compressed(FOLDER / f"{name}.npz", shapes=np.array(texts), answer=answer.numpy())


def read(name: str) -> tuple[dict[str, Tensor], Tensor]:
    """The made-up checkpoint and the authors' answer, whose last axes are bins and frames."""
    with np.load(FOLDER / f"{name}.npz") as file:
        lines, answer = file["shapes"].tolist(), torch.from_numpy(file["answer"])
    parts = (line.split(" ") for line in lines)
    return fill({key: tuple(map(int, filter(None, shape))) for key, *shape in parts}), answer
