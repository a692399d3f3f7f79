"""Audio files in: any format, read as a stream of stereo blocks in bounded memory, with sample-exact seeking.

`open_audio` is the one door: it opens the file; `AudioReader` folds to stereo, checks the samples and words what is
wrong. One rule for all formats: whatever can be decoded is decoded, at its place; what is missing is reported.
"""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from rtsep.audio.files.decoder import Decoder
from rtsep.audio.files.fold import MAX_CHANNELS, fold_weights, layout_name
from rtsep.errors import ArgumentError, RtsepError

LARGEST_SAMPLE = 1e10
"""Full scale is 1, or 2**31 where somebody forgot to scale integers. Beyond this spectra overflow."""
_RATES = range(1000, 768001)  # what can be meant; outside it the header lies
_LISTED = 5  # damaged places that are reported one by one


@dataclass(frozen=True)
class Part:
    """A part of a file: from `start_s`, `seconds` long or to the end. Raises ArgumentError for what is no time."""

    start_s: float = 0.0
    seconds: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.start_s) and self.start_s >= 0):
            raise ArgumentError("start", self.start_s, "seconds, 0 or more")
        if self.seconds is not None and not (math.isfinite(self.seconds) and self.seconds > 0):
            raise ArgumentError("seconds", self.seconds, "seconds, more than 0")


WHOLE = Part()


class AudioReader:
    """An open audio file, or a part of it, as stereo float32 at the file's own rate.

    `channels` are the file's own; a mono file is read as two equal channels, surround is folded down. Positions count
    from the beginning of the part, except in messages.
    """

    def __init__(
        self, path: Path, file: BinaryIO, decoder: Decoder, allow_damaged: bool = False, part: Part = WHOLE
    ) -> None:
        self.path = path
        self.sample_rate = decoder.sample_rate
        self.channels = decoder.channels
        self._file = file
        self._decoder = decoder
        self._allow_damaged = allow_damaged
        self._weights = fold_weights(decoder.channels, decoder.ogg_order)
        self._part = part
        self._begin = round(part.start_s * self.sample_rate)
        self._length = None if part.seconds is None else max(round(part.seconds * self.sample_rate), 1)
        self._position = 0  # in the file
        self._bad_sample: str | None = None  # the next one
        self._silenced: dict[int, str] = {}  # second -> clause
        if self._begin:
            if decoder.frames is not None and self._begin >= decoder.frames:
                raise self._too_short(f"at {decoder.frames / self.sample_rate:.2f} s")
            self.seek(0)

    @property
    def frames(self) -> int | None:
        """Length in samples as far as known: what the header says, corrected when the end has been met."""
        frames = self._decoder.frames
        if frames is None:
            return None
        frames = max(frames - self._begin, 0)
        return frames if self._length is None else min(frames, self._length)

    @property
    def truncated(self) -> str | None:
        """One line once it is known that the file ends too early, or at a bad sample that ends it; else None."""
        reason = self._bad_sample or self._decoder.truncated
        return f"{self.path}: {reason}" if reason else None

    @property
    def notes(self) -> list[str]:
        """Lines that the user should know of: damage so far, which is silent, and oddities."""
        clauses = [*self._decoder.notes, *self._silenced.values()]
        if len(clauses) > _LISTED:
            clauses = [*clauses[:_LISTED], "damaged in more places"]
        if self.channels > 2:
            clauses.insert(0, f"{layout_name(self.channels)} is folded down to stereo")
        return [f"{self.path}: {clause}" for clause in clauses]

    def read(self, max_frames: int) -> NDArray[np.float32]:
        """The next samples, (2, n) contiguous; n < max_frames only at the end, n = 0 from then on.

        A sample that is NaN, infinite or beyond `LARGEST_SAMPLE` ends it too: those before it are returned, the next
        read raises RtsepError. With `allow_damaged` such samples are silent instead.
        """
        if max_frames < 0:
            raise ValueError(f"max_frames must not be negative, got {max_frames}")
        if self._bad_sample:
            raise RtsepError(f"{self.path}: {self._bad_sample}")
        if self._length is not None:
            max_frames = max(min(max_frames, self._begin + self._length - self._position), 0)
        block = self._decoder.read(max_frames)
        if max_frames and not len(block) and self._position == self._begin > 0:
            raise self._too_short("earlier")
        if not np.abs(block).max(initial=0.0) <= LARGEST_SAMPLE:  # NaN is not, either
            block = self._without_bad_samples(block)
        self._position += len(block)
        if self.channels == 2:
            return np.ascontiguousarray(block.T)
        if self.channels == 1:
            return np.repeat(block.T, 2, axis=0)
        return np.ascontiguousarray((block @ self._weights).T)

    def seek(self, frame: int) -> None:
        """The next `read` begins with sample `frame`, exactly; at the end or beyond it nothing more follows.

        Equal to reading through from the start, but for what decoders remember longer: Opus agrees to −50 dB,
        and the noise that AAC makes up is other noise.
        """
        if frame < 0:
            raise ValueError(f"frame must not be negative, got {frame}")
        self._position = self._begin + frame
        self._decoder.seek(self._position)
        self._bad_sample = None

    def close(self) -> None:
        self._decoder.close()
        self._file.close()

    def __enter__(self) -> "AudioReader":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _too_short(self, ends: str) -> RtsepError:
        return RtsepError(f"{self.path} ends {ends}: --start {self._part.start_s:g} is beyond its end")

    def _without_bad_samples(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Samples (n, channels) up to the first bad one, or with silence for the bad ones."""
        bad = ~(np.abs(block) <= LARGEST_SAMPLE).all(axis=1)
        first = int(np.flatnonzero(bad)[0])
        at_s = (self._position + first) / self.sample_rate
        worst = block[first][~(np.abs(block[first]) <= LARGEST_SAMPLE)][0]
        what = "is not a number (NaN or infinite)" if not np.isfinite(worst) else f"is {worst:.3g}, full scale is 1"
        if self._allow_damaged:
            self._silenced.setdefault(int(at_s), f"the sample at {at_s:.3f} s {what}; it is silent")
            block = block.copy()
            block[bad] = 0.0
            return block
        self._bad_sample = f"the sample at {at_s:.3f} s {what}; export the file again"
        if first == 0:
            raise RtsepError(f"{self.path}: {self._bad_sample}")
        return block[:first]


def open_audio(path: Path | str, stream: int = 0, allow_damaged: bool = False, part: Part = WHOLE) -> AudioReader:
    """Open an audio file for reading. Raises RtsepError (one line) for whatever is not a readable audio file.

    `stream` counts the audio streams of the file from 0; only containers such as MP4 hold more than one.
    `allow_damaged`: impossible samples are silent and noted, rather than an error. `part` is read as if it were the
    file; RtsepError if it begins beyond the end, from the first `read` where only that finds the end.
    """
    from rtsep.audio.files.opening import open_decoder

    path = Path(path)
    try:
        if path.is_dir():
            next(os.scandir(path), None)  # its error is the better one
            raise RtsepError(f"{path} is a folder; name the audio files in it")
        if path.exists() and not path.is_file():
            raise RtsepError(f"{path} is not a regular file")
        # Python opens the file, once, not a decoder: its errors are clear, and a file that is renamed stays open.
        # Unbuffered, for decoders move in it.
        file = path.open("rb", buffering=0)
    except FileNotFoundError:
        raise RtsepError(f"{path} does not exist") from None
    except OSError as error:
        raise RtsepError(f"{path} cannot be opened: {error.strerror or error}") from error
    try:
        return _reader(path, file, open_decoder(path, file, stream), allow_damaged, part)
    except OSError as error:
        file.close()
        raise RtsepError(f"{path} cannot be read: {error.strerror or error}") from error
    except BaseException:
        file.close()
        raise


def _reader(path: Path, file: BinaryIO, decoder: Decoder, allow_damaged: bool, part: Part) -> AudioReader:
    if decoder.sample_rate not in _RATES:
        expected = f"expected {_RATES[0]} to {_RATES[-1]} Hz"
        raise RtsepError(f"{path}: its header states {decoder.sample_rate} Hz: {expected}")
    if decoder.channels > MAX_CHANNELS:
        raise RtsepError(f"{path} has {decoder.channels} channels, more than the {MAX_CHANNELS} of 7.1; mix it down")
    return AudioReader(path, file, decoder, allow_damaged, part)
