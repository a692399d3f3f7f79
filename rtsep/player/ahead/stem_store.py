"""Stems separated ahead, in a temporary file without a name: appended by one thread, read by another.

On disk, since an hour of four stems takes five gigabytes; without a name, so that it is deleted whichever process dies.
"""

from __future__ import annotations

import tempfile
import threading
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]


class StemStore:
    """The stems of several songs, one after the other.

    Args:
        rows: stems times channels.
        songs: number of songs.
    """

    def __init__(self, rows: int, songs: int) -> None:
        self._file = cast(BinaryIO, tempfile.TemporaryFile(prefix="rtsep-"))  # noqa: SIM115 - closed by close
        self._lock = threading.Lock()
        self._rows = rows
        self._counts = [0] * songs
        self._complete = [False] * songs

    def add(self, songs: int) -> None:
        """Make room for more songs."""
        self._counts += [0] * songs
        self._complete += [False] * songs

    def append(self, song: int, samples: Float32) -> None:
        """Append stems (n, rows) of `song`; earlier songs must be complete. OSError if the disk is full."""
        with self._lock:
            self._file.seek(4 * self._rows * sum(self._counts[: song + 1]))
            self._file.write(np.ascontiguousarray(samples).data)
            self._file.flush()  # a full disk must show here
            self._counts[song] += len(samples)

    def finish(self, song: int) -> None:
        """Mark `song` as complete."""
        self._complete[song] = True

    def count(self, song: int) -> int:
        """Samples stored of `song`."""
        return self._counts[song]

    def complete(self, song: int) -> bool:
        """Whether nothing more of `song` will be appended."""
        return self._complete[song]

    def read(self, song: int, begin: int, count: int) -> Float32:
        """Return stems (rows, count) from sample `begin` of `song` on. ValueError if some are missing."""
        if begin < 0 or begin + count > self._counts[song]:
            raise ValueError(f"samples {begin} to {begin + count} of song {song} are not stored")
        samples = np.empty((count, self._rows), np.float32)
        if count == 0:
            return samples.T
        with self._lock:
            self._file.seek(4 * self._rows * (sum(self._counts[:song]) + begin))
            self._file.readinto(samples.data.cast("B"))  # type: ignore[attr-defined]
        return np.ascontiguousarray(samples.T)

    def close(self) -> None:
        """Delete the file."""
        self._file.close()
