"""Job files in the format of carperbr's program: JSON with `convert` and `copy`, lists of files, and `output`."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from rtsep.errors import RtsepError
from rtsep.files import existing, read_text


class Job(Struct, frozen=True, forbid_unknown_fields=True):
    """Files to separate, files to copy because they are instrumental already, and the output folder."""

    convert: list[str] | None = None
    copy: list[str] | None = None
    output: str | None = None


def read_job(path: Path) -> tuple[list[Path], list[Path], Path]:
    """Read a job file: songs to separate, songs to copy, and a folder relative to --out.

    Paths are relative to the folder of the job file, also as Windows writes them. Raises RtsepError if it is not a
    valid job, or `output` is not inside --out.
    """
    try:
        job = msgspec.json.decode(read_text(path), type=Job)
    except msgspec.DecodeError as error:
        raise RtsepError(f"{path} is not a valid job file: {error}") from error
    if any("\0" in name for name in (*(job.convert or []), *(job.copy or []), job.output or "")):
        raise RtsepError(f"{path} is not a valid job file: a name contains a NUL character")
    folder = Path(job.output or ".")
    if folder.is_absolute() or ".." in folder.parts:
        raise RtsepError(f"{path}: output {job.output!r} is not a folder inside --out")
    convert, copy = ([_file(path.parent, name) for name in names or []] for names in (job.convert, job.copy))
    return convert, copy, folder


def _file(folder: Path, name: str) -> Path:
    """The file that a job names, as it is written if there is none."""
    return next(existing([folder], name), folder / name)
