"""Decoding by FFmpeg through PyAV (extra `aac`): M4A, AAC, MP4, WebM, WMA, what libsndfile cannot read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import RtsepError

# What the first bytes must look like before FFmpeg may see a file: it "recognises" plain text, too.
_ADTS_SYNC = (b"\xff\xf1", b"\xff\xf9")
_CONTAINERS = (b"\x1aE\xdf\xa3", b"0&\xb2u")  # Matroska/WebM, ASF
_PREROLL = 8192  # frames


def is_for_pyav(head: bytes) -> bool:
    """Whether a file with these first 16 bytes is one for FFmpeg rather than libsndfile."""
    return head[4:8] == b"ftyp" or head.startswith(_ADTS_SYNC + _CONTAINERS)


class AvDecoder:
    """One open file; the same interface as `SndfileDecoder`.

    `frames` is what the container says until the end is met: exact for M4A, a guess for bare AAC. `stream` counts the
    sound streams of the file from 0: a stem file holds several.
    """

    ogg_order = False  # FFmpeg puts channels into WAV's order

    def __init__(self, path: Path, stream: int = 0):
        try:
            import av
            from av.error import FFmpegError
        except ImportError:
            raise RtsepError(f"{path} needs FFmpeg's decoder: pip install 'rtsep[aac]'") from None
        self.path = path
        self.truncated: str | None = None
        self.note: str | None = None
        self._open_container = lambda: av.open(str(path))
        self._error = FFmpegError
        try:
            self._container = self._open_container()
        except FFmpegError as error:
            raise RtsepError(f"{path} cannot be read: {error.strerror}") from error
        if not self._container.streams.audio:
            self._container.close()
            raise RtsepError(f"{path} holds no sound")
        there = len(self._container.streams.audio)
        if stream >= there:
            self._container.close()
            raise RtsepError(f"{path} holds {there} sound streams, number {stream + 1} is not there")
        self._stream = stream
        sound = self._container.streams.audio[stream]
        self.sample_rate = int(sound.codec_context.sample_rate)
        self.channels = int(sound.codec_context.channels)
        # Bare AAC has no index and no times of its own: places in it are found by decoding from the start.
        self._indexed = self._container.format.name != "aac"
        self.frames: int | None = None
        self._limit: int | None = None
        if sound.duration and sound.time_base:
            self.frames = round(sound.duration * sound.time_base * self.sample_rate)
            if self._indexed:
                self._limit = self.frames
        self._origin = int((sound.start_time or 0) * (sound.time_base or 0) * self.sample_rate)
        self._position = 0
        self._pending = np.empty((0, self.channels), dtype=np.float32)
        self._blocks = self._decode(0)

    def read(self, frames: int) -> NDArray[np.float32]:
        """The next frames, float32 (n, channels); n < frames only at the end, n = 0 from then on."""
        if self._limit is not None:
            frames = min(frames, max(self._limit - self._position, 0))
        parts = [self._pending]
        have = len(self._pending)
        while have < frames:
            block = next(self._blocks, None)
            if block is None:
                self.frames = self._position + have
                break
            parts.append(block)
            have += len(block)
        joined = np.concatenate(parts)
        self._pending = joined[frames:]
        self._position += min(have, frames)
        return joined[:frames]

    def seek(self, frame: int) -> None:
        """The next read begins with this frame, exactly."""
        if self.frames is not None:
            frame = min(frame, self.frames)
        self._position = frame
        self._pending = self._pending[:0]
        self._blocks = self._decode(frame)

    def close(self) -> None:
        self._blocks = iter(())
        self._container.close()

    def _decode(self, start: int) -> Iterator[NDArray[np.float32]]:
        """Blocks (n, channels) from frame `start` on."""
        # The first packets after a seek decode wrongly (AAC overlaps its neighbours): land early, drop them.
        land = start - _PREROLL if self._indexed else 0
        try:
            if land > 0:
                # In units of the container, one for all: microseconds.
                offset = (land + self._origin) * 1_000_000 // self.sample_rate
                self._container.seek(offset, backward=True)
            else:
                # Not a seek to 0: it leaves out what lies before, which the first frame overlaps with.
                self._container.close()
                self._container = self._open_container()
            at: int | None = None if land > 0 else 0
            for frame in self._container.decode(audio=self._stream):
                samples = self._samples(frame)
                if at is None:
                    # Times of packets may be rounded to milliseconds (Matroska); one is enough, then count.
                    at = round((frame.time or 0.0) * self.sample_rate) - self._origin
                begin, at = at, at + len(samples)
                if at > start:
                    yield samples[max(start - begin, 0) :]
        except self._error as error:
            seconds = self._position / self.sample_rate
            self.truncated = f"it is damaged after {seconds:.2f} s ({error.strerror})"

    def _samples(self, frame: Any) -> NDArray[np.float32]:
        """A decoded frame as float32 (n, channels), whatever its sample format."""
        raw = frame.to_ndarray()
        if not frame.format.is_planar:
            raw = raw.reshape(-1, self.channels).T
        if raw.dtype.kind == "f":
            return np.ascontiguousarray(raw.T, dtype=np.float32)
        if raw.dtype == np.uint8:
            return ((raw.T.astype(np.float32)) - 128.0) / 128.0
        return raw.T.astype(np.float32) / -float(np.iinfo(raw.dtype).min)
