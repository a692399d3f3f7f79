"""What `rtsep.list_models` tells about the models on this machine."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rtsep.bundle import list_bundles
from rtsep.errors import RtsepError


@dataclass(frozen=True)
class ModelInfo:
    """A model on this machine.

    Attributes:
        name: as `rtsep.load` takes it.
        stems: names of the stems.
        licence: of the weights; empty without any.
        path: its folder.
        has_weights: whether its weights are on this machine.
    """

    name: str
    stems: tuple[str, ...]
    licence: str
    path: Path
    has_weights: bool


def list_models() -> list[ModelInfo]:
    """Every model that `rtsep.load` finds by name, in order of name; without those whose recipe is unreadable."""
    models: list[ModelInfo] = []
    for bundle in list_bundles():
        with suppress(RtsepError):
            stems = tuple(bundle.recipe.stems)
            models.append(ModelInfo(bundle.name, stems, bundle.licence, bundle.path, bundle.has_weights))
    return models
