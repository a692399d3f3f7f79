"""Separation of whole songs, files, arrays or iterators of blocks, into memory: `rtsep.separate`."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rtsep.audio.files.reader import AudioReader, open_audio
from rtsep.errors import ArgumentError, RtsepError, UsageError
from rtsep.separation.cancel import Cancel, until
from rtsep.separation.load import load
from rtsep.separation.separator import Separator, finite_float32
from rtsep.separation.stem_stream import resampled_blocks, stem_blocks
from rtsep.separation.stems import Stems

if TYPE_CHECKING:
    from torch import Tensor

Float32 = NDArray[np.float32]
Progress = Callable[[int, int | None], object]
SAMPLE_RATES = range(1000, 768001)


def separate(
    audio: str | os.PathLike[str] | ArrayLike | Tensor | Iterator[ArrayLike | Tensor],
    sample_rate: int | None = None,
    model: str | os.PathLike[str] | Separator | None = None,
    *,
    device: str = "auto",
    threads: int | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    allow_damaged: bool = False,
) -> Stems:
    """The stems of a song, at its own sample rate, as long as the song and with as many channels (1 or 2).

    Args:
        audio: path of an audio file; or floating-point samples from -1 to 1, an array or a PyTorch tensor of shape
            (n,), (1, n) or (2, n); or an iterator of such blocks, of any lengths, read as they are separated. Surround
            files are folded down to stereo.
        sample_rate: of an array or of blocks, in Hz. A file has its own.
        model: name or folder of a model; or a separator that `rtsep.load` returned, which is reset before and after;
            None is the default model.
        device: auto, cpu, cuda or cuda:N; as for `rtsep.load`.
        threads: CPU threads of PyTorch; as for `rtsep.load`.
        progress: called after each block with the samples done and their total, None while that is unknown. What it
            raises ends the separation and comes out of this call.
        cancel: called before each block, such as `is_set` of a `threading.Event`; when it returns true, the separation
            ends and raises Cancelled. A model that needs the whole song first computes between two blocks only at the
            end.
        allow_damaged: separate what there is of a file that ends too early, with a warning, and silence impossible
            samples. Damage inside a file is silent, with a warning, in any case.

    Raises RtsepError if the file, model or device does not exist, is damaged or cannot be used; ValueError if an
    argument is not possible or a sample is not finite; Cancelled.
    """
    separator = _loaded(model, device, threads)
    if isinstance(audio, str | os.PathLike):
        if sample_rate is not None:
            raise ArgumentError("sample_rate", sample_rate, "None for a file, which has its own")
        path = Path(audio)
        source = partial(open_audio, path, allow_damaged=allow_damaged)
        return _separate(source, separator, progress, cancel, allow_damaged)
    if isinstance(audio, Iterator):
        blocks = _BlockReader(until(cancel, audio), sample_rate)
        # Who learns reads the song twice.
        reader = _ArrayReader(blocks.rest(), sample_rate) if separator.learns else blocks
    else:
        reader = _ArrayReader(audio, sample_rate)
    return _separate(partial(nullcontext, reader), separator, progress, cancel)


def separate_all(
    songs: Iterable[str | os.PathLike[str] | ArrayLike | Tensor | Iterator[ArrayLike | Tensor]],
    sample_rate: int | None = None,
    model: str | os.PathLike[str] | Separator | None = None,
    *,
    device: str = "auto",
    threads: int | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    allow_damaged: bool = False,
) -> Iterator[Stems]:
    """The stems of each song in turn, by a model that is loaded once. Arguments and errors as of `separate`.

    A song is separated when its stems are asked for. The first error ends the iteration.
    """
    separator = _loaded(model, device, threads)
    options = {"progress": progress, "cancel": cancel, "allow_damaged": allow_damaged}
    return (separate(song, sample_rate, separator, **options) for song in songs)


def _loaded(model: str | os.PathLike[str] | Separator | None, device: str, threads: int | None) -> Separator:
    if not isinstance(model, Separator):
        return load(None if model is None else os.fspath(model), device=device, threads=threads)
    if device != "auto" or threads is not None:
        raise UsageError("device and threads are arguments of rtsep.load: the model is loaded already")
    return model


def _separate(
    open_source: Callable[[], AbstractContextManager[AudioReader | _ArrayReader | _BlockReader]],
    separator: Separator,
    progress: Progress | None,
    cancel: Cancel | None,
    allow_damaged: bool = False,
) -> Stems:
    separator.reset()
    with separator:
        if separator.learns:
            with open_source() as source:
                separator.learn(until(cancel, resampled_blocks(source)))
        with open_source() as source:
            blocks = list(until(cancel, stem_blocks(source, separator, progress)))
            if source.truncated and not allow_damaged:
                raise RtsepError(f"{source.truncated}; allow_damaged=True separates what there is")
            for note in (*source.notes, *filter(None, [source.truncated])):
                warnings.warn(note, stacklevel=3)
            joined = [np.concatenate([block[i] for block in blocks], axis=1) for i in range(len(separator.stems))]
            return Stems(dict(zip(separator.stems, joined, strict=True)), source.sample_rate)


class _ArrayReader:
    """Samples in memory, read as an `AudioReader` is: float32 (2, n), mono in both channels."""

    truncated = None
    notes = ()

    def __init__(self, audio: Any, sample_rate: int | None) -> None:
        self.sample_rate = _checked_rate(sample_rate)
        samples = _checked_samples(audio, "audio")
        self.channels, self.frames = samples.shape
        self._samples = np.broadcast_to(samples, (2, self.frames))
        self._position = 0

    def read(self, max_frames: int) -> Float32:
        """The next samples (2, n), none at the end; then from the start again."""
        block = self._samples[:, self._position : self._position + max_frames]
        self._position += block.shape[1]
        if not block.shape[1]:
            self._position = 0
        return block


class _BlockReader:
    """Blocks of an iterator, read as an `AudioReader` is: float32 (2, n), mono in both channels."""

    truncated = None
    notes = ()
    frames = None

    def __init__(self, blocks: Iterator[ArrayLike | Tensor], sample_rate: int | None) -> None:
        self.sample_rate = _checked_rate(sample_rate)
        self._blocks = self._checked(blocks)
        self._block = next(self._blocks, None)
        if self._block is None:
            raise ValueError("audio: expected an iterator with at least one block")
        self.channels = self._block.shape[0]

    def read(self, max_frames: int) -> Float32:
        """The next samples (2, n), n <= max_frames; none at the end."""
        while self._block is not None and not self._block.shape[1]:
            self._block = next(self._blocks, None)
        if self._block is None:
            return np.zeros((2, 0), np.float32)
        block, self._block = self._block[:, :max_frames], self._block[:, max_frames:]
        return np.ascontiguousarray(np.broadcast_to(block, (2, block.shape[1])))

    def rest(self) -> Float32:
        """All that has not been read yet, (channels, n)."""
        first = [] if self._block is None else [self._block]
        return np.concatenate([*first, *self._blocks], axis=1)

    @staticmethod
    def _checked(blocks: Iterator[ArrayLike | Tensor]) -> Iterator[Float32]:
        channels = None
        for number, block in enumerate(blocks):
            samples = _checked_samples(block, f"block {number}")
            channels = channels or samples.shape[0]
            if samples.shape[0] != channels:
                raise ValueError(f"block {number} has {samples.shape[0]} channels: expected {channels} as before")
            yield samples


def _checked_samples(audio: Any, name: str) -> Float32:
    """Samples (channels, n) of an array or a tensor. Raises ValueError for what is neither mono nor stereo sound."""
    samples = np.asarray(audio.detach().cpu() if hasattr(audio, "detach") else audio)
    shape = samples.shape
    if samples.ndim == 1:
        return finite_float32(samples, name)[None]
    if samples.ndim == 2 and shape[0] in (1, 2):
        return finite_float32(samples, name)
    turned = f"; transpose it: {name}.T" if samples.ndim == 2 and shape[1] in (1, 2) else ""
    raise ValueError(f"{name} has the shape {shape}: expected (n,), (1, n) or (2, n){turned}")


def _checked_rate(sample_rate: float | None) -> int:
    if sample_rate is None or int(sample_rate) != sample_rate or int(sample_rate) not in SAMPLE_RATES:
        expected = f"{SAMPLE_RATES.start} to {SAMPLE_RATES.stop - 1} Hz, a whole number, with an array"
        raise ArgumentError("sample_rate", sample_rate, expected)
    return int(sample_rate)
