"""The cache of decoded songs: every song in a file of its own with a manifest beside it, read by segment.

`NAME-KEY.pcm` holds int16 (samples, stems, 2) at 44.1 kHz, `NAME-KEY.json` its manifest. The key is a hash of the
identity of the files the song was decoded from. The manifest is written last: without it, or if it does not match the
samples, the song is decoded again. No file stays open between two reads, so a library may be as large as the disk.
"""

from __future__ import annotations

import hashlib
import re
import time
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch
from msgspec import Struct
from numpy.typing import NDArray

from rtsep.errors import RtsepError
from rtsep.files import replacing, write_atomically, write_errors
from rtsep.train.crops.magnitudes import PeakMeter
from rtsep.train.data.decode import Decoder

HEADROOM = 0.5  # full scale becomes half of int16: decoded stems may exceed it
INT16_PER_UNIT = HEADROOM * 32767
SAMPLE_BYTES = 2 * 2  # of one stem, both channels
VERSION = 2
UNSAFE = re.compile(r"[^\w.-]+", re.ASCII)  # in a file name
STALE_S = 600.0  # age of an unfinished file whose process must have ended


class CacheError(RtsepError):
    """The cache cannot be written or read; this ends the run."""


class Manifest(Struct, frozen=True, forbid_unknown_fields=True):
    """The facts of a decoded song.

    `rms`: of the mixture. `peak`: see `rtsep.train.crops.magnitudes`. `crc32`, `mtime_ns`: of the file of samples.
    `notes`: see `Decoder`.
    """

    files: tuple[str, ...]
    stems: tuple[str, ...]
    samples: int
    rms: float
    peak: float
    crc32: int
    mtime_ns: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class StoredAudio:
    """int16 (stems, 2, samples), INT16_PER_UNIT per unit, read from the file by slices."""

    path: Path
    stems: int
    samples: int

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.stems, 2, self.samples

    def __getitem__(self, where: tuple[slice, slice, slice]) -> NDArray[np.int16]:
        """Slices of step 1. Raises CacheError if the file has changed."""
        stems, channels, times = where
        start, stop, _ = times.indices(self.samples)
        width = self.stems * 2
        try:
            flat = np.fromfile(self.path, "<i2", max(0, stop - start) * width, offset=start * width * 2)
        except OSError as error:
            raise CacheError(f"cannot read {self.path}: {error.strerror or error}; run the command again") from error
        if flat.size != max(0, stop - start) * width:
            raise CacheError(f"{self.path} has become shorter: run the command again to decode the song again")
        return flat.reshape(-1, self.stems, 2).transpose(1, 2, 0)[stems, channels]


class Store:
    """A folder of decoded songs. Several threads and processes may use it at the same time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with write_errors(folder, CacheError):
            folder.mkdir(parents=True, exist_ok=True)
            for part in folder.glob(".*.part"):
                with suppress(FileNotFoundError):  # finished in the meantime
                    if time.time() - part.stat().st_mtime > STALE_S:
                        part.unlink()

    def fetch(
        self, name: str, identity: Sequence[str], stems: tuple[str, ...], decoder: Decoder
    ) -> tuple[Manifest, StoredAudio]:
        """A decoded song, from the cache if the same files were decoded before.

        Raises CacheError if it cannot be stored, RtsepError or UnusableSong if it cannot be decoded.
        """
        identity = tuple(map(_text, identity))
        key = hashlib.sha256("\n".join([str(VERSION), *identity, *stems]).encode()).hexdigest()[:20]
        base = f"{UNSAFE.sub('_', name)[-60:]}-{key}"
        samples, manifest = self.folder / f"{base}.pcm", self.folder / f"{base}.json"
        found = _read_manifest(manifest, samples, stems)
        if found is None:
            found = self._write(samples, manifest, identity, stems, decoder)
        return found, StoredAudio(samples, len(stems), found.samples)

    def _write(
        self, samples: Path, manifest: Path, identity: tuple[str, ...], stems: tuple[str, ...], decoder: Decoder
    ) -> Manifest:
        length, energy, crc, clipped, meter = 0, 0.0, 0, 0, PeakMeter()
        with replacing(samples, CacheError) as part:
            manifest.unlink(missing_ok=True)
            with part.open("xb") as file:
                for block in decoder.blocks():
                    mixture = block.sum(axis=0)
                    meter.push(torch.from_numpy(np.concatenate([mixture, *block])))
                    energy += float(np.vdot(mixture, mixture))
                    clipped += np.count_nonzero(np.abs(block) > 1 / HEADROOM)
                    scaled = np.clip(np.rint(block * INT16_PER_UNIT), -32768, 32767)
                    content = np.ascontiguousarray(scaled.transpose(2, 0, 1), "<i2").tobytes()
                    length, crc = length + block.shape[2], zlib.crc32(content, crc)
                    file.write(content)
            notes = list(decoder.notes)
            if clipped:
                notes.append(f"{clipped} samples are above {1 / HEADROOM:g} (full scale is 1): clipped there")
            made = Manifest(
                files=identity,
                stems=stems,
                samples=length,
                rms=(energy / max(1, 2 * length)) ** 0.5,
                peak=max(meter.peak, decoder.peak),
                crc32=crc,
                mtime_ns=part.stat().st_mtime_ns,
                notes=tuple(map(_text, notes)),
            )
        _write_manifest(manifest, made)
        return made


def _text(with_paths: str) -> str:
    """Text for JSON: bytes of a path that are not valid in its encoding become escapes."""
    return with_paths.encode(errors="backslashreplace").decode()


def _read_manifest(manifest: Path, samples: Path, stems: tuple[str, ...]) -> Manifest | None:
    """None unless both exist, are complete and match."""
    try:
        found = msgspec.json.decode(manifest.read_bytes(), type=Manifest)
        facts = samples.stat()
        if found.stems != stems or facts.st_size != found.samples * len(stems) * SAMPLE_BYTES:
            return None
        if facts.st_mtime_ns == found.mtime_ns:
            return found
        if _crc32(samples) != found.crc32:  # copying a cache changes the time alone
            return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    found = msgspec.structs.replace(found, mtime_ns=facts.st_mtime_ns)
    with suppress(CacheError):  # a read-only cache works too
        _write_manifest(manifest, found)
    return found


def _write_manifest(path: Path, manifest: Manifest) -> None:
    write_atomically(path, msgspec.json.encode(manifest), CacheError)


def _crc32(path: Path) -> int:
    crc = 0
    with path.open("rb") as file:
        while content := file.read(1 << 22):
            crc = zlib.crc32(content, crc)
    return crc
