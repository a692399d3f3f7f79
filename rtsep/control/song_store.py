"""What is remembered from run to run: a small SQLite file in the user's state folder, for any number of players."""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import platformdirs

from rtsep.errors import RtsepError

if sys.platform != "win32":
    import fcntl

FILE = "songs.sqlite"
VERSION = 1
"""Of the tables; a file of a later version is left alone."""
BUSY_LIMIT_S = 2.0
"""How long another player may write before this one gives up for now."""
_TABLES = """
CREATE TABLE IF NOT EXISTS songs (path TEXT PRIMARY KEY, commands BLOB, position_s REAL, played_at REAL);
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT);
"""


@dataclass(frozen=True)
class SongRecord:
    """A song that was played. `commands`: JSON of those that set the player as it was, None if nothing was set;
    `position_s`: where it was left; `played_at`: seconds since 1970."""

    path: Path
    commands: bytes | None
    position_s: float
    played_at: float


class SongStore:
    """The file of songs and settings. A context manager.

    A file that is damaged is renamed, and a fresh one begun; `notice` says so in one line.

    Args:
        folder: of the file; None is the user's state folder.

    Raises RtsepError if it can't be opened or read; methods do too.
    """

    def __init__(self, folder: Path | None = None) -> None:
        folder = platformdirs.user_state_path("rtsep") if folder is None else folder
        self.path = folder / FILE
        self.notice: str | None = None
        self._lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with _alone(folder / f"{FILE}.lock"):
                self._database = self._open()
        except (OSError, sqlite3.Error) as error:
            raise RtsepError(f"{self.path}: cannot be used ({error}); nothing is remembered") from error

    def __enter__(self) -> SongStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._database.close()

    def song(self, path: Path) -> SongRecord | None:
        """What is known of a song, wherever it is named from; None if it was never played."""
        rows = self._run("SELECT * FROM songs WHERE path = ?", _key(path))
        return _record(*rows[0]) if rows else None

    def recent(self, most: int) -> list[SongRecord]:
        """The songs that were played last, the latest first."""
        return [_record(*row) for row in self._run("SELECT * FROM songs ORDER BY played_at DESC LIMIT ?", most)]

    def write_song(self, path: Path, position_s: float, commands: bytes | None = None) -> None:
        """Note that a song was played to a position; `commands` None leaves those that are there."""
        self._run(
            "INSERT INTO songs VALUES (?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET position_s = excluded.position_s, "
            "played_at = excluded.played_at, commands = coalesce(excluded.commands, commands)",
            _key(path),
            commands,
            position_s,
            time.time(),
        )

    def setting(self, name: str) -> str | None:
        """A setting for all songs, None if it was never made."""
        rows = self._run("SELECT value FROM settings WHERE name = ?", name)
        return rows[0][0] if rows else None

    def write_setting(self, name: str, value: str) -> None:
        self._run("INSERT OR REPLACE INTO settings VALUES (?, ?)", name, value)

    # -- how ----------------------------------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        database = self._connect()
        try:
            (version,) = database.execute("PRAGMA user_version").fetchone()
            if version > VERSION:
                raise RtsepError(f"{self.path}: written by a newer rtsep; nothing is remembered")
            (state,) = database.execute("PRAGMA quick_check(1)").fetchone()
            if state != "ok":
                raise sqlite3.DatabaseError(state)
            self._make_tables(database)
        except sqlite3.OperationalError:  # busy, or a disk that is full: not its own fault
            database.close()
            raise
        except sqlite3.DatabaseError:
            database.close()
            aside = self.path.with_name(f"{FILE}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
            os.replace(self.path, aside)
            self.notice = f"{self.path} was damaged: kept as {aside.name}, starting afresh"
            database = self._connect()
            self._make_tables(database)
        except BaseException:
            database.close()
            raise
        return database

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=BUSY_LIMIT_S, isolation_level=None, check_same_thread=False)

    @staticmethod
    def _make_tables(database: sqlite3.Connection) -> None:
        database.executescript(_TABLES)
        database.execute("SELECT path, commands, position_s, played_at FROM songs LIMIT 1")
        database.execute(f"PRAGMA user_version = {VERSION}")

    def _run(self, text: str, *values: object) -> list[tuple]:
        """Every call is a transaction of its own."""
        try:
            with self._lock:
                return self._database.execute(text, values).fetchall()
        except sqlite3.Error as error:
            raise RtsepError(f"{self.path}: cannot be used ({error}); nothing more is remembered") from error


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let one process at a time open the file: two that find it damaged must not both replace it."""
    if sys.platform == "win32":
        yield
        return
    with path.open("ab") as file:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _key(path: Path) -> str:
    """One name for a file, wherever it is named from; bytes that are no text are kept as escapes."""
    return os.fsencode(os.path.realpath(path)).decode(errors="backslashreplace")


def _record(path: str, commands: bytes | None, position_s: float, played_at: float) -> SongRecord:
    return SongRecord(Path(path), commands, position_s, played_at)
