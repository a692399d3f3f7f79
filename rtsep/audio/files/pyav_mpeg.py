"""Decoding of MP3, MP2 and bare AAC by FFmpeg's decoders, frame by frame: each in its place, whatever is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rtsep.audio.files.decoder import damaged
from rtsep.audio.files.mpeg import MpegFrames
from rtsep.audio.files.pyav import Float32, import_av, samples_of, silence, take
from rtsep.errors import RtsepError

_PREROLL = 32  # frames: the smallest ones that a bit reservoir of 511 bytes reaches back over
_PROBED = 8


class MpegDecoder:
    """A `Decoder` of the frames that were found in a file. The length is exact from the beginning."""

    ogg_order = False

    def __init__(self, path: Path, frames: MpegFrames):
        self._av = import_av(path)
        self._frames = frames
        frames.walk()
        self._codec = self._av.CodecContext.create(frames.codec, "r")
        first = None
        for index in range(min(_PROBED, len(frames.offsets))):
            first = next(iter(self._decode_frame(index)), None) or first
        if first is None:
            raise RtsepError(f"{path} contains no readable audio")
        self.sample_rate, self.channels = int(first.sample_rate), len(first.layout.channels)
        self._size = int(first.samples)  # AAC may double what its header says
        self.frames: int | None = frames.samples * max(self._size // frames.frame_samples, 1)
        self.notes = [
            damaged(self._seconds(gap.frame), gap.lost * self._size / self.sample_rate) for gap in frames.gaps
        ]
        self.truncated = frames.shortfall(self.sample_rate * frames.frame_samples // self._size)
        self.seek(0)

    def read(self, frames: int) -> Float32:
        block, self._pending = take(frames, self._pending, self._blocks)
        return block

    def seek(self, frame: int) -> None:
        self._pending = np.empty((0, self.channels), np.float32)
        self._blocks = self._decode(frame)

    def close(self) -> None:
        self._blocks = iter(())

    def _seconds(self, frame: int) -> float:
        return max(frame * self._size - self._frames.skip, 0) / self.sample_rate

    def _decode(self, start: int) -> Iterator[Float32]:
        """Samples from `start` on, silence for lost frames."""
        assert self.frames is not None
        self._codec = self._av.CodecContext.create(self._frames.codec, "r")
        skip = self._frames.skip
        for index in range(max((start + skip) // self._size - _PREROLL, 0), len(self._frames.offsets)):
            block, at = self._block(index), index * self._size - skip
            begin, end = max(start, at), min(at + self._size, self.frames)
            if begin < end:
                yield block[begin - at : end - at]

    def _block(self, index: int) -> Float32:
        frames = self._decode_frame(index)
        if not frames:
            return next(silence(0, self._size, 0, self.channels))
        samples = np.concatenate([samples_of(frame) for frame in frames])
        if samples.shape[1] != self.channels:  # some encoders change between mono and stereo
            samples = np.repeat(samples.mean(axis=1, keepdims=True), self.channels, axis=1)
        missing = self._size - len(samples)
        return np.pad(samples, ((0, missing), (0, 0))) if missing > 0 else samples[: self._size]

    def _decode_frame(self, index: int) -> list:
        data = self._frames.frame(index)
        if not data:
            return []
        try:
            return self._codec.decode(self._av.Packet(data))
        except self._av.error.FFmpegError:
            return []
