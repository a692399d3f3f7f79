"""One song of the queue: read forward and, with a decoder of its own, what lies before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtsep.audio.files.reader import open_audio
from rtsep.audio.files.resample import EngineReader
from rtsep.errors import RtsepError

Float32 = NDArray[np.float32]


class Song:
    """A file as stereo float32 at 44.1 kHz that ends where it cannot be read any further. Used by one thread.

    Raises RtsepError if there is no readable audio file at `path` now. Later nothing raises: damaged places are silent,
    a file that is cut off or gone is played to its last good sample, and `messages` say so.

    Attributes:
        length: samples, what the header says, corrected when the end has been met; None if nobody knows.
        notes: lines about the file as it was opened, none of them an error.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._reader: EngineReader | None = None
        self._past: EngineReader | None = None
        self._position = 0
        self._found: list[str] = []
        self._end_message: str | None = None
        self._reader = self._open()
        self.length = self._reader.length
        self.notes = self._reader.reader.notes

    @property
    def messages(self) -> list[str]:
        """What was wrong so far, a line each: damaged places, and why it ended early."""
        return [*self._found, *([self._end_message] if self._end_message else [])]

    def seek(self, sample: int) -> None:
        """The next `read` begins with `sample`. A song that was closed is opened again."""
        self._position = sample
        try:
            if self._reader is None:
                self._reader = self._open()
            self._reader.seek(sample)
        except Exception as error:
            self.close()
            self._end(error)

    def read(self, count: int) -> Float32:
        """The next samples (2, n); n < count only at the end."""
        if self._reader is None:
            return np.zeros((2, 0), np.float32)
        try:
            block = self._reader.read(count)
        except Exception as error:
            self._end(error)
            return np.zeros((2, 0), np.float32)
        self._position += block.shape[1]
        self._found += [note for note in self._reader.reader.notes if note not in (*self.notes, *self._found)]
        if block.shape[1] < count:
            self.length = self._position
            empty = f"{self.path} has no samples" if self.length == 0 else None
            self._end_message = self._reader.reader.truncated or empty or self._end_message
        return block

    def past(self, begin: int, end: int, block: int) -> Iterator[Float32]:
        """Samples [begin, end) in blocks, without disturbing `read`; ends early where they cannot be had."""
        try:
            if self._past is None:
                self._past = self._open()
            self._past.seek(begin)
            for position in range(begin, end, block):
                yield self._past.read(min(block, end - position))
        except Exception:
            return  # whatever it is, `read` meets it too and has the words

    def close(self) -> None:
        """Close the file; `seek` opens it again."""
        for reader in (self._reader, self._past):
            if reader is not None:
                reader.close()
        self._reader = self._past = None

    def _open(self) -> EngineReader:
        return EngineReader(open_audio(self.path, allow_damaged=True))

    def _end(self, error: Exception) -> None:
        self.length = self._position
        known = isinstance(error, RtsepError)
        self._end_message = str(error) if known else f"{self.path}: cannot be read any further ({error})"


def open_songs(paths: Sequence[Path | str]) -> tuple[list[Song], list[str]]:
    """Open the songs of a queue, and leave out what cannot be read.

    Returns the songs, all but the first closed (a long queue must not hold a hundred files open), and a line for each
    file that was left out. Raises RtsepError if there is no song.
    """
    songs: list[Song] = []
    left_out: list[str] = []
    for path in paths:
        try:
            song = Song(path)
        except RtsepError as error:
            left_out.append(str(error))
            continue
        if songs:
            song.close()
        songs.append(song)
    if not songs:
        several = f"none of {len(left_out)} files can be played: " if len(left_out) > 1 else ""
        raise RtsepError(several + left_out[0] if left_out else "no song to play")
    return songs, left_out
