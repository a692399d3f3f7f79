"""One file into its stems, as a stream on two threads: whatever its length, memory stays the same."""

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from rtsep.audio.files.reader import AudioReader, open_audio
from rtsep.audio.files.resample import StreamResampler
from rtsep.audio.files.wav import AtomicWav
from rtsep.errors import RtsepError
from rtsep.timebase import SAMPLE_RATE

if TYPE_CHECKING:
    from rtsep.separation.segment_separator import SegmentSeparator
    from rtsep.separation.separator import Separator
    from rtsep.separation.song_separator import WholeSongSeparator

Float32 = NDArray[np.float32]

_READ_FRAMES = 32768
_RESTS = ("instrumental", "other")  # stems that stand for "everything else"


@dataclass(frozen=True)
class SplitFile:
    """What was written: stem -> path; the length in samples at the file's own rate; lines worth saying."""

    paths: dict[str, Path]
    frames: int
    sample_rate: int
    notes: list[str]


def split_file(
    path: Path,
    folder: Path,
    separator: "Separator | SegmentSeparator | WholeSongSeparator",
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> SplitFile:
    """Write `folder`/<stem>.wav: 32-bit float, at the file's own rate and exact length, mono for a mono file.

    `progress` is told samples done and in all (None while unknown). A separator that learns hears the file twice; it is
    left ready for the next one. All stems appear or none; RtsepError if the file is bad, damaged or cut off, a stem
    would replace the file itself, or the disk is full.
    """
    _refuse_itself(path, [folder / f"{stem}.wav" for stem in separator.stems])
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        if separator.learns:
            separator.learn(_mixture(path))
        with open_audio(path) as reader, ExitStack() as stack:
            _refuse_damage(reader)
            channels = 1 if reader.channels == 1 else separator.channels
            rate = reader.sample_rate
            wavs = {stem: AtomicWav(folder / f"{stem}.wav", rate, channels) for stem in separator.stems}
            for wav in wavs.values():
                stack.callback(wav.abort)  # before it is there: an interrupt between the two would leave it
                wav.open()
            stream = stack.enter_context(_StemStream(separator, rate))
            frames = 0
            while (block := reader.read(_READ_FRAMES)).shape[1]:
                _write(wavs, stream.feed(block), channels)
                frames += block.shape[1]
                progress(frames, reader.frames)
            _refuse_damage(reader)
            _write(wavs, stream.flush(), channels)
            # All of them must be safe on the disk before the first one gets its name.
            for wav in wavs.values():
                wav.seal()
            # Signals interrupt this thread only: in another one all of them get their names, or none.
            with ThreadPoolExecutor(1, thread_name_prefix="rtsep-commit") as committing:
                committing.submit(_commit, wavs.values()).result()
            return SplitFile({stem: wav.path for stem, wav in wavs.items()}, frames, rate, reader.notes)
    except BaseException:
        separator.reset()
        for place in made:
            with contextlib.suppress(OSError):  # not empty: somebody else's, or an earlier track
                place.rmdir()
        raise


def _mixture(path: Path) -> Iterator[Float32]:
    """A file as the separator hears it."""
    with open_audio(path) as reader:
        stream = StreamResampler(reader.sample_rate, SAMPLE_RATE, 2)
        while (block := reader.read(_READ_FRAMES)).shape[1]:
            yield stream.push(block)
        yield stream.flush()


def _refuse_itself(path: Path, outputs: list[Path]) -> None:
    for output in outputs:
        if output.exists() and path.exists() and output.samefile(path):
            raise RtsepError(f"{path} would be replaced by its own stem {output}; choose another folder with --out")


def _refuse_damage(reader: AudioReader) -> None:
    if reader.truncated:
        raise RtsepError(f"{reader.truncated}; nothing was written for it")


def _commit(wavs: Iterable[AtomicWav]) -> None:
    for wav in wavs:
        wav.commit()


def _write(wavs: dict[str, AtomicWav], stems: Float32, channels: int) -> None:
    for wav, samples in zip(wavs.values(), stems, strict=True):
        wav.write(samples.mean(axis=0, keepdims=True) if channels < len(samples) else samples)


class _StemStream:
    """Blocks at the file's rate in, stems (S, C, n) at that rate out, as many samples as went in.

    What the way to 44.1 kHz and back takes from the mixture (above 22 kHz all of it) is given to the stem
    that stands for everything else. So the stems sum to the mixture at any rate.

    A thread of its own separates a block while the caller decodes the next one and writes the one before: what it
    computes does not depend on that.
    """

    def __init__(self, separator: "Separator | SegmentSeparator | WholeSongSeparator", sample_rate: int):
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
