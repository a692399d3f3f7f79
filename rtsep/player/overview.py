"""The waveform of a whole song, for the eye: lowest, highest and RMS sample of each column of 1024.

A child process of low priority decodes the song (`rtsep.player.overview_worker`); the process that plays receives a few
hundred columns at a time, so that its decoder and its faces are not disturbed.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import RtsepError
from rtsep.system.guarded_thread import guarded_thread
from rtsep.system.spawn import ChildProcess
from rtsep.timebase import SAMPLE_RATE

Float32 = NDArray[np.float32]

COLUMN = 1024
"""Samples of a column, at 44.1 kHz."""
COLUMN_S = COLUMN / SAMPLE_RATE
LOWEST, HIGHEST, RMS = range(3)
COLUMN_BYTES = 12
KEPT = 16
"""Songs whose columns are remembered; one of an hour takes 2 MB."""


class Overview:
    """The columns of one song, as far as they have been decoded. One thread extends it, any number may read.

    Attributes:
        path: the song.
        complete: whether no more columns will come.
        title, artist: from the tags; empty without, and at first.
        error: why the song could not be decoded to its end, in one line; None if it could.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.complete = False
        self.error: str | None = None
        self.title = self.artist = ""
        self._columns = np.zeros((4096, 3), np.float32)
        self._count = 0

    @property
    def columns(self) -> Float32:
        """Lowest, highest and RMS sample of each column, of both channels together: (n, 3)."""
        count = self._count  # before the array, which only ever grows
        return self._columns[:count]

    @property
    def length_s(self) -> float:
        """Seconds that the columns cover so far."""
        return self._count * COLUMN_S

    def extend(self, columns: Float32) -> None:
        """Append columns (n, 3)."""
        count = self._count + len(columns)
        if count > len(self._columns):
            grown = np.zeros((max(count, 2 * len(self._columns)), 3), np.float32)
            grown[: self._count] = self._columns[: self._count]
            self._columns = grown
        self._columns[self._count : count] = columns
        self._count = count

    def resample(self, begin_s: float, end_s: float, count: int) -> Float32:
        """`count` columns of equal width over a stretch of the song: (count, 3), NaN where nothing is known."""
        edges = np.linspace(begin_s, end_s, count + 1) / COLUMN_S
        firsts = np.floor(edges[:-1] + 1e-6).astype(int)
        columns = self.columns[: max(int(np.ceil(edges[-1] - 1e-6)), 0)]
        resampled = np.full((count, 3), np.nan, np.float32)
        known = (firsts >= 0) & (firsts < len(columns))
        if known.any():
            starts = firsts[known]
            widths = np.maximum(np.diff(starts, append=len(columns)), 1)
            power = np.add.reduceat(columns[:, RMS] ** 2, starts) / widths
            lowest, highest = (np.minimum, LOWEST), (np.maximum, HIGHEST)
            ends = [extreme.reduceat(columns[:, which], starts) for extreme, which in (lowest, highest)]
            resampled[known] = np.stack([*ends, np.sqrt(power)], axis=1)
        return resampled


class Overviews:
    """The overviews of the songs asked for, the last ones remembered. A song is decoded when it is first asked for, and
    one song at a time: a newer one takes the place of what is unfinished. Any thread may ask.

    `close` ends the process that decodes.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[Path, Overview] = OrderedDict()
        self._lock = threading.Lock()
        self._current: tuple[Overview, ChildProcess] | None = None
        self._closed = False

    def find(self, path: Path) -> Overview:
        """The overview of a song, which may still grow."""
        with self._lock:
            overview = self._known.get(path)
            if overview is None:
                overview = self._known[path] = Overview(path)
                self._start(overview)
            self._known.move_to_end(path)
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
            return overview

    def close(self) -> None:
        """End the process. May be called twice."""
        with self._lock:
            self._closed = True
            self._drop_unfinished()

    def _start(self, overview: Overview) -> None:
        self._drop_unfinished()
        if self._closed:
            return
        try:
            child = ChildProcess("rtsep.player.overview_worker", {"song": str(overview.path.absolute())})
        except RtsepError as error:
            overview.error, overview.complete = str(error), True
            return
        self._current = overview, child
        listener = guarded_thread(
            lambda: _receive(child, overview),
            "rtsep-overview",
            "the waveform overview",
            lambda line: setattr(overview, "error", line),
        )
        listener.start()

    def _drop_unfinished(self) -> None:
        if self._current is None:
            return
        overview, child = self._current
        self._current = None
        if not overview.complete:
            self._known.pop(overview.path, None)
            child.kill()  # its listener closes it


def _receive(child: ChildProcess, overview: Overview) -> None:
    """Extend `overview` by what the child sends until it ends, well or not."""
    try:
        for line in child.stdout:
            message = json.loads(line)
            overview.title = message.get("title", overview.title)
            overview.artist = message.get("artist", overview.artist)
            if "columns" in message:
                data = child.stdout.read(message["columns"] * COLUMN_BYTES)
                if len(data) < message["columns"] * COLUMN_BYTES:  # killed in the middle
                    break
                overview.extend(np.frombuffer(data, np.float32).reshape(-1, 3))
            overview.error = message.get("error")
        reason = child.wait()
        if reason is not None:
            overview.error = f"the waveform of {overview.path.name} could not be computed: {reason}"
    finally:
        overview.complete = True
        child.close()
