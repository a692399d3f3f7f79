"""Paths that people write in tables and recipes, on whatever system they write them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path


def existing(folders: Iterable[Path], text: str) -> Iterator[Path]:
    """What exists of `text` in the folders: as it is written, or without blanks around it and with `\\` as `/`."""
    names = dict.fromkeys((text, text.strip().replace("\\", "/")))
    return (folder / name for folder in folders for name in names if (folder / name).exists())
