"""The converter protocol: a checkpoint goes in, a recipe and a state dict come out.

Each module of `rtsep.convert.families` is a `Converter`; `rtsep.convert.dispatch` lists them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from typing import Protocol

from torch import Tensor

from rtsep.convert.formats.state_dict import read_state_dict
from rtsep.recipe import Recipe


class Checkpoint:
    """Foreign weights on disk: one file, or a folder of files that belong together.

    Args:
        path: the file or folder.
        tensors: its state dict, if it has been read already.
    """

    def __init__(self, path: Path, tensors: dict[str, Tensor] | None = None) -> None:
        self.path = path
        if tensors is not None:
            self.state_dict = tensors

    def __str__(self) -> str:
        return str(self.path)

    def files(self, pattern: str) -> list[Path]:
        """The files that match, sorted by name: visible files of the folder, or the one file."""
        if self.path.is_dir():
            return sorted(path for path in self.path.glob(pattern) if not path.name.startswith("."))
        return [self.path] if fnmatch(self.path.name, pattern) else []

    @cached_property
    def state_dict(self) -> dict[str, Tensor]:
        """The tensors of a PyTorch file by name, none for a folder. Raises RtsepError if it is not a state dict."""
        return {} if self.path.is_dir() else read_state_dict(self.path)

    def has_tensor(self, pattern: str) -> bool:
        """Whether the name of a tensor begins with what the regular expression matches."""
        return any(re.match(pattern, name) for name in self.state_dict)


@dataclass(frozen=True)
class Conversion:
    """A recipe and the complete state dict of the network it names (inside `Windowed`, where it has a [window]).

    Attributes:
        licence: of the weights that the network's author published.
        notes: assumptions and differences that the user should know of, one line each; they go into the card.
        recipe_text: TOML with comments to keep; empty: generated from the recipe.
        card: CARD.md to keep; empty: written from the weights' origin and licence.
    """

    recipe: Recipe
    tensors: dict[str, Tensor]
    licence: str
    notes: tuple[str, ...] = ()
    recipe_text: str = ""
    card: str = ""


class Converter(Protocol):
    """One family of checkpoints."""

    def recognises(self, checkpoint: Checkpoint) -> bool:
        """Whether the checkpoint belongs to this family, by its file names or its tensor names."""
        ...

    def convert(self, checkpoint: Checkpoint, name: str | None) -> Conversion:
        """Convert it. `name` chooses among systems that share their weights, such as Spleeter's for 16 kHz.

        Raises RtsepError if it is damaged or does not fit the network.
        """
        ...
