"""Audio that comes on stdin."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from rtsep.errors import RtsepError

STDIN = Path("-")


def save_stdin(folder: Path) -> Path:
    """Write what comes on stdin to a file, since separators may read a song twice. RtsepError if the disk is full."""
    path = folder / "stdin"
    try:
        with path.open("xb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
    except OSError as error:
        raise RtsepError(f"cannot keep stdin in {folder} ({error.strerror}); TMPDIR names another folder") from error
    return path
