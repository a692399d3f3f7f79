"""A separator for networks of frames: blocks of any length in, stems out, within the caller's thread."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rtsep.dsp.song_stft import centred_frames
from rtsep.errors import BrokenNetwork
from rtsep.separation.processor import Processor
from rtsep.separation.separator import Separator, checked_block, named_stems
from rtsep.timebase import HOP, SAMPLE_RATE

Float32 = NDArray[np.float32]


class StreamSeparator(Separator):
    """Separates a stream at 44 100 Hz, chunk by chunk.

    The result depends on `chunk`, never on how the stream was cut into blocks. The last chunk is completed with
    silence. Networks whose authors scale a song by its largest magnitude do so once they have learnt it; until then
    the largest so far takes its place.

    Args:
        processor: of this stream alone.
        chunk: hops in each call of the processor.
    """

    sample_rate = SAMPLE_RATE

    def __init__(self, processor: Processor, chunk: int) -> None:
        self.stems = processor.stems
        self.channels = processor.channels
        self.chunk = chunk
        self.latency_samples = processor.latency_samples + chunk * HOP - 1
        self.learns = processor.wiener is not None or processor.scaled_by_peak
        self._processor = processor
        self._pending = np.zeros((self.channels, chunk * HOP), np.float32)
        self._out = np.zeros((len(self.stems), self.channels, chunk * HOP), np.float32)
        self.reset()

    def new_stream(self) -> Self:
        """A separator with the same weights and a stream of its own; nothing is loaded."""
        return type(self)(self._processor.new_stream(), self.chunk)

    def reset(self) -> None:
        """Forget the stream: the next sample fed is the first of a new one."""
        self._processor.reset()
        if self._processor.wiener is not None and self._processor.wiener.running:
            self._processor.wiener.reset()
        self._filled = 0
        self._fed = 0
        self._returned = 0
        self._hops = 0  # processed
        self._lead_in = self._processor.latency_samples  # output samples that lie before the first sample

    def feed(self, block: Float32) -> dict[str, Float32]:
        """The stems that `block` (channels, n) completes, name -> (channels, m). Raises as `Separator.feed`."""
        block = checked_block(block, self.channels)
        self._fed += block.shape[1]
        return named_stems(self.stems, self.channels, self._push(block))

    def flush(self) -> dict[str, Float32]:
        """The rest of the stems, name -> (channels, m); then reset, ready for a new stream."""
        pieces: list[Float32] = []
        silence = np.zeros((self.channels, self.chunk * HOP), np.float32)
        frames = centred_frames(self._fed, self._processor.n_fft) if self._processor.scaled_by_peak else None
        while self._returned < self._fed:
            rest = silence[:, : silence.shape[1] - self._filled]
            heard = None if frames is None else max(0, frames - self._hops)
            pieces += self._push(rest, limit=self._fed - self._returned, heard=heard)
        self.reset()
        return named_stems(self.stems, self.channels, pieces)

    def learn(self, song: Iterable[Float32]) -> None:
        """Let the Wiener filter hear a whole song, or find its largest magnitude, before that song is fed.

        The song comes in blocks (channels, n). What was learnt is used until another song is learnt. Raises ValueError
        if there is neither such a filter nor a network that is scaled by the largest magnitude.
        """
        processor = self._processor
        if not self.learns:
            raise ValueError("learn() needs a Wiener filter: load the model with wiener=True")
        self.reset()
        if processor.scaled_by_peak:
            processor.expect_peak(0.0)
        if processor.wiener is not None:
            processor.wiener.reset()
        peak = 0.0
        silence = np.zeros((self.channels, processor.latency_samples + self.chunk * HOP), np.float32)
        for block in chain(song, [silence]):
            for chunk in self._chunks(checked_block(block, self.channels)):
                if processor.wiener is None:
                    peak = max(peak, processor.largest_magnitude(chunk))
                else:
                    processor.hear(chunk)
        if processor.wiener is not None:
            processor.wiener.running = False
        else:
            processor.expect_peak(peak)
        self.reset()

    def _push(self, block: Float32, limit: int | None = None, heard: int | None = None) -> list[Float32]:
        pieces: list[Float32] = []
        for chunk in self._chunks(block):
            try:
                self._processor.process(chunk, self._out, heard=heard)
            except BrokenNetwork:
                self.reset()
                raise
            self._hops += self.chunk
            dropped = min(self._lead_in, self._out.shape[2])
            self._lead_in -= dropped
            piece = self._out[:, :, dropped:][:, :, :limit].copy()
            self._returned += piece.shape[2]
            pieces.append(piece)
        return pieces

    def _chunks(self, block: Float32) -> Iterator[Float32]:
        """Every chunk that the block completes, valid until the next one."""
        taken = 0
        while taken < block.shape[1]:
            count = min(block.shape[1] - taken, self._pending.shape[1] - self._filled)
            self._pending[:, self._filled : self._filled + count] = block[:, taken : taken + count]
            self._filled += count
            taken += count
            if self._filled == self._pending.shape[1]:
                self._filled = 0
                yield self._pending
