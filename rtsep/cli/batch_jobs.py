"""Batch jobs in the form of carperbr's program: a JSON file with `convert` and `copy`, lists of files, and `output`."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from rtsep.errors import RtsepError


class Job(Struct, frozen=True, forbid_unknown_fields=True):
    """Files to be separated, files that are instrumental already, and the folder for all of them."""

    convert: list[str] | None = None
    copy: list[str] | None = None
    output: str | None = None


def read_job(path: Path) -> tuple[list[Path], list[Path], Path]:
    """Songs to convert, songs to copy, and the folder within --out. Paths are relative to the job's own folder.

    Raises RtsepError in one line for a file that is no job, or whose folder leads out of --out.
    """
    try:
        job = msgspec.json.decode(path.read_bytes(), type=Job)
    except OSError as error:
        raise RtsepError(f"cannot read the job {path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RtsepError(f"{path}: {error}") from error
    folder = Path(job.output or ".")
    if folder.is_absolute() or ".." in folder.parts:
        raise RtsepError(f"{path}: output {job.output!r} must be a folder within --out")
    convert, copy = ([path.parent / name for name in names or []] for names in (job.convert, job.copy))
    return convert, copy, folder
