"""Every recipe of the repository names a network that can be built, with its author's settings and its live ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rtsep.bundle import build_network, build_segment_network
from rtsep.nn.cost import multiply_adds_per_segment
from rtsep.recipe import load_recipe

ALL = sorted((Path(__file__).parent.parent.parent / "models").glob("*/recipe.toml"))
RECIPES = [path for path in ALL if load_recipe(path).segments is None]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.parent.name)
@pytest.mark.parametrize("live", [False, True], ids=["authors", "live"])
def test_the_network_can_be_built(path: Path, live: bool) -> None:
    recipe = load_recipe(path)
    assert recipe.name == path.parent.name
    with torch.device("meta"):
        network = build_network(recipe, live=live)
    assert network.stems == recipe.stems
    if recipe.window and not live:
        assert recipe.train.frames == recipe.window.frames, "trained on the windows that it plays by"


def test_ht_demucs_is_that_of_the_publication() -> None:
    pytest.importorskip("demucs")
    recipe = load_recipe(next(path for path in ALL if path.parent.name == "htdemucs"))
    with torch.device("meta"):
        network = build_segment_network(recipe)
    assert (network.stems, network.segment_samples) == (("drums", "bass", "other", "vocals"), 343_980)
    assert sum(parameter.numel() for parameter in network.parameters()) == 41_984_456
    assert multiply_adds_per_segment(network) > 1e10
