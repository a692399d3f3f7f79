"""Stems that were separated before they are played: appended by one thread, read by another, in a file without a name.

On disk, since an hour of four stems is five gigabytes; without a name, so that nothing is left behind whatever dies.
"""

from __future__ import annotations

import tempfile
import threading
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]


class StemStore:
    """Stems of songs that come one after the other.

    Args:
        rows: stems times channels.
        songs: how many there will be.
    """

    def __init__(self, rows: int, songs: int) -> None:
        self._file = cast(BinaryIO, tempfile.TemporaryFile(prefix="rtsep-"))  # noqa: SIM115 - closed by close
        self._lock = threading.Lock()
        self._rows = rows
        self._counts = [0] * songs
        self._complete = [False] * songs

    def append(self, song: int, samples: Float32) -> None:
        """More stems (n, rows) of `song`; those of the songs before it are all there. OSError if the disk is full."""
        with self._lock:
            self._file.seek(4 * self._rows * sum(self._counts[: song + 1]))
            self._file.write(np.ascontiguousarray(samples).data)
            self._file.flush()  # a full disk is to be met here
            self._counts[song] += len(samples)

    def finish(self, song: int) -> None:
        """Nothing more comes of `song`."""
        self._complete[song] = True

    def count(self, song: int) -> int:
        """Samples of `song` that are there."""
        return self._counts[song]

    def complete(self, song: int) -> bool:
        """Whether all of `song` is there that will ever be."""
        return self._complete[song]

    def read(self, song: int, begin: int, count: int) -> Float32:
        """Stems (rows, count) from sample `begin` of `song` on. ValueError if they are not all there."""
        if begin < 0 or begin + count > self._counts[song]:
            raise ValueError(f"samples {begin} to {begin + count} of song {song} are not there")
        samples = np.empty((count, self._rows), np.float32)
        if count == 0:
            return samples.T
        with self._lock:
            self._file.seek(4 * self._rows * (sum(self._counts[:song]) + begin))
            self._file.readinto(samples.data.cast("B"))  # type: ignore[attr-defined]
        return np.ascontiguousarray(samples.T)

    def close(self) -> None:
        """Let go of the file, which is gone then."""
        self._file.close()
