"""Separation of whole songs, files or arrays, into memory: `rtsep.separate`."""

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
    audio: str | os.PathLike[str] | ArrayLike | Tensor,
    sample_rate: int | None = None,
    model: str | os.PathLike[str] | Separator | None = None,
    *,
    device: str = "auto",
    threads: int | None = None,
    progress: Progress | None = None,
    allow_damaged: bool = False,
) -> Stems:
    """The stems of a song, at its own sample rate, as long as the song and with as many channels (1 or 2).

    Args:
        audio: path of an audio file; or floating-point samples from -1 to 1, an array or a PyTorch tensor of shape
            (n,), (1, n) or (2, n). Surround files are folded down to stereo.
        sample_rate: of an array, in Hz. A file has its own.
        model: name or folder of a model; or a separator that `rtsep.load` returned, which is reset before and after;
            None is the default model.
        device: auto, cpu, cuda or cuda:N; as for `rtsep.load`.
        threads: CPU threads of PyTorch; as for `rtsep.load`.
        progress: called after each block with the samples done and their total, None while that is unknown. What it
            raises ends the separation and comes out of this call.
        allow_damaged: separate what there is of a file that ends too early, with a warning, and silence impossible
            samples. Damage inside a file is silent, with a warning, in any case.

    Raises RtsepError if the file, model or device does not exist, is damaged or cannot be used; ValueError if an
    argument is not possible or a sample is not finite.
    """
    separator = _loaded(model, device, threads)
    if isinstance(audio, str | os.PathLike):
        if sample_rate is not None:
            raise ArgumentError("sample_rate", sample_rate, "None for a file, which has its own")
        path = Path(audio)
        return _separate(partial(open_audio, path, allow_damaged=allow_damaged), separator, progress, allow_damaged)
    return _separate(partial(nullcontext, _ArrayReader(audio, sample_rate)), separator, progress)


def separate_all(
    songs: Iterable[str | os.PathLike[str] | ArrayLike | Tensor],
    sample_rate: int | None = None,
    model: str | os.PathLike[str] | Separator | None = None,
    *,
    device: str = "auto",
    threads: int | None = None,
    progress: Progress | None = None,
    allow_damaged: bool = False,
) -> Iterator[Stems]:
    """The stems of each song in turn, by a model that is loaded once. Arguments and errors as of `separate`.

    A song is separated when its stems are asked for. The first error ends the iteration.
    """
    separator = _loaded(model, device, threads)
    return (separate(song, sample_rate, separator, progress=progress, allow_damaged=allow_damaged) for song in songs)


def _loaded(model: str | os.PathLike[str] | Separator | None, device: str, threads: int | None) -> Separator:
    if not isinstance(model, Separator):
        return load(None if model is None else os.fspath(model), device=device, threads=threads)
    if device != "auto" or threads is not None:
        raise UsageError("device and threads are arguments of rtsep.load: the model is loaded already")
    return model


def _separate(
    open_source: Callable[[], AbstractContextManager[AudioReader | _ArrayReader]],
    separator: Separator,
    progress: Progress | None,
    allow_damaged: bool = False,
) -> Stems:
    separator.reset()
    with separator:
        if separator.learns:
            with open_source() as source:
                separator.learn(resampled_blocks(source))
        with open_source() as source:
            blocks = list(stem_blocks(source, separator, progress))
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
        samples = np.asarray(audio.detach().cpu() if hasattr(audio, "detach") else audio)
        shape = samples.shape
        if samples.ndim == 1:
            samples = finite_float32(samples, "audio")[None]
        elif samples.ndim == 2 and shape[0] in (1, 2):
            samples = finite_float32(samples, "audio")
        else:
            turned = "; transpose it: audio.T" if samples.ndim == 2 and shape[1] in (1, 2) else ""
            raise ValueError(f"audio has the shape {shape}: expected (n,), (1, n) or (2, n){turned}")
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


def _checked_rate(sample_rate: float | None) -> int:
    if sample_rate is None or int(sample_rate) != sample_rate or int(sample_rate) not in SAMPLE_RATES:
        expected = f"{SAMPLE_RATES.start} to {SAMPLE_RATES.stop - 1} Hz, a whole number, with an array"
        raise ArgumentError("sample_rate", sample_rate, expected)
    return int(sample_rate)
