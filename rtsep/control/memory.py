"""Remembers songs: what was set while one played is set again when it plays next.

A song's memory is the commands that restore it, so it holds whatever there are commands for, and what a later version
no longer knows is left out.
"""

from __future__ import annotations

import functools
import operator
import threading
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any

import msgspec

from rtsep.control.commands import mixing, practice
from rtsep.control.commands.base import Command
from rtsep.control.desk import Desk
from rtsep.control.song_store import SongStore
from rtsep.control.state import State
from rtsep.control.table import COMMANDS
from rtsep.errors import RtsepError
from rtsep.system.guarded_thread import guarded_thread

if TYPE_CHECKING:
    from rtsep.player.notices import Notices

LOOK_S = 0.25
END_S = 2.0
"""Before its end: a song left there begins anew."""
SAVE_S = 5.0
"""How much of a position is lost by a kill."""
VOLUME, OUTPUT = "volume_db", "output_device"
"""Settings for all songs."""
HINT = "--no-state plays without"
_ANY_COMMAND: Any = functools.reduce(operator.or_, COMMANDS)


def settings_of(state: State) -> list[Command]:
    """The commands that set what belongs to a song."""
    faders = list(zip(state.player.stems, state.player.faders, strict=True))
    gains = [mixing.SetGain(stem, None if fader.gain_db == float("-inf") else fader.gain_db) for stem, fader in faders]
    mutes = [mixing.SetMute(stem, fader.muted) for stem, fader in faders if fader.gain_db != float("-inf")]
    return [*gains, *mutes, practice.SetSpeed(state.player.speed), practice.SetKey(state.player.key)]


def encode(commands: Sequence[Command]) -> bytes:
    return msgspec.json.encode(commands)


def decode(data: bytes) -> list[Command]:
    """The commands that this version knows; the others are left out."""
    commands: list[Command] = []
    try:
        raws = msgspec.json.decode(data, type=list[msgspec.Raw])
    except msgspec.DecodeError:
        return []
    for raw in raws:
        with suppress(msgspec.DecodeError):
            commands.append(msgspec.json.decode(raw, type=_ANY_COMMAND))
    return commands


class Memory:
    """Restores songs when they begin, and saves them while they play. A context manager.

    Only what is changed while a song plays becomes its own, so that faders set for a whole queue are nobody's.

    Args:
        desk: of a player of songs.
        store: where it is kept.
        notices: receives a line for what was restored, and for what failed.
        restores_first: whether the volume and the settings of the first song are restored: not where the user has
            given others.
    """

    def __init__(self, desk: Desk, store: SongStore, notices: Notices, restores_first: bool) -> None:
        self._desk, self._store, self._notices = desk, store, notices
        self._ended = threading.Event()
        if store.notice is not None:
            notices.append(store.notice)
        if restores_first and (volume := store.setting(VOLUME)) is not None:
            self._restore([mixing.SetVolume(float(volume))])
        self._last = desk.state()
        self._volume_db, self._output = self._last.player.volume_db, self._last.player.output_device
        self._enter(self._last, restores_first)
        self._thread = guarded_thread(self._run, "rtsep-memory", "remembering songs", notices.append)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        try:
            self._last = self._desk.state()
            self._save()
        except RtsepError as failure:
            self._notices.append(str(failure))

    def _run(self) -> None:
        looks = 0
        while not self._ended.wait(LOOK_S):
            state = self._desk.state()
            looks += 1
            if state.player.file != self._last.player.file:
                # The faders are still those of the song before, the position is not.
                self._save(settings_of(state))
                self._enter(state, True)
            elif looks % round(SAVE_S / LOOK_S) == 0:
                self._last = state
                self._save()
            self._last = state

    def _enter(self, state: State, restores: bool) -> None:
        assert state.player.file is not None
        record = self._store.song(state.player.file)
        if restores and record is not None and record.commands is not None:
            self._restore(decode(record.commands))
        self._settings = settings_of(self._desk.state())

    def _restore(self, commands: Sequence[Command]) -> None:
        before = self._desk.state()
        for command in commands:
            with suppress(RtsepError):  # another model has other stems
                self._desk.do(command)
        if changes := changes_text(before, self._desk.state()):
            self._notices.append(f"as last time: {changes}; {HINT}")

    def _save(self, settings: list[Command] | None = None) -> None:
        """Save the last state seen; `settings`: other ones than it has."""
        player = self._last.player
        assert player.file is not None
        settings = settings_of(self._last) if settings is None else settings
        is_over = player.ended or (player.length_s is not None and player.position_s > player.length_s - END_S)
        commands = encode(settings) if settings != self._settings else None
        self._store.write_song(player.file, 0.0 if is_over else player.position_s, commands)
        if player.volume_db != self._volume_db:
            self._volume_db = player.volume_db
            self._store.write_setting(VOLUME, str(player.volume_db))
        if player.output_device not in (None, self._output):
            self._output = player.output_device
            self._store.write_setting(OUTPUT, player.output_device)


def changes_text(before: State, after: State) -> str:
    """What differs between two states, in words; empty if nothing does."""
    old, new = before.player, after.player
    parts = [
        f"{stem} {'muted' if is_now.silent else f'{is_now.gain_db:+g} dB'}"
        for stem, was, is_now in zip(new.stems, old.faders, new.faders, strict=True)
        if was != is_now
    ]
    if old.speed != new.speed:
        parts.append(f"speed {new.speed:g}")
    if old.key != new.key:
        parts.append(f"key {new.key:+g}")
    if old.volume_db != new.volume_db:
        parts.append(f"volume {new.volume_db:+g} dB")
    return ", ".join(parts)
