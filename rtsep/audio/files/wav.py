"""WAV files out, whole or not at all."""

import contextlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import RtsepError
from rtsep.files import create_temporary, temporary_path, write_error_text, write_errors

_PCM, _FLOAT = 1, 3  # WAVE_FORMAT_PCM, WAVE_FORMAT_IEEE_FLOAT
_HEADER = struct.Struct("<4sI4s 4sIQQQI 4sIHHIIHHH 4sII 4sI")
_IN_DS64 = 2**32 - 1  # in place of a 32-bit size: it is in the ds64 chunk
_BLOCK = 1 << 16
_LARGEST_RIFF = 2**32 - 2


def _header(sample_rate: int, channels: int, bits: int, data_bytes: int, rest_bytes: int = 0) -> bytes:
    """A header of constant length: RIFF, or RF64 (EBU Tech 3306) once 32 bits cannot hold the size.

    The place of RF64's 64-bit sizes is kept free by a JUNK chunk, so that the choice can be made at the end.
    `rest_bytes` follow the samples.
    """
    riff_bytes = _HEADER.size - 8 + data_bytes + rest_bytes
    frame_bytes = bits // 8 * channels
    frames = data_bytes // frame_bytes
    large = riff_bytes > _LARGEST_RIFF

    def low(value: int) -> int:
        return _IN_DS64 if large else value

    form = _FLOAT if bits == 32 else _PCM
    return _HEADER.pack(
        *(b"RF64" if large else b"RIFF", low(riff_bytes), b"WAVE"),
        *(b"ds64" if large else b"JUNK", 28, *((riff_bytes, data_bytes, frames) if large else (0, 0, 0)), 0),
        *(b"fmt ", 18, form, channels, sample_rate, sample_rate * frame_bytes, frame_bytes, bits, 0),
        *(b"fact", 4, low(frames)),
        *(b"data", low(data_bytes)),
    )


def _encoded(samples: NDArray[np.float32], bits: int) -> memoryview:
    """Samples (channels, n) as the bytes of a file."""
    if bits == 32:
        return np.ascontiguousarray(samples.T, dtype="<f4").data
    full = 2.0 ** (bits - 1)
    integers = np.clip(np.rint(np.ascontiguousarray(samples.T, np.float64) * full), -full, full - 1).astype("<i4")
    if bits == 16:
        return integers.astype("<i2").data
    return np.ascontiguousarray(integers[..., None].view(np.uint8)[..., :3]).data


class AtomicWav:
    """A WAV that appears under its name only when it is complete: 32-bit float, or integers of 16 or 24 bits.

        with AtomicWav(path, 44100, 2) as wav:
            wav.write(samples)      # float32 (channels, n)
            wav.commit()

    Samples go to a hidden file beside `path`, which `open` makes; `commit` syncs and renames it, `abort` (and leaving
    the block without `commit`) removes it. Folders are made as needed. Raises RtsepError when the disk refuses.

    Integers are rounded; samples beyond full scale are clipped. Chunks in `rest` follow the samples.

    Without `with`, see to it that `abort` will be called before `open` is: an interrupt (Ctrl-C) may end that anywhere.
    """

    def __init__(self, path: Path | str, sample_rate: int, channels: int, bits: int = 32):
        self.path = Path(path)
        self.sample_rate = sample_rate
        self.channels = channels
        self.frames = 0
        self.rest = b""
        self._bits = bits
        self._part = temporary_path(self.path)
        self._file: BinaryIO | None = None

    def open(self) -> Self:
        """Make the hidden file."""
        with write_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = create_temporary(self._part)
            self._file.write(_header(self.sample_rate, self.channels, self._bits, 0))
        return self

    def write(self, samples: NDArray[np.float32]) -> None:
        """Append samples, float32 (channels, n)."""
        if samples.ndim != 2 or samples.shape[0] != self.channels:
            raise ValueError(f"expected ({self.channels}, n) samples, got {samples.shape}")
        if self._file is None:
            raise ValueError(f"{self.path} is closed")
        try:
            self._file.write(_encoded(samples, self._bits))
        except OSError as error:
            self.abort()
            raise self._failure(error) from error
        self.frames += samples.shape[1]

    def written(self) -> Iterator[NDArray[np.float32]]:
        """What was written to a file of floats that is not committed yet, in blocks (channels, n)."""
        if self._file is None or self._bits != 32:
            raise ValueError(f"{self.path} is closed, or not of floats")
        with write_errors(self.path):
            self._file.seek(_HEADER.size)
            for begin in range(0, self.frames, _BLOCK):
                count = min(_BLOCK, self.frames - begin)
                content = self._file.read(4 * self.channels * count)
                yield np.frombuffer(content, "<f4").reshape(count, self.channels).T
            self._file.seek(0, os.SEEK_END)

    def seal(self) -> None:
        """Bring all of it to the disk, still without its name. Of several files seal all, then commit all."""
        if self._file is None:
            raise ValueError(f"{self.path} is closed")
        try:
            data_bytes = self.frames * self._bits // 8 * self.channels
            rest = bytes(data_bytes % 2) + self.rest
            self._file.seek(0)
            self._file.write(_header(self.sample_rate, self.channels, self._bits, data_bytes, len(rest)))
            self._file.seek(_HEADER.size + data_bytes)
            self._file.write(rest)
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.seek(0, os.SEEK_END)
        except OSError as error:
            self.abort()
            raise self._failure(error) from error

    def commit(self) -> None:
        """Seal the file and give it its name, replacing an older file of that name."""
        self.seal()
        assert self._file is not None
        try:
            self._file.close()
            self._part.replace(self.path)
        except OSError as error:
            self.abort()
            raise self._failure(error) from error
        self._file = None

    def abort(self) -> None:
        """Leave nothing behind. Does nothing after `commit`."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):  # closing flushes, which a full disk refuses again
                file.close()
        with contextlib.suppress(OSError):  # not there: never opened, or committed
            self._part.unlink()

    def __enter__(self) -> Self:
        try:
            return self.open()
        except BaseException:
            self.abort()
            raise

    def __exit__(self, *exc: object) -> None:
        self.abort()

    def _failure(self, error: OSError) -> RtsepError:
        return RtsepError(write_error_text(self.path, error))
