"""Songs decoded in blocks: the files of their parts are read side by side and summed into stems, never whole in memory.

Dimensions: S stems, two channels, n samples at 44.1 kHz.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from rtsep.train.data.stem_plan import Plan, Unusable

Float32 = NDArray[np.float32]

BLOCK_SAMPLES = 5 * SAMPLE_RATE
ALIGNMENT_SAMPLES = 20 * SAMPLE_RATE
"""So much of both is compared to find how a mixture and its instrumental lie to each other."""
LARGEST_DELAY_SAMPLES = 5 * SAMPLE_RATE
LEAST_LIKENESS = 0.1  # of the correlation: below it a delay is chance


@dataclass(frozen=True)
class Part:
    """Where a part of a song is: a file, a sound stream of it (counted from 0), or an array of an `.npz`."""

    path: Path
    stream: int = 0
    array: str | None = None

    def identity(self) -> str:
        """Changes when the file does. Raises OSError where there is none."""
        facts = self.path.stat()
        return f"{self.path.resolve()} {self.stream} {self.array} {facts.st_size} {facts.st_mtime_ns}"


class Reader(Protocol):
    """A part of a song as a stream: `read` gives (2, n), n < max_samples only at the end."""

    peak: float

    def read(self, max_samples: int) -> Float32: ...
    def close(self) -> None: ...


class FileReader:
    """An audio file at the engine's rate. What is damaged is an RtsepError: half a stem is a wrong label."""

    peak = 0.0  # not known beforehand

    def __init__(self, part: Part) -> None:
        self._engine = EngineReader(open_audio(part.path, part.stream))

    def read(self, max_samples: int) -> Float32:
        block = self._engine.read(max_samples)
        if damage := self._engine.reader.truncated:
            raise RtsepError(damage)
        return block

    def close(self) -> None:
        self._engine.close()


def open_part(part: Part) -> Reader:
    """Raises RtsepError or Unusable for what cannot be read."""
    return FileReader(part) if part.array is None else CropReader(part.path, part.array)


class Decoder:
    """A song's stems in blocks, once.

    Attributes:
        peak: the largest magnitude that the song's files tell of it, once all is read; 0 if they tell none.
    """

    def __init__(self, parts: Mapping[str, Part], plan: Plan) -> None:
        self._parts = {name: parts[name] for name in plan.parts}
        self._plan = plan
        self.peak = 0.0

    def blocks(self) -> Iterator[Float32]:
        """Blocks (S, 2, n); a file that is shorter than the others ends in silence.

        Raises RtsepError or Unusable if a file cannot be read to its end, or if mixture and instrumental do not belong
        together.
        """
        try:
            yield from self._blocks()
        except OSError as error:
            raise Unusable(f"it cannot be read: {error}") from error

    def _blocks(self) -> Iterator[Float32]:
        subtracts = self._plan.subtracts
        with ExitStack() as stack:
            readers = {name: stack.enter_context(closing(open_part(part))) for name, part in self._parts.items()}
            if subtracts and all(part.array is None for part in self._parts.values()):
                self._align(readers)
            energy = np.zeros(2)
            while True:
                read = [reader.read(BLOCK_SAMPLES) for reader in readers.values()]
                length = max(block.shape[1] for block in read)
                if not length:
                    break
                sounds = np.stack([np.pad(block, ((0, 0), (0, length - block.shape[1]))) for block in read])
                if subtracts:
                    energy += self._energies(dict(zip(readers, sounds, strict=True)))
                yield np.einsum("sp,pcn->scn", self._plan.weights, sounds)
            self.peak = max(reader.peak for reader in readers.values())
        if energy[0] > energy[1]:
            raise Unusable("the mixture without its instrumental is louder than with it: they do not fit each other")

    def _align(self, readers: dict[str, Reader]) -> None:
        """Bring both to the same place: what one of them has before the other began is left out."""
        with ExitStack() as stack:
            mixture, instrumental = (
                stack.enter_context(closing(open_part(self._parts[name]))).read(ALIGNMENT_SAMPLES)
                for name in ("mixture", "instrumental")
            )
        delay = delay_samples(mixture, instrumental)
        readers["instrumental" if delay > 0 else "mixture"].read(abs(delay))

    @staticmethod
    def _energies(sounds: dict[str, Float32]) -> NDArray[np.float64]:
        mixture, instrumental = sounds["mixture"], sounds["instrumental"]
        return np.array([np.vdot(x, x) for x in (mixture - instrumental, mixture)], np.float64)


def delay_samples(first: Float32, second: Float32) -> int:
    """By how many samples the sound of `second` (2, n) comes later than that of `first`, from their correlation.

    0 where they have nothing in common: one of them may be silent as yet.
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
    least = LEAST_LIKENESS * np.sqrt(np.vdot(mono[0], mono[0]) * np.vdot(mono[1], mono[1]))
    return best - limit if delays[best] > least else 0
