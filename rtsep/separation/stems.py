"""The stems of one song in memory: `rtsep.separate` returns them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtsep.audio.files.encode import Encoding, encode
from rtsep.audio.files.wav import AtomicWav
from rtsep.errors import ArgumentError
from rtsep.files import replacing

Float32 = NDArray[np.float32]
FORMATS = ("wav", "flac")


class Stems(Mapping[str, Float32]):
    """Stem name -> float32 (channels, n), all of the same shape.

    Attributes:
        sample_rate: in Hz.
    """

    def __init__(self, stems: Mapping[str, Float32], sample_rate: int) -> None:
        self._stems = dict(stems)
        self.sample_rate = sample_rate

    def __getitem__(self, stem: str) -> Float32:
        return self._stems[stem]

    def __iter__(self) -> Iterator[str]:
        return iter(self._stems)

    def __len__(self) -> int:
        return len(self._stems)

    def __repr__(self) -> str:
        shape = next(iter(self._stems.values())).shape
        return f"Stems({', '.join(self._stems)}: {shape} at {self.sample_rate} Hz)"

    def mix(self, gains: Mapping[str, float] | None = None) -> Float32:
        """The sum of the stems (channels, n), each at its gain in dB; 0 dB where `gains` names none, -inf for silence.

        Raises ArgumentError for a stem that does not exist, or a gain that is NaN or +inf.
        """
        gains = gains or {}
        for stem, gain_db in gains.items():
            if stem not in self._stems:
                raise ArgumentError("gains", dict(gains), f"the stems {', '.join(self._stems)}, not {stem}")
            if math.isnan(gain_db) or gain_db == math.inf:
                raise ArgumentError("gains", dict(gains), "decibels, or -inf for silence")
        total = np.zeros_like(next(iter(self._stems.values())))
        for stem, samples in self._stems.items():
            total += np.float32(10.0 ** (gains.get(stem, 0.0) / 20.0)) * samples
        return total

    def save(self, folder: str | PathLike[str], format: str = "wav") -> dict[str, Path]:
        """Write `folder`/STEM.FORMAT for every stem, all or none. Returns the paths by stem.

        Args:
            folder: made if it does not exist; files of the same name are replaced.
            format: wav (32-bit float) or flac (24-bit; samples beyond full scale are clipped, with a warning).

        Raises ArgumentError for another format, RtsepError if the files cannot be written.
        """
        if format not in FORMATS:
            raise ArgumentError("format", format, " or ".join(FORMATS))
        paths = {stem: Path(folder) / f"{stem}.{format}" for stem in self._stems}
        with ExitStack() as stack:  # each file gets its name when all are written
            for stem, path in paths.items():
                self._write(stem, stack.enter_context(replacing(path)), format)
        return paths

    def _write(self, stem: str, path: Path, format: str) -> None:
        samples = self._stems[stem]
        if format == "wav":
            with AtomicWav(path, self.sample_rate, len(samples)) as wav:
                wav.write(samples)
                wav.commit()
            return
        clipped = int((np.abs(samples) > 1.0).sum())
        if clipped:
            warnings.warn(f"{stem}: {clipped} samples exceed full scale and are clipped; wav keeps them", stacklevel=4)
        with path.open("w+b") as file:
            encode([samples], file, Encoding("flac"), self.sample_rate, len(samples))
