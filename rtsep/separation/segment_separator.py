"""Separation by a network of whole segments: the song normalised, cut, and the overlaps of its segments cross-faded.

As the authors of Demucs do it (demucs/apply.py and api.py, 4.1), without random shifts: mean and deviation are those of
the whole song's mono mix; segments begin at every multiple of their stride; the rest of the song lies in the middle of
the last one; overlapping segments are averaged, with weights that rise linearly to the middle of each.

So a song is read twice: for `learn`, which costs little, then for `feed`. Memory does not grow with the song.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from rtsep.bundle import Bundle
from rtsep.errors import BrokenNetwork
from rtsep.nn.segment_network import SegmentNetwork
from rtsep.separation.backends.pytorch import choose_compute, cpu_threads
from rtsep.separation.processor import BROKEN
from rtsep.separation.separator import Separator, checked_block, named_stems
from rtsep.timebase import SAMPLE_RATE

Float32 = NDArray[np.float32]
LEAST_DEVIATION = 1e-8


def load_segments(bundle: Bundle, compute: str, threads: int) -> SegmentSeparator:
    """A separator for a model with [segments]. Raises RtsepError as `rtsep.load`."""
    assert bundle.recipe.segments is not None
    device = choose_compute(compute)
    network = bundle.load_segment_network().to(device)
    return SegmentSeparator(network, device, bundle.recipe.segments.overlap, threads)


class SegmentSeparator(Separator):
    """A separator for a network of whole segments. S stems, C channels, N samples of a segment.

    Args:
        network: in evaluation mode, on `device`.
        overlap: the share of a segment that its neighbour has too.
        threads: CPU threads of PyTorch while it computes.
    """

    sample_rate = SAMPLE_RATE
    learns = True

    def __init__(self, network: SegmentNetwork, device: torch.device, overlap: float, threads: int = 1) -> None:
        self.stems, self.channels = network.stems, network.channels
        self.latency_samples = network.segment_samples
        self._network, self._device, self._overlap, self._threads = network, device, overlap, threads
        self._length = network.segment_samples
        self._stride = int((1 - overlap) * self._length)
        rise = self._length // 2
        ramp = np.concatenate([np.arange(1, rise + 1), np.arange(self._length - rise, 0, -1)]).astype(np.float32)
        self._weight = ramp / ramp.max()
        self.reset()

    def new_stream(self) -> Self:
        """A separator with the same weights and a stream of its own; nothing is loaded."""
        return type(self)(self._network, self._device, self._overlap, self._threads)

    def reset(self) -> None:
        """Forget the stream and the song that was learnt."""
        self._total: int | None = None
        self._mean, self._deviation = np.float32(0), np.float32(1)
        self._unheard_blocks: list[Float32] = []
        self._fed = 0
        self._offset = 0  # of the next segment
        self._song = np.zeros((self.channels, 0), np.float32)  # what segments still need of it,
        self._song_begin = 0  # from this sample on
        # Weighted stems from the next segment's first sample on, and the weights that they have so far.
        self._sum = np.zeros((len(self.stems), self.channels, self._length), np.float32)
        self._weights = np.zeros(self._length, np.float32)

    def learn(self, song: Iterable[Float32]) -> None:
        """Hear a whole song, in blocks (C, n), before that song is fed from its beginning, once."""
        self.reset()
        count, total, squares = 0, 0.0, 0.0
        for block in song:
            mono = checked_block(block, self.channels).mean(axis=0, dtype=np.float64)
            count += len(mono)
            total += float(mono.sum())
            squares += float(mono @ mono)
        self._total = count
        if count > 1:
            self._mean = np.float32(total / count)
            variance = max(squares - total * total / count, 0.0) / (count - 1)
            self._deviation = np.float32(np.sqrt(variance) + LEAST_DEVIATION)

    def feed(self, block: Float32) -> dict[str, Float32]:
        """The stems that `block` (C, n) completes: name -> (C, m). Without `learn`, none before `flush`.

        Raises as `Separator.feed`; also ValueError for more sound than was learnt, after a reset.
        """
        block = checked_block(block, self.channels)
        if self._total is None:
            self._unheard_blocks.append(block.copy())
            return named_stems(self.stems, self.channels, [])
        self._fed += block.shape[1]
        if self._fed > self._total:
            total = self._total
            self.reset()
            raise ValueError(f"learn() got {total} samples and feed() more: feed the song that was learnt")
        self._song = np.concatenate([self._song, (block - self._mean) / self._deviation], axis=1)
        return named_stems(self.stems, self.channels, list(self._segments()))

    def flush(self) -> dict[str, Float32]:
        """The rest of the stems, name -> (C, m); then reset, ready for a new song.

        Raises ValueError if less was fed than was learnt.
        """
        unheard, total, fed = self._unheard_blocks, self._total, self._fed
        stems = named_stems(self.stems, self.channels, [])
        if total is None:
            self.learn(unheard)
            stems = self.feed(np.concatenate([np.zeros((self.channels, 0), np.float32), *unheard], axis=1))
        self.reset()
        if total is not None and fed < total:
            raise ValueError(f"learn() got {total} samples and feed() {fed}: feed the whole song that was learnt")
        return stems

    def _segments(self) -> Iterator[Float32]:
        """The finished stems (S, C, n) of every segment that can be computed now."""
        assert self._total is not None
        while self._offset < self._total:
            length = min(self._total - self._offset, self._length)
            if self._fed < self._offset + length:
                return
            before = (self._length - length) // 2
            stems = self._separate(self._offset - before)[:, :, before : before + length]
            self._sum[:, :, :length] += self._weight[:length] * stems
            self._weights[:length] += self._weight[:length]
            done = min(self._stride, length)
            yield self._sum[:, :, :done] / self._weights[:done] * self._deviation + self._mean
            self._advance()

    def _separate(self, begin: int) -> Float32:
        """Stems (S, C, N) of the normalised song from `begin` on, with silence before and behind it."""
        segment = np.zeros((self.channels, self._length), np.float32)
        there = self._song[:, max(begin, 0) - self._song_begin :][:, : self._length - max(-begin, 0)]
        segment[:, max(-begin, 0) :][:, : there.shape[1]] = there
        with torch.inference_mode(), cpu_threads(self._threads):
            stems = self._network(torch.from_numpy(segment)[None].to(self._device))[0].cpu().numpy()
        if not np.isfinite(np.vdot(stems, stems)):
            self.reset()
            raise BrokenNetwork(BROKEN)
        return stems

    def _advance(self) -> None:
        """Move to the next segment. Half a segment before it is kept, because the last one may reach back that far."""
        self._offset += self._stride
        for sums in (self._sum, self._weights):
            sums[..., : -self._stride] = sums[..., self._stride :]
            sums[..., -self._stride :] = 0
        needless = self._offset - self._length // 2 - self._song_begin
        if needless > 0:
            self._song = self._song[:, needless:].copy()
            self._song_begin += needless
