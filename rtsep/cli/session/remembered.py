"""What `rtsep play` remembers: whether a run takes part, `--resume`, `--recent` and the device chosen last."""

from __future__ import annotations

import json as json_format
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rtsep.audio.devices.discovery import Device, find_device
from rtsep.cli.session.options import PlayOptions
from rtsep.control.memory import OUTPUT
from rtsep.control.song_store import SongStore
from rtsep.errors import RtsepError
from rtsep.ui import console
from rtsep.ui.status_line import clock

LISTED = 20
"""Songs of `--recent`."""


def open_store(options: PlayOptions, has_keys: bool) -> SongStore | None:
    """The store, where somebody plays by hand; None for scripts, with `--no-state`, and if it can't be used (a line
    says so then)."""
    if options.no_state or options.no_ui or options.json or not has_keys:
        return None
    try:
        return SongStore()
    except RtsepError as error:
        console.say(error)
        return None


def resumed(songs: Sequence[Path], options: PlayOptions) -> tuple[Sequence[Path], PlayOptions]:
    """Songs and options with the position to continue at; without songs the one that was played last.

    Raises RtsepError if none was, or the store can't be used.
    """
    with SongStore() as store:
        record = store.song(songs[0]) if songs else next(iter(store.recent(1)), None)
    if record is None:
        if not songs:
            raise RtsepError("--resume: no song was played yet; name one")
        return songs, options
    return songs or [record.path], replace(options, start=options.start or record.position_s)


def output_device(options: PlayOptions, store: SongStore | None) -> Device:
    """The device of `--device`, else the one chosen last in a player if it is there, else the system's."""
    chosen = None if store is None or options.device is not None else store.setting(OUTPUT)
    if chosen is not None:
        try:
            device = find_device(chosen)
        except RtsepError:
            pass
        else:
            console.say(f"playing on {device.name}, chosen last time; --device names another")
            return device
    return find_device(options.device)


def list_recent(json: bool) -> None:
    """Print the songs that were played last: when, how far, which. RtsepError if the store can't be used."""
    with SongStore() as store:
        records = store.recent(LISTED)
    if json:
        found = [{"file": str(r.path), "position_s": r.position_s, "played_at": r.played_at} for r in records]
        console.put(json_format.dumps(found))
        return
    if not records:
        console.say("no song was played yet")
    for record in records:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(record.played_at))
        console.put(f"{when}  {clock(record.position_s):>7}  {record.path}")
