"""Blocks at any sample rate through a separator: as many samples of each stem out as of the mixture in."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from rtsep.audio.files.resample import StreamResampler
from rtsep.separation.separator import Separator
from rtsep.timebase import SAMPLE_RATE

Float32 = NDArray[np.float32]

READ_FRAMES = 32768
_RESTS = ("instrumental", "other")  # stems that stand for "everything else"


class Source(Protocol):
    """What is read block by block: see `rtsep.audio.files.reader.AudioReader`."""

    @property
    def sample_rate(self) -> int: ...
    @property
    def channels(self) -> int: ...
    @property
    def frames(self) -> int | None: ...
    def read(self, max_frames: int) -> Float32: ...


def resampled_blocks(source: Source) -> Iterator[Float32]:
    """A source as the separator hears it, (2, n) at 44.1 kHz."""
    stream = StreamResampler(source.sample_rate, SAMPLE_RATE, 2)
    while (block := source.read(READ_FRAMES)).shape[1]:
        yield stream.push(block)
    yield stream.flush()


def stem_blocks(
    source: Source, separator: Separator, progress: Callable[[int, int | None], object] | None = None
) -> Iterator[Float32]:
    """The stems of a source, (S, channels, n) at its own rate: together as long as the source, mono for a mono one.

    `progress` is called with the samples done and their total, None while that is unknown.
    """
    with StemStream(separator, source.sample_rate) as stream:
        done = 0
        while (block := source.read(READ_FRAMES)).shape[1]:
            yield _as_many_channels(stream.feed(block), source.channels)
            done += block.shape[1]
            if progress is not None:
                progress(done, source.frames)
        yield _as_many_channels(stream.flush(), source.channels)


def _as_many_channels(stems: Float32, channels: int) -> Float32:
    return stems.mean(axis=1, keepdims=True) if channels == 1 < stems.shape[1] else stems


class StemStream:
    """Blocks at the file's rate in, stems (S, C, n) at that rate out, as many samples as went in.

    What the way to 44.1 kHz and back takes from the mixture (above 22 kHz all of it) is given to the stem
    that stands for everything else. So the stems sum to the mixture at any rate.

    A thread of its own separates a block while the caller decodes the next one and writes the one before: what it
    computes does not depend on that.
    """

    def __init__(self, separator: Separator, sample_rate: int):
        self._separator = separator
        channels = separator.channels
        self._shape = (len(separator.stems), channels)
        rests = [index for index, stem in enumerate(separator.stems) if stem in _RESTS]
        self._rest = rests[-1] if rests else None
        self._down = StreamResampler(sample_rate, SAMPLE_RATE, channels)
        self._stems_back = StreamResampler(SAMPLE_RATE, sample_rate, len(separator.stems) * channels)
        self._mixture_back = StreamResampler(SAMPLE_RATE, sample_rate, channels)
        # All three begin at the same sample of the file; they differ in how far they have come.
        self._original = _Queue(channels)
        self._returned = _Queue(channels)
        self._stems = _Queue(len(separator.stems) * channels)
        self._separating = ThreadPoolExecutor(1, thread_name_prefix="rtsep-separate")
        self._pending: Future[dict[str, Float32]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._separating.shutdown(wait=True)

    def feed(self, block: Float32) -> Float32:
        self._original.push(block)
        mixture = self._down.push(block)
        self._returned.push(self._mixture_back.push(mixture))
        self._collect()
        self._pending = self._separating.submit(self._separator.feed, mixture)
        return self._take(min(queue.size for queue in (self._original, self._returned, self._stems)))

    def flush(self) -> Float32:
        mixture = self._down.flush()
        self._returned.push(self._mixture_back.push(mixture))
        self._returned.push(self._mixture_back.flush())
        self._collect()
        self._push_stems(self._separator.feed(mixture))
        self._push_stems(self._separator.flush())
        self._stems.push(self._stems_back.flush())
        # There and back a length may be rounded to a sample more or less.
        for queue in (self._returned, self._stems):
            queue.push_silence(self._original.size - queue.size)
        return self._take(self._original.size)

    def _collect(self) -> None:
        """The stems of the block before; raises what its separation raised."""
        if self._pending is not None:
            self._push_stems(self._pending.result())
            self._pending = None

    def _push_stems(self, stems: dict[str, Float32]) -> None:
        self._stems.push(self._stems_back.push(np.concatenate(list(stems.values()))))

    def _take(self, count: int) -> Float32:
        stems = self._stems.take(count).reshape(*self._shape, count)
        lost = self._original.take(count) - self._returned.take(count)
        if self._rest is not None:
            stems[self._rest] += lost
        return stems


class _Queue:
    """Samples (rows, n) that wait for others of the same place."""

    def __init__(self, rows: int):
        self.size = 0
        self._rows = rows
        self._blocks: deque[Float32] = deque()

    def push(self, block: Float32) -> None:
        self._blocks.append(block)
        self.size += block.shape[1]

    def push_silence(self, count: int) -> None:
        if count > 0:
            self.push(np.zeros((self._rows, count), dtype=np.float32))

    def take(self, count: int) -> Float32:
        """The oldest `count` samples, as an array of their own."""
        out = np.empty((self._rows, count), dtype=np.float32)
        filled = 0
        while filled < count:
            block = self._blocks.popleft()
            used = min(block.shape[1], count - filled)
            out[:, filled : filled + used] = block[:, :used]
            filled += used
            if used < block.shape[1]:
                self._blocks.appendleft(block[:, used:])
        self.size -= count
        return out
