"""Training material: songs with true stems, decoded once into memory-mapped files and read by segment.

Every song becomes one int16 array (stems, 2, samples) at the recipe's rate. Which stems it has follows from its files:
`instrumental` is the sum of all that is not vocals.
"""

from __future__ import annotations

import csv
import glob
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtsep.audio.files import open_audio
from rtsep.audio.resample import EngineReader
from rtsep.errors import RtsepError
from rtsep.recipe import Recipe
from rtsep.train_settings import DataSource

SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3")
HEADROOM = 0.5  # of full scale: a decoded stem may exceed it
READ_SAMPLES = 44100 * 10


@dataclass(frozen=True)
class Song:
    """A decoded song. `audio`: int16 (stems, 2, samples), times HEADROOM * 32767 per unit."""

    name: str
    audio: NDArray[np.int16]
    source: DataSource

    @property
    def samples(self) -> int:
        return self.audio.shape[2]

    def segment(self, start: int, length: int) -> NDArray[np.float32]:
        """(stems, 2, length) float32 from sample `start`."""
        return self.audio[:, :, start : start + length].astype(np.float32) / (HEADROOM * 32767)


def find_songs(folder: Path, source: DataSource) -> dict[str, dict[str, Path]]:
    """The files of each song of a source, by stem name. Raises RtsepError if the folder holds none."""
    root = folder / source.folder
    songs: dict[str, dict[str, Path]] = {}
    if source.layout == "stems":
        for song in sorted(path for path in root.glob("*") if path.is_dir()):
            files = {path.stem: path for path in sorted(song.iterdir()) if path.suffix.lower() in SUFFIXES}
            files.pop("mixture", None)
            if "vocals" in files and len(files) > 1:
                songs[song.name] = files
    elif source.layout == "spleeter":
        songs = _listed_songs(root, folder)
    else:
        for vocals in sorted(root.glob("*.vocals.*")):
            name = vocals.name.split(".vocals.")[0]
            partners = sorted(root.glob(f"{glob.escape(name)}.accompaniment.*"))
            if partners:
                songs[name] = {"vocals": vocals, "accompaniment": partners[0]}
    if not songs:
        raise RtsepError(
            f"no songs with layout {source.layout!r} in {root}; check --data and the recipe's folder names"
        )
    return songs


def _listed_songs(table: Path, folder: Path) -> dict[str, dict[str, Path]]:
    """What Spleeter's CSV lists: columns mix_path, duration and STEM_path for each stem, paths relative to `folder`."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, strict=True)
            columns = {name.removesuffix("_path"): name for name in rows.fieldnames or () if name.endswith("_path")}
            mixture = columns.pop("mix", None)
            if mixture is None or not columns:
                raise RtsepError(f"{table} is none of Spleeter's lists: no column mix_path with STEM_path beside it")
            songs = {}
            for row in rows:
                if not all(row[name] for name in (mixture, *columns.values())):
                    raise RtsepError(f"{table}, line {rows.line_num}: a path is missing")
                name = str(Path(row[mixture]).with_suffix("")).replace("/", "_").replace("\\", "_")
                songs[name] = {stem: folder / row[column] for stem, column in columns.items()}
                if missing := [path for path in songs[name].values() if not path.is_file()]:
                    raise RtsepError(f"{table}, line {rows.line_num}: {missing[0]} is not there")
            return songs
    except OSError as error:
        raise RtsepError(f"cannot read {table}: {error.strerror}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise RtsepError(f"{table} is no CSV: {error}") from error


def read_file(path: Path) -> NDArray[np.float32]:
    """A whole file at the engine's rate, (2, samples)."""
    reader = EngineReader(open_audio(path))
    try:
        blocks = []
        while (block := reader.read(READ_SAMPLES)).shape[1]:
            blocks.append(block.copy())
        if reader.reader.truncated:
            raise RtsepError(reader.reader.truncated)
    finally:
        reader.close()
    return np.concatenate(blocks, axis=1) if blocks else np.zeros((2, 0), np.float32)


def group_stems(files: dict[str, NDArray[np.float32]], stems: tuple[str, ...]) -> NDArray[np.float32]:
    """Sum files into the wanted stems, (stems, 2, samples); shorter files end in silence.

    Raises RtsepError for a stem that these files cannot give.
    """
    length = max(audio.shape[1] for audio in files.values())
    result = np.zeros((len(stems), 2, length), np.float32)
    for index, stem in enumerate(stems):
        parts = [stem] if stem in files else []
        if not parts and stem == "instrumental":
            parts = [name for name in files if name != "vocals"]
        if not parts:
            raise RtsepError(f"a song with {sorted(files)} cannot give the stem {stem!r}")
        for part in parts:
            result[index, :, : files[part].shape[1]] += files[part]
    return result


def decode_song(name: str, files: dict[str, Path], source: DataSource, stems: tuple[str, ...], cache: Path) -> Song:
    """The song as a memory map, decoded into `cache` unless the very same files were decoded before."""
    facts = [f"{path.resolve()} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in files.values()]
    key = hashlib.sha256("\n".join([*facts, *stems]).encode()).hexdigest()[:20]
    target = cache / f"{name}-{key}.npy"
    if not target.exists():
        cache.mkdir(parents=True, exist_ok=True)
        grouped = group_stems({stem: read_file(path) for stem, path in files.items()}, stems)
        scaled = np.clip(np.rint(grouped * (HEADROOM * 32767)), -32768, 32767).astype(np.int16)
        partial = target.with_suffix(f".{os.getpid()}.npy")
        np.save(partial, scaled)
        partial.replace(target)
    return Song(name, np.load(target, mmap_mode="r"), source)


def is_held_out(name: str, source: DataSource) -> bool:
    """Whether a song is kept for evaluation."""
    return any(name == word or name.startswith(f"{word}_") for word in source.holdout)


def load_songs(recipe: Recipe, data: Path, cache: Path, held_out: bool) -> list[Song]:
    """All training songs, or all held-out ones: for these, sources that hold none out need not be there."""
    return [
        decode_song(name, files, source, recipe.stems, cache)
        for source in recipe.train.data
        if source.holdout or not held_out
        for name, files in find_songs(data, source).items()
        if is_held_out(name, source) == held_out
    ]
