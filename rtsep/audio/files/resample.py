"""Sample-rate conversion of streams (soxr, HQ) that keeps time: position p becomes p · out / in.

For files only: the converter holds back up to 20 ms. A live device is opened at the engine's rate instead.
"""

import math

import numpy as np
import soxr
from numpy.typing import NDArray

from rtsep.audio.files.reader import AudioReader
from rtsep.errors import RtsepError
from rtsep.timebase import SAMPLE_RATE

_WARMUP_SECONDS = 0.1  # sound before a seek target that fills the converter's filter (HQ: 10 to 20 ms)
_READ_FRAMES = 16384


def resampled_length(frames: int, rate_in: int, rate_out: int) -> int:
    """Length after conversion: frames · out / in, rounded half up, in whole numbers."""
    return (2 * frames * rate_out + rate_in) // (2 * rate_in)


class StreamResampler:
    """Convert a stream block by block. Block sizes do not change the result; delay is compensated.

    `push` returns what is complete (which may be nothing), `flush` the rest; together exactly
    `resampled_length(frames pushed)` samples. Equal rates pass through untouched.
    """

    def __init__(self, rate_in: int, rate_out: int, channels: int):
        self.rate_in = rate_in
        self.rate_out = rate_out
        self.channels = channels
        self._pushed = 0
        self._returned = 0
        self._soxr = None
        if rate_in != rate_out:
            self._soxr = soxr.ResampleStream(rate_in, rate_out, channels, dtype="float32", quality="HQ")

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Convert samples (channels, n) at the input rate. Returns (channels, m) at the output rate."""
        if samples.ndim != 2 or samples.shape[0] != self.channels:
            raise ValueError(f"expected ({self.channels}, n) samples, got {samples.shape}")
        self._pushed += samples.shape[1]
        return self._convert(samples, last=False)

    def flush(self) -> NDArray[np.float32]:
        """The rest (channels, m). The resampler is then ready for a new stream."""
        rest = self._convert(np.zeros((self.channels, 0), dtype=np.float32), last=True)
        wanted = resampled_length(self._pushed, self.rate_in, self.rate_out) - (self._returned - rest.shape[1])
        if rest.shape[1] != wanted:
            # soxr rounds the length as we do; its next version may not.
            rest = np.pad(rest, ((0, 0), (0, max(wanted - rest.shape[1], 0))))[:, :wanted]
        self.reset()
        return rest

    def reset(self) -> None:
        """Start a new stream with the next push."""
        self._pushed = self._returned = 0
        if self._soxr is not None:
            self._soxr.clear()

    def _convert(self, samples: NDArray[np.float32], last: bool) -> NDArray[np.float32]:
        if self._soxr is None:
            converted = samples
        else:
            frames_first = np.ascontiguousarray(samples.T, dtype=np.float32)
            converted = np.ascontiguousarray(self._soxr.resample_chunk(frames_first, last=last).T)
        self._returned += converted.shape[1]
        return converted


class EngineReader:
    """A file as the engine wants it: stereo float32 at 44 100 Hz, positions in samples at that rate."""

    def __init__(self, reader: AudioReader):
        self.reader = reader
        self._resampler = StreamResampler(reader.sample_rate, SAMPLE_RATE, 2)
        # Conversion may restart only where both rates' samples coincide: every `_grid` samples of the file.
        self._grid = reader.sample_rate // math.gcd(reader.sample_rate, SAMPLE_RATE)
        self._pending = np.zeros((2, 0), dtype=np.float32)
        self._ended = False
        self._error: RtsepError | None = None  # met, to be raised after the samples before it

    @property
    def length(self) -> int | None:
        """Length in samples at 44.1 kHz as far as known, see `AudioReader.frames`."""
        frames = self.reader.frames
        return None if frames is None else resampled_length(frames, self.reader.sample_rate, SAMPLE_RATE)

    def read(self, max_samples: int) -> NDArray[np.float32]:
        """The next samples (2, n); n < max_samples only at the end, n = 0 from then on.

        RtsepError as `AudioReader.read`: first the samples before the damage, then the error.
        """
        if self.reader.sample_rate == SAMPLE_RATE:
            return self.reader.read(max_samples)
        parts = [self._pending]
        have = self._pending.shape[1]
        while have < max_samples and not self._ended:
            try:
                block = self.reader.read(_READ_FRAMES)
            except RtsepError as error:
                self._error = error
                block = np.zeros((2, 0), dtype=np.float32)
            converted = self._resampler.push(block)
            parts.append(converted)
            have += converted.shape[1]
            if not block.shape[1]:
                self._ended = True
                parts.append(self._resampler.flush())
        joined = np.concatenate(parts, axis=1)
        if self._error and max_samples and not joined.shape[1]:
            raise self._error
        self._pending = joined[:, max_samples:]
        return np.ascontiguousarray(joined[:, :max_samples])

    def seek(self, position: int) -> None:
        """The next `read` begins with the sample at `position` (44.1 kHz), as if read through."""
        if position < 0:
            raise ValueError(f"position must not be negative, got {position}")
        rate = self.reader.sample_rate
        if rate == SAMPLE_RATE:
            self.reader.seek(position)
            return
        before = max(0, position * rate // SAMPLE_RATE - math.ceil(_WARMUP_SECONDS * rate))
        start = before // self._grid * self._grid
        self.reader.seek(start)
        self._resampler.reset()
        self._pending = np.zeros((2, 0), dtype=np.float32)
        self._ended = False
        self._error = None
        self.read(position - start * SAMPLE_RATE // rate)

    def close(self) -> None:
        self.reader.close()
