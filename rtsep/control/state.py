"""The state that every face shows, and its JSON."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from rtsep.player.snapshot import PlayerSnapshot

STATE_VERSION = 1
"""Raised when a field changes its meaning or disappears; new fields do not raise it."""


class State(msgspec.Struct, frozen=True):
    """Everything there is to display, at about one moment.

    Attributes:
        version: of this structure.
        player: the player's snapshot.
        selected: number of the stem that `change_gain` moves.
        queue_changes: counts the changes of the queue, see `rtsep.control.desk.Desk.queue`.
        preset: the one that the faders stand at; None if they stand at none, or none has been asked for yet.
    """

    version: int
    player: PlayerSnapshot
    selected: int
    queue_changes: int = 0
    preset: str | None = None


class QueuedSong(msgspec.Struct, frozen=True):
    """A song of the queue; `length_s` is None while nobody knows."""

    name: str
    length_s: float | None


def as_json(state: State) -> bytes:
    """The state as one JSON object. Minus infinity dB is null; a file is its name only, without folders."""
    player = state.player
    folders = () if player.file is None else (str(player.file.parent),)
    shown = {
        name: tuple(without_folders(line, *folders) for line in getattr(player, name))
        for name in ("messages", "notices")
    }
    return _encoder.encode(msgspec.structs.replace(state, player=replace(player, **shown)))


def without_folders(text: str, *folders: str) -> str:
    """A line for people far away: of every path only its last part. `folders` may have spaces in their names."""
    for folder in sorted(folders, key=len, reverse=True):
        text = text.replace(folder.rstrip("/\\") + os.sep, "")
    return _FOLDERS.sub("", text)


def plain(value: Any) -> Any:
    """What msgspec's encoders cannot write by themselves, made plain: a file becomes its name only."""
    if isinstance(value, Path):
        return value.name
    raise NotImplementedError(f"no encoding for {type(value).__name__}")


_FOLDERS = re.compile(r"(?<![\w.~/\\:])(?:~|[A-Za-z]:)?[/\\](?:[^\s/\\\"':;,()]+[/\\])*(?=[^\s/\\])")
_encoder = msgspec.json.Encoder(enc_hook=plain)
