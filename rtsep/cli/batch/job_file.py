"""Job files in the format of carperbr's program: JSON with `convert` and `copy`, lists of files, and `output`."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from rtsep.errors import RtsepError


class Job(Struct, frozen=True, forbid_unknown_fields=True):
    """Files to separate, files to copy because they are instrumental already, and the output folder."""

    convert: list[str] | None = None
    copy: list[str] | None = None
    output: str | None = None


def read_job(path: Path) -> tuple[list[Path], list[Path], Path]:
    """Read a job file: songs to separate, songs to copy, and a folder relative to --out.

    Paths are relative to the folder of the job file. Raises RtsepError if it is not a valid job, or `output` is not
    inside --out.
    """
    try:
        job = msgspec.json.decode(path.read_bytes(), type=Job)
    except OSError as error:
        raise RtsepError(f"cannot read the job file {path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RtsepError(f"{path} is not a valid job file: {error}") from error
    folder = Path(job.output or ".")
    if folder.is_absolute() or ".." in folder.parts:
        raise RtsepError(f"{path}: output {job.output!r} is not a folder inside --out")
    convert, copy = ([path.parent / name for name in names or []] for names in (job.convert, job.copy))
    return convert, copy, folder
