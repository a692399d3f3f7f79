"""Decode songs block by block: their files are read side by side and combined into stems, never whole in memory.

Dimensions: S stems, two channels, n samples at 44.1 kHz.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rtsep.audio.files.reader import open_audio
from rtsep.audio.files.resample import EngineReader
from rtsep.errors import RtsepError
from rtsep.timebase import SAMPLE_RATE
from rtsep.train.data.npz_crops import CropReader
from rtsep.train.data.stem_plan import StemPlan, UnusableSong

Float32 = NDArray[np.float32]

BLOCK_SAMPLES = 5 * SAMPLE_RATE
ALIGNMENT_SAMPLES = 20 * SAMPLE_RATE
"""Length of the beginnings that are compared to find the delay between a mixture and its instrumental."""
LARGEST_DELAY_SAMPLES = 5 * SAMPLE_RATE
LEAST_CORRELATION = 0.1  # below it a delay is chance
NOTED_SAMPLES = SAMPLE_RATE // 10
"""Smallest difference in length that is reported: encoders pad by less."""


@dataclass(frozen=True)
class StemFile:
    """A file that holds a stem or a mixture: an audio file (`stream` counted from 0), or an array of an `.npz`."""

    path: Path
    stream: int = 0
    array: str | None = None

    def identity(self) -> str:
        """A text that changes when the file does. Raises OSError if there is no such file."""
        facts = self.path.stat()
        return f"{self.path.resolve()} {self.stream} {self.array} {facts.st_size} {facts.st_mtime_ns}"


class Reader(Protocol):
    """A stem file as a stream: `read` returns (2, n), n < max_samples only at the end. `notes`: what is odd so far."""

    peak: float

    @property
    def notes(self) -> Sequence[str]: ...
    def read(self, max_samples: int) -> Float32: ...
    def close(self) -> None: ...


class FileReader:
    """An audio file at 44.1 kHz. An early end is an RtsepError: half a stem is a wrong label."""

    peak = 0.0  # unknown before it is decoded

    def __init__(self, file: StemFile) -> None:
        self._engine = EngineReader(open_audio(file.path, file.stream))

    @property
    def notes(self) -> list[str]:
        return self._engine.reader.notes

    def read(self, max_samples: int) -> Float32:
        block = self._engine.read(max_samples)
        if damage := self._engine.reader.truncated:
            raise RtsepError(damage)
        return block

    def close(self) -> None:
        self._engine.close()


def open_stem_file(file: StemFile) -> Reader:
    """Open a stem file. Raises RtsepError or UnusableSong if it cannot be read."""
    return FileReader(file) if file.array is None else CropReader(file.path, file.array)


class Decoder:
    """The stems of a song, decoded once.

    Attributes:
        peak: the largest magnitude stored in the song's files, after the last block; 0 if they store none.
        notes: what is odd about the files, after the last block, one line each.
    """

    def __init__(self, files: Mapping[str, StemFile], plan: StemPlan) -> None:
        self._files = {name: files[name] for name in plan.inputs}
        self._plan = plan
        self.peak = 0.0
        self.notes: list[str] = []

    def blocks(self) -> Iterator[Float32]:
        """Blocks (S, 2, n). The song ends with its mixture where stems are differences; other files are padded.

        Raises RtsepError or UnusableSong if a file cannot be read to its end, or if mixture and instrumental do not
        belong together.
        """
        try:
            yield from self._blocks()
        except OSError as error:
            raise UnusableSong(f"cannot be read: {error}") from error

    def _blocks(self) -> Iterator[Float32]:
        subtracts, bounds = self._plan.subtracts_instrumental, self._plan.bounds
        with ExitStack() as stack:
            readers = {name: stack.enter_context(closing(open_stem_file(file))) for name, file in self._files.items()}
            if subtracts and all(file.array is None for file in self._files.values()):
                self._align(readers)
            energy = np.zeros(2)
            lengths = dict.fromkeys(readers, 0)
            while True:
                read = {name: reader.read(BLOCK_SAMPLES) for name, reader in readers.items()}
                for name, block in read.items():
                    lengths[name] += block.shape[1]
                longest = max(block.shape[1] for block in read.values())
                length = min((read[name].shape[1] for name in bounds), default=longest)
                if length:
                    sounds = np.stack([_fit(block, length) for block in read.values()])
                    if subtracts:
                        energy += self._energies(dict(zip(readers, sounds, strict=True)))
                    yield np.einsum("sp,pcn->scn", self._plan.weights, sounds)
                if not length or length < longest:
                    break
            self.peak = max(reader.peak for reader in readers.values())
            self.notes += [note for reader in readers.values() for note in reader.notes]
            self._note_lengths(lengths)
        if energy[0] > energy[1]:
            raise UnusableSong("mixture minus instrumental is louder than the mixture: they do not belong together")

    def _note_lengths(self, lengths: dict[str, int]) -> None:
        """Note the files that end early."""
        longest = max(lengths.values())
        short = {name: n for name, n in lengths.items() if longest - n >= NOTED_SAMPLES}
        for name, samples in short.items():
            missing_s = (longest - samples) / SAMPLE_RATE
            if name in self._plan.bounds:
                self.notes.append(
                    f"{name} ends at {samples / SAMPLE_RATE:.1f} s, before the others: the song ends there"
                )
            else:
                self.notes.append(f"{name} is {missing_s:.1f} s shorter than the others: padded with silence")

    def _align(self, readers: dict[str, Reader]) -> None:
        """Skip what the mixture or the instrumental has before the other begins."""
        with ExitStack() as stack:
            mixture, instrumental = (
                stack.enter_context(closing(open_stem_file(self._files[name]))).read(ALIGNMENT_SAMPLES)
                for name in ("mixture", "instrumental")
            )
        delay = delay_samples(mixture, instrumental)
        readers["instrumental" if delay > 0 else "mixture"].read(abs(delay))

    @staticmethod
    def _energies(sounds: dict[str, Float32]) -> NDArray[np.float64]:
        mixture, instrumental = sounds["mixture"], sounds["instrumental"]
        return np.array([np.vdot(x, x) for x in (mixture - instrumental, mixture)], np.float64)


def _fit(block: Float32, length: int) -> Float32:
    """(2, n) cut or padded with silence to (2, length)."""
    return np.pad(block[:, :length], ((0, 0), (0, max(0, length - block.shape[1]))))


def delay_samples(first: Float32, second: Float32) -> int:
    """Delay of `second` (2, n) against `first`, from their cross-correlation.

    0 if they have nothing in common: one of them may begin with silence.
    """
    longest = max(first.shape[1], second.shape[1])
    if not longest:
        return 0
    size = 1 << (2 * longest).bit_length()
    mono = [x.sum(axis=0, dtype=np.float64) for x in (first, second)]
    spectra = [np.fft.rfft(x, size) for x in mono]
    correlation = np.fft.irfft(spectra[0].conj() * spectra[1], size)
    limit = min(LARGEST_DELAY_SAMPLES, longest)
    delays = np.concatenate([correlation[size - limit :], correlation[: limit + 1]])
    best = int(np.argmax(delays))
    least = LEAST_CORRELATION * np.sqrt(np.vdot(mono[0], mono[0]) * np.vdot(mono[1], mono[1]))
    return best - limit if delays[best] > least else 0
