"""Which songs a model is judged by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec.structs import replace

from rtsep.recipe import Recipe
from rtsep.train.data.data_report import DataReport
from rtsep.train.data.layouts import STEM_MP4
from rtsep.train.data.songs import Song, load_songs
from rtsep.train_settings import DataSource

TEST = "test"
"""The folder in which MUSDB18 and its like keep the songs that nobody may train on."""


def songs_to_judge(
    recipe: Recipe, roots: Sequence[Path], cache: Path, progress: Callable[[int, int], None]
) -> tuple[list[Song], DataReport]:
    """All songs in `test` of the roots that have such a folder; in the others, those that the recipe holds out.

    `cache`, `progress` and what is raised: as `load_songs` has it.
    """
    songs, report = list[Song](), DataReport()
    own = [root for root in roots if not (root / TEST).is_dir()]
    searches = [(_test_recipe(recipe, root), [root], False) for root in roots if root not in own]
    if own:
        searches.append((recipe, own, True))
    for searched, where, held_out in searches:
        found, told = load_songs(searched, where, cache, held_out, progress=progress)
        songs += found
        report.sources += told.sources
    return songs, report


def _test_recipe(recipe: Recipe, root: Path) -> Recipe:
    """As if the recipe's only source were the root's `test`."""
    files = any((root / TEST).glob(f"*{STEM_MP4}"))
    source = DataSource(folder=TEST, layout="stem.mp4" if files else "stems")
    return replace(recipe, train=replace(recipe.train, data=(source,)))
