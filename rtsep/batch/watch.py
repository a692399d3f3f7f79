"""Songs that arrive in folders, as soon as they are complete."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rtsep.audio.files.folders import list_folder, natural
from rtsep.audio.files.suffixes import AUDIO_SUFFIXES
from rtsep.errors import MissingPackage, UsageError

if sys.platform == "linux":
    import fcntl

QUIET_S = 2.0
"""How long a file has not changed when it is taken to be complete, unless somebody still has it open for writing."""
WAKE_MS = 500
State = tuple[int, int]
"""Size and time of the last change in ns."""


def arriving_songs(folders: Sequence[Path], out: Path) -> Iterator[list[Path]]:
    """Lists of songs that are complete: first those that are there, then others as they arrive. It never ends.

    A song comes again when it has changed. What lies below `out` is left out.

    Raises MissingPackage without watchfiles, UsageError for what is not a folder.
    """
    watchfiles = _import_watchfiles()
    for folder in folders:
        if not os.path.isdir(folder):
            raise UsageError(f"--watch: {folder} is not a folder")
    # As the system reports events, so that each song has one path.
    return _arriving(watchfiles, Arrivals([folder.resolve() for folder in folders], out.resolve()))


def _arriving(watchfiles: Any, arrivals: Arrivals) -> Iterator[list[Path]]:
    folders = arrivals.folders
    is_first = True
    events = watchfiles.watch(
        *folders, watch_filter=None, yield_on_timeout=True, rust_timeout=WAKE_MS, debounce=WAKE_MS
    )
    for changes in events:
        # It watches from before the first round on, so that no song arrives unseen after this look.
        arrivals.notice(folders if is_first else (Path(path) for _, path in changes))
        is_first = False
        if songs := arrivals.complete(time.monotonic()):
            yield songs


@dataclass
class Arrivals:
    """Which songs are on their way, and which have been taken.

    Args:
        folders: absolute.
        out: absolute; songs below it are stems of others.
    """

    folders: Sequence[Path]
    out: Path
    _waiting: dict[Path, tuple[State, float]] = field(default_factory=dict)  # and since when it is like that
    _taken: dict[Path, State] = field(default_factory=dict)

    def notice(self, paths: Iterable[Path]) -> None:
        """Something has happened to a file, or to a folder and what is in it."""
        for path in paths:
            for song in list_folder(path).songs if os.path.isdir(path) else [path]:
                if song.suffix.lower() in AUDIO_SUFFIXES and not self._is_left_out(song):
                    self._waiting.setdefault(song, ((-1, -1), 0.0))

    def complete(self, now_s: float) -> list[Path]:
        """Take the songs that have been quiet long enough, in natural order."""
        songs: list[Path] = []
        for song, (state, since_s) in list(self._waiting.items()):
            try:
                found = os.stat(song)
            except OSError:  # gone again; or it cannot be seen at all
                del self._waiting[song]
                continue
            now = (found.st_size, found.st_mtime_ns)
            if now == self._taken.get(song):
                del self._waiting[song]
            elif now != state:
                self._waiting[song] = (now, now_s)
            elif now_s - since_s >= QUIET_S and not has_writer(song):
                del self._waiting[song]
                self._taken[song] = now
                songs.append(song)
        return sorted(songs, key=natural)

    def _is_left_out(self, song: Path) -> bool:
        below = next((song.relative_to(folder) for folder in self.folders if song.is_relative_to(folder)), song)
        return self.out in song.resolve().parents or any(part.startswith(".") for part in below.parts)


def has_writer(path: Path) -> bool:
    """Whether a process has a file open for writing. Only known on Linux and for the user's own files; else False."""
    if sys.platform != "linux" or not os.path.isfile(path):
        return False
    try:
        with path.open("rb") as file:
            # Who opens the file for writing at this moment makes the kernel send a signal: one that is ignored.
            fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:  # somebody else's file, or a file system without leases
        return False
    return False


def _import_watchfiles() -> Any:
    try:
        import watchfiles
    except ImportError:
        text = "--watch needs watchfiles, which is not installed: pip install 'rtsep[watch]'"
        raise MissingPackage(text) from None
    return watchfiles
