"""Folders in place of audio files."""

from __future__ import annotations

import os.path
import re
from collections.abc import Iterable
from pathlib import Path

from rtsep.audio.files.suffixes import AUDIO_SUFFIXES


def with_folders_expanded(paths: Iterable[Path]) -> list[Path]:
    """Return `paths` with the audio files below each folder in its place, in natural order: track 2 before track 10.

    Hidden files are ignored. A folder without audio files stays as it is, for whoever opens it to complain about.
    """
    # os.path, unlike Path, is false for what the system refuses to look up: too long a name, a closed folder.
    expanded: list[Path] = []
    for path in paths:
        expanded += (os.path.isdir(path) and _audio_files(path)) or [path]
    return expanded


def _audio_files(folder: Path) -> list[Path]:
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
    visible = [path for path in found if not any(part.startswith(".") for part in path.parts)]
    return [folder / path for path in sorted(visible, key=_natural) if os.path.isfile(folder / path)]


def _natural(path: Path) -> list[list[tuple[bool, int, str]]]:
    """Sort key by which numbers in names count as numbers, and come before letters."""
    parts = ((re.findall(r"(\d+)|(\D+)", part)) for part in path.parts)
    return [[(not digits, int(digits or 0), text.casefold()) for digits, text in part] for part in parts]
