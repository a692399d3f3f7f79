"""Separation in process, for Python programs: feed blocks of any length, get stems back. No worker, no rings."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rtsep.dsp.wiener import MultichannelWiener
from rtsep.errors import UsageError
from rtsep.separation.backends.choose import load_stepper
from rtsep.separation.backends.stepper import MAX_CHUNK
from rtsep.separation.options import check_latency, find_playable
from rtsep.separation.processor import BrokenNetwork, Processor
from rtsep.system.priority import use_passive_waiting
from rtsep.timebase import HOP, SAMPLE_RATE

if TYPE_CHECKING:
    from rtsep.separation.segment_separator import SegmentSeparator

Float32 = NDArray[np.float32]


def load(
    model: str | Path | None = None,
    chunk: int = MAX_CHUNK,
    compute: str = "auto",
    latency: str = "standard",
    wiener: bool = False,
) -> Separator | SegmentSeparator:
    """A separator for a model. Where PyTorch computes on the CPU, it is set to one thread, for the whole process: more
    made it slower. Networks of whole windows have enough to share: for these it gets a thread for each core.

    For a model of whole segments it is a `SegmentSeparator`, which has no use for `chunk` and `latency`, gives stems
    only after `flush` unless it could `learn` the song before, and takes all threads.

    Args:
        model: name or folder of a bundle; None is the default model.
        chunk: frames the network takes in one step, 1 to 32: 1 answers soonest, 32 is fastest.
        compute: auto, cpu, cuda or cuda:N.
        latency: of the synthesis: standard (4096 samples), medium (3072) or low (2048, separated a little less well).
        wiener: filter the stems by where they stand between the channels too. It runs with what it heard so far, unless
            `Separator.learn` lets it hear the whole song first. The stems need not sum to the mixture then.

    Raises RtsepError if there is no such model or device, or for a model of another rate, window or channel count;
    UsageError for a word that `compute` or `latency` does not know, or a filter that the model cannot have.
    """
    if not 1 <= chunk <= MAX_CHUNK:
        raise ValueError(f"chunk: expected 1 to {MAX_CHUNK} frames, got {chunk}")
    check_latency(latency)
    use_passive_waiting()
    bundle = find_playable(model)
    if bundle.recipe.segments is not None:
        from rtsep.separation.segment_separator import load_segments

        if wiener:
            raise UsageError(f"{bundle.name} gives waveforms: a Wiener filter needs masks")
        return load_segments(bundle, compute)
    n_fft = bundle.recipe.stft.n_fft
    threads = (os.cpu_count() or 1) if bundle.recipe.window else 1
    stepper = load_stepper(bundle, compute, chunk, own_shares=wiener, threads=threads)
    told_apart = MultichannelWiener(len(stepper.stems), n_fft // 2 + 1) if wiener else None
    return Separator(Processor(stepper, latency, told_apart, n_fft), chunk)


class Separator:
    """Separates a stream at 44 100 Hz: what has come out after `flush` is exactly as long as what went in, and aligned.

    The answer depends on `chunk`, never on how the stream was cut into blocks. The last chunk is completed
    with silence.
    """

    sample_rate = SAMPLE_RATE

    def __init__(self, processor: Processor, chunk: int) -> None:
        self.stems = processor.stems
        self.channels = processor.channels
        self.chunk = chunk
        self._processor = processor
        self._pending = np.zeros((self.channels, chunk * HOP), np.float32)
        self._out = np.zeros((len(self.stems), self.channels, chunk * HOP), np.float32)
        self.reset()

    @property
    def latency_samples(self) -> int:
        """The most samples that can have gone in without having come out."""
        return self._processor.latency_samples + self.chunk * HOP - 1

    def reset(self) -> None:
        """Forget everything: the next sample fed is the first of a new stream."""
        self._processor.reset()
        if self._processor.wiener is not None and self._processor.wiener.running:
            self._processor.wiener.reset()
        self._filled = 0
        self._fed = 0
        self._returned = 0
        self._lead_in = self._processor.latency_samples  # output samples that lie before the first sample

    def feed(self, block: Float32) -> dict[str, Float32]:
        """The stems that `block` completes: name -> (C, m), m >= 0.

        Args:
            block: float32 (C, n) at 44 100 Hz, any n >= 0.

        Raises BrokenNetwork if a stem is not finite; everything is forgotten then, as by `reset`.
        """
        if block.ndim != 2 or block.shape[0] != self.channels:
            raise ValueError(f"expected a block ({self.channels}, n), got {block.shape}")
        if not np.issubdtype(block.dtype, np.floating):
            raise ValueError(f"expected samples as floating-point numbers from -1 to 1, got {block.dtype}")
        self._fed += block.shape[1]
        return self._named(self._push(block))

    def flush(self) -> dict[str, Float32]:
        """The rest of the stems, name -> (C, m); then reset, ready for a new stream."""
        pieces: list[Float32] = []
        silence = np.zeros((self.channels, self.chunk * HOP), np.float32)
        while self._returned < self._fed:
            pieces += self._push(silence[:, : silence.shape[1] - self._filled], limit=self._fed - self._returned)
        self.reset()
        return self._named(pieces)

    @property
    def learns(self) -> bool:
        """Whether there is a Wiener filter that would gain by `learn`."""
        return self._processor.wiener is not None

    def learn(self, song: Iterable[Float32]) -> None:
        """Let the Wiener filter hear a whole song, in blocks (C, n), before that very song is fed from its beginning.

        It then knows this song until it learns another. Raises ValueError if there is no such filter.
        """
        if self._processor.wiener is None:
            raise ValueError("there is no Wiener filter to learn anything; load(wiener=True) makes one")
        self.reset()
        self._processor.wiener.reset()
        silence = np.zeros((self.channels, self._processor.latency_samples + self.chunk * HOP), np.float32)
        for block in chain(song, [silence]):
            for chunk in self._chunks(block):
                self._processor.hear(chunk)
        self._processor.wiener.running = False
        self.reset()

    def _push(self, block: Float32, limit: int | None = None) -> list[Float32]:
        pieces: list[Float32] = []
        for chunk in self._chunks(block):
            try:
                self._processor.process(chunk, self._out)
            except BrokenNetwork:
                self.reset()
                raise
            dropped = min(self._lead_in, self._out.shape[2])
            self._lead_in -= dropped
            piece = (
                self._out[:, :, dropped:].copy() if limit is None else self._out[:, :, dropped:][:, :, :limit].copy()
            )
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

    def _named(self, pieces: list[Float32]) -> dict[str, Float32]:
        if not pieces:
            return {stem: np.zeros((self.channels, 0), np.float32) for stem in self.stems}
        joined = pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=2)
        return dict(zip(self.stems, joined, strict=True))
