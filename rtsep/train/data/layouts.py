"""Where the songs of a source are, by its layout: which files hold which part of a song. Nothing is decoded here."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rtsep.audio.files.suffixes import AUDIO_SUFFIXES
from rtsep.train.data.data_report import Skipped
from rtsep.train.data.decode import Part
from rtsep.train.data.npz_crops import crop_parts
from rtsep.train.data.stem_plan import ALIASES, Unusable, part_name
from rtsep.train_settings import DataSource, Layout

STEM_MP4 = ".stem.mp4"
STEM_MP4_STREAMS = ("mixture", "drums", "bass", "other", "vocals")  # MUSDB18's order
PAIR_PARTS = sorted({"vocals", "mixture", "instrumental", *ALIASES}, key=len, reverse=True)
PAIR_NAME = re.compile(rf"(?P<song>.+?)[._-](?P<part>{'|'.join(PAIR_PARTS)})", re.IGNORECASE)

Kind = Literal["song", "instrumental", "vocals"]
"""An instrumental has no vocals, they are added; vocals are what is added to others."""


@dataclass(frozen=True)
class Found:
    """A song that is not decoded yet.

    Attributes:
        held_out: whether the source itself, not the recipe, keeps it for evaluation.
        cache: folder to decode it into, if not the usual one.
    """

    name: str
    parts: dict[str, Part]
    kind: Kind = "song"
    held_out: bool = False
    cache: Path | None = None


def find(folder: Path, source: DataSource) -> Iterator[Found | Skipped]:
    """What lies in one folder of a source of any layout but `spleeter`, sorted by name."""
    return FINDERS[source.layout](folder)


def _sounds(folder: Path, everywhere: bool = False) -> list[Path]:
    """Audio files by their suffix, but for hidden ones."""
    paths = folder.rglob("*") if everywhere else folder.iterdir()
    visible = (path for path in paths if path.is_file() and not path.name.startswith("."))
    return sorted(path for path in visible if path.suffix.lower() in AUDIO_SUFFIXES)


def _stems(folder: Path) -> Iterator[Found | Skipped]:
    for song in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        parts: dict[str, Part] = {}
        for path in _sounds(song):
            parts.setdefault(part_name(path.stem), Part(path))
        yield Found(song.name, parts) if parts else Skipped(song.name, "no audio files in it")


def _stem_mp4(folder: Path) -> Iterator[Found | Skipped]:
    for path in sorted(folder.rglob(f"*{STEM_MP4}")):
        if not path.name.startswith("."):
            parts = {part: Part(path, stream) for stream, part in enumerate(STEM_MP4_STREAMS)}
            yield Found(path.name.removesuffix(STEM_MP4), parts)


def _pairs(folder: Path) -> Iterator[Found | Skipped]:
    songs: dict[str, dict[str, Part]] = defaultdict(dict)
    for path in _sounds(folder):
        if match := PAIR_NAME.fullmatch(path.stem):
            songs[match["song"]].setdefault(part_name(match["part"]), Part(path))
        else:
            yield Skipped(path.name, "its name tells no part, as NAME.mixture.wav or NAME_vocals.wav do")
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
        part = part_name(inner.name)
        if part in ("vocals", "mixture", "instrumental"):
            for path in _sounds(inner):
                match = PAIR_NAME.fullmatch(path.stem)
                songs[match["song"] if match else path.stem].setdefault(part, Part(path))
    for name, parts in sorted(songs.items()):
        yield Found(name, parts) if len(parts) > 1 else Skipped(name, f"missing partner: only its {next(iter(parts))}")


def _whole(kind: Literal["instrumental", "vocals"]) -> Callable[[Path], Iterator[Found | Skipped]]:
    """Every audio file below the folder is a song of that kind."""

    def songs(folder: Path) -> Iterator[Found | Skipped]:
        for path in _sounds(folder, everywhere=True):
            yield Found(path.relative_to(folder).with_suffix("").as_posix(), {kind: Part(path)}, kind)

    return songs


def _npz(folder: Path) -> Iterator[Found | Skipped]:
    for path in sorted(folder.rglob("*.npz")):
        name = path.relative_to(folder).with_suffix("").as_posix()
        try:
            arrays = crop_parts(path)
        except Unusable as reason:
            yield Skipped(name, str(reason))
            continue
        kind: Kind = "song" if len(arrays) > 1 else "vocals" if "vocals" in arrays else "instrumental"
        yield Found(name, {part: Part(path, array=array) for part, array in arrays.items()}, kind)


FINDERS: dict[Layout, Callable[[Path], Iterator[Found | Skipped]]] = {
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
    "spleeter": "what the table names",
}
