"""What is recorded of the models that come along is what counting them gives."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from rtsep.cli.model_sizes import count_size, find_size, fingerprint, recorded_sizes
from rtsep.errors import MissingPackage
from rtsep.recipe import Recipe, load_recipe

MODELS = Path(__file__).parent.parent.parent / "models"
RECIPES = [load_recipe(path) for path in sorted(MODELS.glob("*/recipe.toml"))]
REMEDY = "python -m benches.sizes writes them anew"


def recipe_of(name: str) -> Recipe:
    return next(recipe for recipe in RECIPES if recipe.name == name)


def test_every_recipe_is_recorded_as_it_is_and_nothing_else() -> None:
    assert set(recorded_sizes()) == {fingerprint(recipe) for recipe in RECIPES}, REMEDY


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_what_is_recorded_is_what_is_counted(recipe: Recipe) -> None:
    recorded = recorded_sizes()[fingerprint(recipe)]
    if recorded.package:
        pytest.importorskip(recorded.package)
    assert replace(recorded, package=None) == count_size(recipe), REMEDY


def test_a_recipe_that_was_changed_is_counted() -> None:
    recipe = recipe_of("frame-transformer-2stems")
    recorded = recorded_sizes()
    smaller = replace(recipe, net={**recipe.net, "feed_forward": 128})
    assert find_size(smaller, recorded).parameters < find_size(recipe, recorded).parameters


def test_a_package_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingPackage, match=r"'rtsep\[demucs\]'"):
        find_size(recipe_of("htdemucs"), recorded_sizes())
