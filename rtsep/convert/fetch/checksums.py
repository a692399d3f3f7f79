"""Checksums of downloads whose authors published none: recorded at the first download, compared at later ones."""

from __future__ import annotations

from pathlib import Path

import msgspec

from rtsep.errors import RtsepError
from rtsep.files import read_text, write_atomically


def recorded_sum(ledger: Path, address: str) -> str | None:
    """The sha256 of the first download from `address`, or None. Raises RtsepError if the ledger cannot be read."""
    return _read(ledger).get(address)


def record_sum(ledger: Path, address: str, sha256: str) -> None:
    """Add a checksum to the ledger. Raises RtsepError if it cannot be written."""
    sums = _read(ledger) | {address: sha256}
    write_atomically(ledger, msgspec.json.format(msgspec.json.encode(sums)))


def _read(ledger: Path) -> dict[str, str]:
    try:
        return msgspec.json.decode(read_text(ledger), type=dict[str, str]) if ledger.exists() else {}
    except msgspec.DecodeError as error:
        raise RtsepError(f"{ledger} (checksums of earlier downloads) is damaged: {error}") from error
