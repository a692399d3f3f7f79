"""Archives of weights: .zip, and .tar in any compression, unpacked so that nothing is written outside a folder."""

from __future__ import annotations

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath
from typing import IO

from rtsep.errors import RtsepError, one_line

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
MAX_BYTES = 4 << 30
MAX_FILES = 10_000
DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    ValueError,
    NotImplementedError,  # unknown compression
    RuntimeError,  # a password
)


def is_archive(path: Path) -> bool:
    """Whether a file is an archive, by name or by content. PyTorch's own files, which are zip files, are not."""
    if path.name.lower().endswith(ENDINGS):
        return True
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return not any(name.endswith("/data.pkl") for name in archive.namelist())
        return path.is_file() and tarfile.is_tarfile(path)
    except (OSError, *DAMAGE):
        return False


def unpack(path: Path, folder: Path) -> None:
    """Write the files of an archive below `folder`, except hidden ones.

    Raises RtsepError if a member leads elsewhere (an absolute path, `..`, a link) or is not a file, before it is
    written; if the archive holds more than MAX_BYTES or MAX_FILES; if it is damaged, truncated or cannot be written.
    """
    bytes_left, files_left = MAX_BYTES, MAX_FILES
    try:
        for name, size, content in _members(path):
            bytes_left, files_left = bytes_left - size, files_left - 1
            if bytes_left < 0 or files_left < 0:
                raise RtsepError(f"{path} is refused: it holds more than {MAX_BYTES >> 30} GiB or {MAX_FILES} files")
            target = folder / name
            if target.name.startswith("."):  # macOS adds them
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with content, target.open("xb") as file:
                shutil.copyfileobj(content, file)
    except DAMAGE as error:
        raise RtsepError(f"{path} is damaged or not an archive: {one_line(error)}") from error
    except OSError as error:
        if error.errno is None:  # damage, as gzip reports it
            raise RtsepError(f"{path} is damaged or not an archive: {one_line(error)}") from error
        raise RtsepError(f"cannot unpack {path}: {error.strerror}") from error


def _members(path: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    """(name, size in bytes, content) of each file, after its name and type were checked."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                kind = stat.S_IFMT(info.external_attr >> 16)
                _check(path, info.filename, kind in (0, stat.S_IFREG, stat.S_IFDIR))
                if not info.is_dir():
                    yield info.filename, info.file_size, archive.open(info)
    else:
        with tarfile.open(path) as archive:
            for member in archive:
                _check(path, member.name, member.isdir() or (member.isreg() and not member.issparse()))
                content = archive.extractfile(member)
                if content is not None:
                    yield member.name, member.size, content
            while archive.fileobj and archive.fileobj.read(1 << 20):  # to its checksum at the end
                pass


def _check(path: Path, name: str, is_plain: bool) -> None:
    # Paths that are absolute or lead upwards on Windows include those of other systems.
    place = PureWindowsPath(name)
    if place.anchor or ".." in place.parts:
        raise RtsepError(f"{path} is refused: its member {name[:80]!r} would be written outside the folder")
    if not (is_plain and name.isprintable()):
        raise RtsepError(f"{path} is refused: its member {name[:80]!r} is not a plain file")
