"""Which songs a model is judged by."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from msgspec.structs import replace

from rtsep.recipe import Recipe
from rtsep.train.data import Song, load_songs
from rtsep.train_settings import DataSource

TEST = DataSource(folder="test", layout="stems")
"""Where MUSDB18 and its like keep the songs that nobody may train on."""


def songs_to_judge(recipe: Recipe, folders: Iterable[Path], cache: Path) -> list[Song]:
    """Of each folder all songs in `test`; where it has no such folder, those that the recipe holds out."""
    test = replace(recipe, train=replace(recipe.train, data=(TEST,)))
    songs = []
    for folder in folders:
        if (folder / TEST.folder).is_dir():
            songs += load_songs(test, folder, cache, held_out=False)
        else:
            songs += load_songs(recipe, folder, cache, held_out=True)
    return songs
