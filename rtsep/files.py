"""Finding files, reading text, and writing files whole or not at all. One clear line on failure."""

from __future__ import annotations

import codecs
import errno
import os
import re
import secrets
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from rtsep.errors import RtsepError

if sys.platform != "win32":
    import fcntl

_LONGEST_BASE_BYTES = 100
"""How much of a file's name its temporary name repeats: with the rest it must stay below the 255 bytes of a name."""


# Notepad and PowerShell begin a text with a byte order mark; without one it is UTF-8.
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_text(path: Path, error_type: type[RtsepError] = RtsepError) -> str:
    """The text of a file in UTF-8, or in UTF-16 with a byte order mark; lines end with a newline alone.

    Raises `error_type` if it cannot be read or is not text.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise error_type(f"cannot read {path}: {error.strerror or error}") from error
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise error_type(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def existing(folders: Iterable[Path], text: str) -> Iterator[Path]:
    """What exists of a path in the folders: as it is written, or without blanks around it and with `\\` as `/`.

    People write paths in tables, recipes and job files on whatever system they use.
    """
    names = dict.fromkeys((text, text.strip().replace("\\", "/")))
    return (folder / name for folder in folders for name in names if os.path.exists(folder / name))


def write_error_text(path: Path, error: OSError) -> str:
    """One line for an error met while writing `path`: what is wrong, and what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no space left to write {path}: free some space or choose another folder"
    if error.errno == errno.EFBIG:
        return f"no space left to write {path}: the file system, or ulimit -f, allows no larger file"
    return f"cannot write {path}: {error.strerror or error}"


@contextmanager
def write_errors(path: Path, error_type: type[RtsepError] = RtsepError) -> Iterator[None]:
    """Turn an OSError into an `error_type` whose one line names `path`."""
    try:
        yield
    except OSError as error:
        raise error_type(write_error_text(path, error)) from error


def temporary_path(path: Path) -> Path:
    """A hidden name beside `path` that no other process uses: `.NAME.0123abcd.part`."""
    base = os.fsdecode(os.fsencode(path.name)[:_LONGEST_BASE_BYTES])
    return path.with_name(f".{base}.{secrets.token_hex(4)}.part")


_TEMPORARY = re.compile(r"\..*\.[0-9a-f]{8}\.part", re.DOTALL)


def create_temporary(temporary: Path) -> BinaryIO:
    """Create a file that `temporary_path` named, locked as long as it is open: `remove_abandoned` leaves it alone."""
    file = temporary.open("x+b")
    _try_lock(file)
    return file


def remove_abandoned(folder: Path) -> None:
    """Remove the temporary files that processes which were killed left in a folder, and the folder if it is empty then.

    Those of processes that still run are locked (on Windows: open) and stay.
    """
    with suppress(OSError):  # no such folder, or a closed one
        left = [path for path in folder.iterdir() if _TEMPORARY.fullmatch(path.name) and path.is_file()]
        for path in left:
            with suppress(OSError), path.open("r+b") as file:
                if _try_lock(file):
                    path.unlink()
        if left:
            folder.rmdir()


def _try_lock(file: BinaryIO) -> bool:
    """Lock a file until it is closed; False if another process has locked it, or the file system has no locks."""
    if sys.platform != "win32":
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system can."""
    if sys.platform != "win32":
        with suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


@contextmanager
def replacing(path: Path, error_type: type[RtsepError] = RtsepError) -> Iterator[Path]:
    """Write a file in one step: yields a temporary path, whose file replaces `path` when the block ends normally.

    The content is on the disk before the rename. After an exception `path` is as it was and nothing else is left.
    Folders are made as needed. Raises `error_type` when the disk refuses.
    """
    temporary = temporary_path(path)
    try:
        with write_errors(path, error_type):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
    finally:
        with suppress(OSError):  # renamed, or never made
            temporary.unlink()


def write_atomically(path: Path, content: bytes | memoryview, error_type: type[RtsepError] = RtsepError) -> None:
    """Write `content` to `path` as `replacing` does."""
    with replacing(path, error_type) as temporary, create_temporary(temporary) as file:
        file.write(content)
