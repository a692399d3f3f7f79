"""Checksums of downloads whose authors published none: taken at the first use, held against every later one."""

from __future__ import annotations

from pathlib import Path

import msgspec

from rtsep.errors import RtsepError
from rtsep.files import write_atomically


def recorded_sum(ledger: Path, address: str) -> str | None:
    """The sha256 under which `address` was first taken. RtsepError if the ledger cannot be read: it is not skipped."""
    return _read(ledger).get(address)


def record_sum(ledger: Path, address: str, sha256: str) -> None:
    """Note it for good. Raises RtsepError if it cannot be written."""
    sums = _read(ledger) | {address: sha256}
    write_atomically(ledger, msgspec.json.format(msgspec.json.encode(sums)))


def _read(ledger: Path) -> dict[str, str]:
    try:
        return msgspec.json.decode(ledger.read_bytes(), type=dict[str, str])
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise RtsepError(f"cannot read {ledger}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RtsepError(f"{ledger}, the checksums of earlier downloads, is damaged: {error}") from error
