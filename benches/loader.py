"""Crops per second of the loader by its number of threads, or of a CUDA device: `python -m benches.loader [RECIPE]`.

Songs of noise are decoded into a cache and drawn with the recipe's crops and augmentations. Nothing is trained, so the
loader has all processors. A device needs batch size / step time crops per second.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np
import soundfile
from msgspec.structs import replace

from benches.report import REPOSITORY
from rtsep.recipe import load_recipe
from rtsep.separation.backends.pytorch import choose_compute
from rtsep.train.crops.loader import CropLoader
from rtsep.train.crops.sampler import CropSampler, shortest_song
from rtsep.train.data.songs import load_songs
from rtsep.train_settings import DataSource

SONGS, SONG_S = 4, 30


def write_songs(folder: Path, stems: tuple[str, ...]) -> None:
    random = np.random.default_rng(0)
    for number in range(SONGS):
        song = folder / "songs" / str(number)
        song.mkdir(parents=True)
        for stem in stems:
            noise = 0.1 * random.standard_normal((44100 * SONG_S, 2), np.float32)
            soundfile.write(song / f"{stem}.wav", noise, 44100, subtype="PCM_16")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    default = REPOSITORY / "models" / "frame-transformer-2stems" / "recipe.toml"
    parser.add_argument("recipe", type=Path, nargs="?", default=default)
    parser.add_argument("--crops", type=int, default=64)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2, 4, 8], help="not used on a CUDA device")
    parser.add_argument("--compute", default="cpu")
    wanted = parser.parse_args()
    device = choose_compute(wanted.compute)
    recipe = load_recipe(wanted.recipe)
    source = DataSource(folder="songs", layout="stems")
    recipe = replace(recipe, train=replace(recipe.train, data=(source,)))
    with tempfile.TemporaryDirectory() as folder:
        write_songs(Path(folder), recipe.stems)
        began = time.perf_counter()
        songs, _ = load_songs(recipe, [Path(folder)], Path(folder) / "cache", False, shortest_song(recipe))
        seconds = SONGS * SONG_S * len(recipe.stems)
        print(f"decoded {seconds} s of stems at {seconds / (time.perf_counter() - began):.0f} times real time")
        sampler = CropSampler(recipe, songs, 1, device)
        steps = max(1, wanted.crops // recipe.train.batch)
        print(f"{device}; batches of {recipe.train.batch} crops of {sampler.samples} samples")
        for threads in wanted.threads if device.type == "cpu" else [1]:
            with closing(CropLoader(sampler, threads).batches(0)) as batches:
                next(batches)
                began = time.perf_counter()
                drawn = sum(len(batch.stems) for batch in islice(batches, steps))
                print(f"{threads} threads: {drawn / (time.perf_counter() - began):.1f} crops per second", flush=True)


if __name__ == "__main__":
    main()
