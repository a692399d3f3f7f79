"""Every recipe of the repository names a network that can be built, with its author's settings and its live ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rtsep.bundle import build_network
from rtsep.nn.cost import multiply_adds_per_frame
from rtsep.recipe import load_recipe

RECIPES = sorted((Path(__file__).parent.parent.parent / "models").glob("*/recipe.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.parent.name)
@pytest.mark.parametrize("live", [False, True], ids=["authors", "live"])
def test_the_network_can_be_built(path: Path, live: bool) -> None:
    recipe = load_recipe(path)
    assert recipe.name == path.parent.name
    with torch.device("meta"):
        network = build_network(recipe, live=live)
    assert network.stems == recipe.stems
    if live:
        assert multiply_adds_per_frame(network) > 1e6
    elif recipe.window:
        assert recipe.train.frames == recipe.window.frames, "trained on the windows that it plays by"
