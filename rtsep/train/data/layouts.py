"""Find the songs of a source, by its layout: which files hold which stems. Nothing is decoded here."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rtsep.audio.files.suffixes import AUDIO_SUFFIXES
from rtsep.train.data.data_report import SkippedSong
from rtsep.train.data.decode import StemFile
from rtsep.train.data.npz_crops import stem_arrays
from rtsep.train.data.stem_plan import ALIASES, UnusableSong, canonical_name
from rtsep.train_settings import DataSource, Layout

STEM_MP4 = ".stem.mp4"
STEM_MP4_STREAMS = ("mixture", "drums", "bass", "other", "vocals")  # the order of MUSDB18
PAIR_STEMS = sorted({"vocals", "mixture", "instrumental", *ALIASES}, key=len, reverse=True)
PAIR_NAME = re.compile(rf"(?P<song>.+?)[._-](?P<stem>{'|'.join(PAIR_STEMS)})", re.IGNORECASE)

SongKind = Literal["song", "instrumental", "vocals"]
"""An instrumental has no vocals: those of other songs are added to it. Vocals are for that."""


@dataclass(frozen=True)
class SongFiles:
    """The files of a song that is not decoded yet.

    Attributes:
        files: by the canonical name of what they hold.
        held_out: whether the source itself, not the recipe, keeps the song for evaluation.
        cache: folder for the decoded song, if not the usual one.
    """

    name: str
    files: dict[str, StemFile]
    kind: SongKind = "song"
    held_out: bool = False
    cache: Path | None = None


def find(folder: Path, source: DataSource) -> Iterator[SongFiles | SkippedSong]:
    """The songs in one folder of a source with any layout but `spleeter`, sorted by name."""
    return FINDERS[source.layout](folder)


def _sounds(folder: Path, everywhere: bool = False) -> list[Path]:
    """Visible audio files, by their suffix."""
    paths = folder.rglob("*") if everywhere else folder.iterdir()
    visible = (path for path in paths if path.is_file() and not path.name.startswith("."))
    return sorted(path for path in visible if path.suffix.lower() in AUDIO_SUFFIXES)


def _stems(folder: Path) -> Iterator[SongFiles | SkippedSong]:
    for song in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        files: dict[str, StemFile] = {}
        for path in _sounds(song):
            files.setdefault(canonical_name(path.stem), StemFile(path))
        yield SongFiles(song.name, files) if files else SkippedSong(song.name, "no audio files")


def _stem_mp4(folder: Path) -> Iterator[SongFiles | SkippedSong]:
    for path in sorted(folder.rglob(f"*{STEM_MP4}")):
        if not path.name.startswith("."):
            files = {stem: StemFile(path, stream) for stream, stem in enumerate(STEM_MP4_STREAMS)}
            yield SongFiles(path.name.removesuffix(STEM_MP4), files)


def _pairs(folder: Path) -> Iterator[SongFiles | SkippedSong]:
    songs: dict[str, dict[str, StemFile]] = defaultdict(dict)
    for path in _sounds(folder):
        if match := PAIR_NAME.fullmatch(path.stem):
            songs[match["song"]].setdefault(canonical_name(match["stem"]), StemFile(path))
        else:
            yield SkippedSong(path.name, "no stem in its name: expected NAME.mixture.wav, NAME_vocals.wav, ...")
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
        stem = canonical_name(inner.name)
        if stem in ("vocals", "mixture", "instrumental"):
            for path in _sounds(inner):
                match = PAIR_NAME.fullmatch(path.stem)
                songs[match["song"] if match else path.stem].setdefault(stem, StemFile(path))
    for name, files in sorted(songs.items()):
        if len(files) > 1:
            yield SongFiles(name, files)
        else:
            yield SkippedSong(name, f"only its {next(iter(files))}: the other file of the pair is missing")


def _whole(kind: Literal["instrumental", "vocals"]) -> Callable[[Path], Iterator[SongFiles | SkippedSong]]:
    """Finds every audio file below a folder, each a song of that kind."""

    def songs(folder: Path) -> Iterator[SongFiles | SkippedSong]:
        for path in _sounds(folder, everywhere=True):
            yield SongFiles(path.relative_to(folder).with_suffix("").as_posix(), {kind: StemFile(path)}, kind)

    return songs


def _npz(folder: Path) -> Iterator[SongFiles | SkippedSong]:
    for path in sorted(folder.rglob("*.npz")):
        name = path.relative_to(folder).with_suffix("").as_posix()
        try:
            arrays = stem_arrays(path)
        except UnusableSong as reason:
            yield SkippedSong(name, str(reason))
            continue
        kind: SongKind = "song" if len(arrays) > 1 else "vocals" if "vocals" in arrays else "instrumental"
        yield SongFiles(name, {stem: StemFile(path, array=array) for stem, array in arrays.items()}, kind)


FINDERS: dict[Layout, Callable[[Path], Iterator[SongFiles | SkippedSong]]] = {
    "stems": _stems,
    "stem.mp4": _stem_mp4,
    "pairs": _pairs,
    "instrumental": _whole("instrumental"),
    "vocals": _whole("vocals"),
    "npz": _npz,
}
EXPECTED: dict[Layout, str] = {
    "stems": "a folder for each song, with vocals.wav, drums.wav, ...",
    "stem.mp4": f"files named NAME{STEM_MP4}",
    "pairs": "NAME.mixture.wav beside NAME.instrumental.wav, or folders mixture and instrumental",
    "instrumental": "audio files",
    "vocals": "audio files",
    "npz": ".npz crops",
    "spleeter": "the files that the table names",
}
