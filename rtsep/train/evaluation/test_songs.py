"""The songs that a model is evaluated on."""

from __future__ import annotations

import os.path
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec.structs import replace

from rtsep.errors import RtsepError
from rtsep.files import existing
from rtsep.recipe import Recipe
from rtsep.train.data.data_report import DataReport
from rtsep.train.data.layouts import STEM_MP4
from rtsep.train.data.songs import Song, load_songs
from rtsep.train_settings import DataSource

TEST = "test"
"""The folder in which MUSDB18 and similar data sets keep the songs that nobody trains on."""


def load_test_songs(
    recipe: Recipe, roots: Sequence[Path], cache: Path, progress: Callable[[int, int], None]
) -> tuple[list[Song], DataReport]:
    """All songs in the folder `test` of each root; from roots without one, the songs that the recipe holds out.

    For `cache`, `progress` and errors see `load_songs`.
    """
    songs, report = list[Song](), DataReport()
    own = [root for root in roots if not os.path.isdir(root / TEST)]
    searches = [(_test_recipe(recipe, root), [root], False) for root in roots if root not in own]
    if own:
        _check_held_out(recipe, own)
        searches.append((recipe, own, True))
    for searched, where, held_out in searches:
        found, found_report = load_songs(searched, where, cache, held_out, progress=progress)
        songs += found
        report.sources += found_report.sources
    return songs, report


def _check_held_out(recipe: Recipe, roots: Sequence[Path]) -> None:
    """Raises RtsepError if none of the folders with held-out songs is in the roots, which are folders."""
    folders = [source.folder for source in recipe.train.data if source.holdout or source.layout == "spleeter"]
    if all(map(os.path.isdir, roots)) and not any(True for folder in folders for _ in existing(roots, folder)):
        others = f", or one of the recipe's folders with held-out songs ({', '.join(folders)})" if folders else ""
        raise RtsepError(f"{' or '.join(map(str, roots))} has no songs to evaluate: expected a folder {TEST!r}{others}")


def _test_recipe(recipe: Recipe, root: Path) -> Recipe:
    """The recipe with the root's folder `test` as its only source."""
    files = any((root / TEST).glob(f"*{STEM_MP4}"))
    source = DataSource(folder=TEST, layout="stem.mp4" if files else "stems")
    return replace(recipe, train=replace(recipe.train, data=(source,)))
