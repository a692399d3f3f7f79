"""Files that are whole under their name or not there, and a disk that refuses told in one line."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rtsep.errors import RtsepError


def refusal(path: Path, error: OSError) -> str:
    """What a disk that does not take `path` says, and what to do, in one line."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"no room left to write {path}: free some space or choose another folder"
    return f"cannot write {path}: {error.strerror or error}"


@contextmanager
def refusals_told(path: Path, error_type: type[RtsepError] = RtsepError) -> Iterator[None]:
    """One line that names the path in place of an OSError."""
    try:
        yield
    except OSError as error:
        raise error_type(refusal(path, error)) from error


def write_atomically(path: Path, content: bytes | memoryview) -> None:
    """Write under a temporary name, then rename: what stood there before stays until then. RtsepError, as above."""
    partial = path.with_name(path.name + ".part")
    with refusals_told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
