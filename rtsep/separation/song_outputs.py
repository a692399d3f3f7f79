"""The files that a song becomes: which mixes of its stems, in which format, and how they come to be there together."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from rtsep.audio.files.encode import Encoding, encode
from rtsep.audio.files.stem_mp4 import encode_stems
from rtsep.audio.files.tags import Tags, id3_chunk, write_tags
from rtsep.audio.files.wav import AtomicWav
from rtsep.errors import RtsepError, UsageError
from rtsep.files import create_temporary, temporary_path, write_errors

Float32 = NDArray[np.float32]
Clip = Literal["rescale", "clamp", "none"]
_FULL_SCALE = 0.999  # after rescaling: encoders that lose something may overshoot a little


@dataclass(frozen=True)
class Mix:
    """A sum of stems: a name, and the linear gain of each stem of the model."""

    name: str
    gains: tuple[float, ...]

    def of(self, stems: Float32) -> Float32:
        """The sum (channels, n) of stems (S, channels, n); of one stem alone its very samples."""
        used = [index for index, gain in enumerate(self.gains) if gain != 0.0]
        if [self.gains[index] for index in used] == [1.0]:
            return stems[used[0]]
        return np.tensordot(np.asarray(self.gains, np.float32), stems, axes=1)


def choose_mixes(
    stems: Sequence[str],
    wanted: Sequence[str] = (),
    two_stems: str | None = None,
    mix_db: Mapping[str, float] | None = None,
) -> tuple[Mix, ...]:
    """What is written of a model's stems: all of them if nothing is said.

    Args:
        wanted: these stems only.
        two_stems: this stem, and `no_STEM`, the sum of all others.
        mix_db: `mix`, the sum of all stems at their gains in dB, 0 where none is named. It is written alone, unless
            `wanted` or `two_stems` names stems.

    Raises UsageError for a stem that the model does not have.
    """
    for stem in (*wanted, *([two_stems] if two_stems else []), *(mix_db or {})):
        if stem not in stems:
            raise UsageError(f'unknown stem "{stem}"; this model has {", ".join(stems)}')
    if wanted and two_stems:
        raise UsageError("--stems and --two-stems both name what is written: choose one")

    def alone(stem: str) -> Mix:
        return Mix(stem, tuple(float(other == stem) for other in stems))

    if two_stems:
        mixes = [alone(two_stems), Mix(f"no_{two_stems}", tuple(float(other != two_stems) for other in stems))]
    else:
        mixes = [alone(stem) for stem in (dict.fromkeys(wanted) or ([] if mix_db else stems))]
    if mix_db:
        mixes.append(Mix("mix", tuple(10.0 ** (mix_db.get(stem, 0.0) / 20.0) for stem in stems)))
    return tuple(mixes)


def choose_stem_mixes(stems: Sequence[str]) -> tuple[Mix, ...]:
    """The five streams of a stem file: the mixture; drums, bass, all the rest, and vocals; what a model lacks is empty.

    The rest has its own name if it is one stem.
    """
    own = ("drums", "bass", "vocals")
    rest = [stem for stem in stems if stem not in own]

    def sum_of(name: str, parts: Sequence[str]) -> Mix:
        return Mix(name if parts else "empty", tuple(float(stem in parts) for stem in stems))

    drums, bass, vocals = (sum_of(name, [stem for stem in stems if stem == name]) for name in own)
    return (sum_of("mixture", stems), drums, bass, sum_of(rest[0] if len(rest) == 1 else "other", rest), vocals)


@dataclass(frozen=True)
class Form:
    """Format of the files; `clip` says what becomes of a song whose stems exceed full scale.

    rescale: all of its files are softer by the same gain; clamp: samples are clipped; none: they are stored as they
    are. `clip` None: none for 32-bit WAV, which keeps them, else rescale.

    Raises UsageError for `none` with integer samples, which cannot.
    """

    encoding: Encoding = field(default_factory=Encoding)
    clip: Clip | None = None

    def __post_init__(self) -> None:
        if self.clip == "none" and self.encoding.is_integer:
            raise UsageError("--clip none: integer samples cannot exceed full scale; use rescale or clamp")

    @property
    def clips(self) -> Clip:
        return self.clip or ("none" if self.encoding.keeps_peaks else "rescale")

    @property
    def is_direct(self) -> bool:
        """Whether samples are final as they come: nothing to convert, and no peak to wait for."""
        return self.encoding.keeps_peaks and self.clips == "none"


class OutputFiles:
    """Files of one song, hidden until `commit` gives all of them their names. `abort` leaves nothing behind.

    Args:
        paths: name -> file: one for each of the mixes, in their order; or one that holds them all, if the format does.
        mixes: names of the mixes whose samples are written.
        tags: of the song, by name of a file.
    """

    def __init__(
        self,
        paths: Mapping[str, Path],
        mixes: Sequence[str],
        sample_rate: int,
        channels: int,
        form: Form,
        tags: Mapping[str, Tags],
    ) -> None:
        self.paths = dict(paths)
        self._mixes = mixes
        self.notes: list[str] = []
        self._rate, self._channels, self._form, self._tags = sample_rate, channels, form, tags
        places = list(paths.values()) * (len(mixes) if form.encoding.holds_all else 1)
        self._wavs = [AtomicWav(path, sample_rate, channels) for path in places]
        # What becomes of them if they are not final as they come:
        self._converted_wavs: list[AtomicWav] = []
        self._encoded: list[tuple[Path, Path]] = []  # hidden file, its name
        self._peak = 0.0

    def open(self) -> None:
        """Make the hidden files. See to it that `abort` will be called before."""
        for wav in self._wavs:
            wav.open()

    def write(self, samples: Sequence[Float32]) -> None:
        """Append samples (channels, n) to each file."""
        for wav, block in zip(self._wavs, samples, strict=True):
            wav.write(block)
            if not self._form.is_direct:
                self._peak = max(self._peak, float(np.abs(block).max(initial=0.0)))

    def seal(self) -> None:
        """Finish all of them on the disk, still without their names. RtsepError if the disk refuses."""
        if self._form.is_direct:
            for name, wav in zip(self.paths, self._wavs, strict=True):
                wav.rest = id3_chunk(self._tags[name]) if self._tags.get(name) else b""
                wav.seal()
            return
        gain = self._gain()
        if self._form.encoding.holds_all:
            self._join(gain)
            return
        for name, wav in zip(self.paths, self._wavs, strict=True):
            self._convert(wav, gain, self._tags.get(name) or Tags())
            wav.abort()  # its space may be needed for the next one

    def commit(self) -> None:
        """Give all files their names, or none: signals interrupt the main thread only, and another one does it."""
        with ThreadPoolExecutor(1, thread_name_prefix="rtsep-commit") as committing:
            committing.submit(self._commit).result()

    def abort(self) -> None:
        """Remove the hidden files; does nothing to those with a name."""
        for wav in (*self._wavs, *self._converted_wavs):
            wav.abort()
        for hidden, _ in self._encoded:
            with suppress(OSError):  # renamed, or the disk is gone
                hidden.unlink()

    def _commit(self) -> None:
        named: list[Path] = []
        try:
            for wav in self._wavs if self._form.is_direct else self._converted_wavs:
                wav.commit()
                named.append(wav.path)
            for hidden, path in self._encoded:
                with write_errors(path):
                    hidden.replace(path)
                named.append(path)
        except RtsepError:
            for path in named:
                with suppress(OSError):
                    path.unlink()
            raise

    def _gain(self) -> np.float32:
        """What all files are multiplied with, noted if it is not 1."""
        if self._peak <= 1.0 or self._form.clips == "none":
            return np.float32(1.0)
        peak_db = 20 * np.log10(self._peak)
        where = f"{next(iter(self.paths.values())).parent}: peak at {peak_db:+.1f} dBFS"
        if self._form.clips == "clamp":
            self.notes.append(f"{where}, clipped")
            return np.float32(1.0)
        gain = _FULL_SCALE / self._peak
        self.notes.append(f"{where}, all files rescaled by {20 * np.log10(gain):.1f} dB")
        return np.float32(gain)

    def _final(self, wav: AtomicWav, gain: np.float32) -> Iterator[Float32]:
        """The samples in a hidden WAV as they are to be heard."""
        clamps = self._form.clips == "clamp"
        return (np.clip(gain * block, -1.0, 1.0) if clamps else gain * block for block in wav.written())

    def _join(self, gain: np.float32) -> None:
        """Write the finished hidden file that holds all mixes."""
        ((name, path),) = self.paths.items()
        blocks = zip(*(self._final(wav, gain) for wav in self._wavs), strict=True)
        names = [mix.capitalize() for mix in self._mixes[1:]]
        with self._encoding(path, self._tags.get(name) or Tags()) as file:
            encode_stems(blocks, file, self._form.encoding, self._rate, names)

    def _convert(self, wav: AtomicWav, gain: np.float32, tags: Tags) -> None:
        """Write the finished hidden file from the samples in a hidden WAV."""
        encoding, blocks = self._form.encoding, self._final(wav, gain)
        if encoding.wav_bits:
            final = AtomicWav(wav.path, self._rate, self._channels, encoding.wav_bits)
            self._converted_wavs.append(final)
            final.open()
            for block in blocks:
                final.write(block)
            final.rest = id3_chunk(tags) if tags else b""
            final.seal()
            return
        with self._encoding(wav.path, tags) as file:
            encode(blocks, file, encoding, self._rate, self._channels)

    @contextmanager
    def _encoding(self, path: Path, tags: Tags) -> Iterator[BinaryIO]:
        """A hidden file to be encoded into; then it gets the tags, and is brought to the disk."""
        hidden = temporary_path(path)
        self._encoded.append((hidden, path))
        with write_errors(path), create_temporary(hidden) as file:
            yield file
            if tags:
                write_tags(file, self._form.encoding.format, tags)
            file.flush()
            os.fsync(file.fileno())
