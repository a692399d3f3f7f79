"""Chained Ogg files, as recordings of radio are: several streams, one after the other, read as one sound."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from rtsep.audio.files.decoder import cut_off, damaged
from rtsep.audio.files.fold import fold_weights
from rtsep.audio.files.ogg import Link
from rtsep.audio.files.pyav import AvDecoder
from rtsep.errors import MissingPackage, RtsepError

Float32 = NDArray[np.float32]


class FileSlice(io.RawIOBase):
    """Bytes [begin, end) of a file, as a file of their own. Does not close the other one."""

    def __init__(self, file: BinaryIO, begin: int, end: int):
        self._file, self._begin, self._size, self._at = file, begin, end - begin, 0

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        self._file.seek(self._begin + self._at)
        data = self._file.read(min(len(buffer), max(self._size - self._at, 0)))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True


class ChainDecoder:
    """A `Decoder` of the links of an Ogg file. One of them is open at a time. Does not close `file`.

    The first one decides on rate and channels. A link of another rate, or of more than two channels where the first has
    fewer, ends the sound.
    """

    ogg_order = False

    def __init__(self, path: Path, file: BinaryIO, links: Sequence[Link]):
        self._path, self._file = path, file
        self.notes: list[str] = []
        self.truncated: str | None = None
        self._links: list[Link] = []
        self._begins = [0]  # of each link, and the end of the last one
        for link in links:
            try:
                decoder = self._decoder(link)
            except MissingPackage:
                raise
            except RtsepError:
                continue  # pages without a stream's headers, or with nothing behind them
            if not self._links:
                self.sample_rate, self.channels = decoder.sample_rate, decoder.channels
            elif decoder.sample_rate != self.sample_rate or max(self.channels, 2) < decoder.channels:
                what = f"{decoder.sample_rate} Hz, {decoder.channels} channels"
                self.truncated = f"changes to {what} after {self._seconds(self._begins[-1])}; what follows is left out"
                break
            self._links.append(link)
            self._begins.append(self._begins[-1] + _length(decoder))
            if link.is_cut and link is not links[-1]:
                self.notes.append(damaged(self._begins[-1] / self.sample_rate, 0.0))
            decoder.close()
        if not self._links:
            raise RtsepError(f"{path} contains no readable audio")
        if self.truncated is None and links[-1].is_cut:
            self.truncated = cut_off(self._begins[-1] / self.sample_rate)
        self.frames: int | None = self._begins[-1]
        self._open: tuple[int, AvDecoder] | None = None
        self._position = 0

    def read(self, frames: int) -> Float32:
        parts = [np.empty((0, self.channels), np.float32)]
        while frames > 0 and self._position < self._begins[-1]:
            index = int(np.searchsorted(self._begins, self._position, "right")) - 1
            count = min(frames, self._begins[index + 1] - self._position)
            parts.append(self._read(index, count))
            self._position += count
            frames -= count
        return np.concatenate(parts)

    def seek(self, frame: int) -> None:
        self._position = frame
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def close(self) -> None:
        if self._open is not None:
            self._open[1].close()

    def _read(self, index: int, count: int) -> Float32:
        """The next samples of one link, silence where it has fewer than it states."""
        if self._open is None or self._open[0] != index:
            self.close()
            self._open = index, self._decoder(self._links[index])
            if self._position > self._begins[index]:
                self._open[1].seek(self._position - self._begins[index])
        decoder = self._open[1]
        known = len(decoder.notes)
        block = decoder.read(count)
        self.notes += [note for note in decoder.notes[known:] if note not in self.notes]
        if decoder.channels != self.channels:
            block = block @ fold_weights(decoder.channels)
            block = block.mean(axis=1, keepdims=True) if self.channels == 1 else block
        return np.pad(block, ((0, count - len(block)), (0, 0)))

    def _decoder(self, link: Link) -> AvDecoder:
        return AvDecoder(self._path, cast(BinaryIO, FileSlice(self._file, link.begin, link.end)))

    def _seconds(self, frame: int) -> str:
        return f"{frame / self.sample_rate:.2f} s"


def _length(decoder: AvDecoder) -> int:
    """Samples of a link, counted where its pages do not tell."""
    if decoder.frames is None:
        while len(decoder.read(65536)):
            pass
    return decoder.frames or 0
