"""Folders in place of audio files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from rtsep.audio.files.suffixes import AUDIO_SUFFIXES


@dataclass
class FolderContents:
    """What lies below a folder: audio files, folders that cannot be read, and how many files are no audio."""

    songs: list[Path] = field(default_factory=list)
    unreadable: list[Path] = field(default_factory=list)
    others: int = 0


def with_folders_expanded(paths: Iterable[Path]) -> list[Path]:
    """Return `paths` with the audio files below each folder in its place, in natural order: track 2 before track 10.

    Hidden files are ignored. A folder without audio files stays as it is, for whoever opens it to complain about.
    """
    # os.path, unlike Path, is false for what the system refuses to look up: too long a name, a closed folder.
    expanded: list[Path] = []
    for path in paths:
        expanded += (os.path.isdir(path) and list_folder(path).songs) or [path]
    return expanded


def list_folder(folder: Path) -> FolderContents:
    """Look through a folder and those below it, also by symbolic links; each of them once, so that loops end."""
    contents = FolderContents()
    _look_through(folder, contents, set())
    contents.songs.sort(key=natural)
    return contents


def natural(path: Path) -> list[list[tuple[bool, int, str]]]:
    """Sort key by which numbers in names count as numbers, and come before letters."""
    parts = ((re.findall(r"(\d+)|(\D+)", part)) for part in path.parts)
    return [[(not digits, int(digits or 0), text.casefold()) for digits, text in part] for part in parts]


def _look_through(folder: Path, contents: FolderContents, seen: set[tuple[int, int]]) -> None:
    try:
        itself = os.stat(folder)
        if (itself.st_dev, itself.st_ino) in seen:
            return
        seen.add((itself.st_dev, itself.st_ino))
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
    except OSError:  # closed, removed meanwhile, or too long a path
        contents.unreadable.append(folder)
        return
    for path in sorted((folder / name for name in names), key=natural):
        if os.path.isdir(path):
            _look_through(path, contents, seen)
        elif path.suffix.lower() in AUDIO_SUFFIXES:
            contents.songs.append(path)
        else:
            contents.others += 1
