"""Separation of whole songs as the authors of windowed networks do it: scaled by the song's peak, in several passes.

All stems come at the end. The song is held in memory, its spectrum too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from rtsep.bundle import Bundle
from rtsep.dsp.song_stft import analyse, centred_frames, synthesise
from rtsep.errors import BrokenNetwork, UsageError
from rtsep.nn.fixed_windows import Passes, merge_artifacts, whole_song_masks
from rtsep.nn.windowed import Windowed
from rtsep.separation.backends.pytorch import choose_compute, cpu_threads
from rtsep.separation.processor import BROKEN
from rtsep.separation.separator import Separator, checked_block, named_stems
from rtsep.timebase import SAMPLE_RATE

Float32 = NDArray[np.float32]


def load_whole_song(
    bundle: Bundle, compute: str, threads: int, passes: Passes, merge: bool, mask_extension: str | None = None
) -> WholeSongSeparator:
    """A separator of whole songs for a model of fixed windows. Raises RtsepError as `rtsep.load`."""
    network = bundle.load_network(mask_extension=mask_extension)
    assert isinstance(network, Windowed)
    if merge and set(network.stems) != {"instrumental", "vocals"}:
        raise UsageError(f"merge_artifacts needs the stems vocals and instrumental; {bundle.name} has other stems")
    device = choose_compute(compute)
    network.to(device).freeze()
    return WholeSongSeparator(network, device, bundle.recipe.stft.n_fft, passes, merge, threads)


class WholeSongSeparator(Separator):
    """A separator for a network of fixed windows, by its authors' cut of the song.

    Of each window the stride in its middle is kept, as wide as the recipe says; fades and lookahead of the recipe are
    for streams and not used.

    Args:
        network: in evaluation mode, frozen, on `device`.
        n_fft: samples of a frame.
        passes: plain, shifted or sliding, see `rtsep.nn.fixed_windows`.
        merge: where the vocals pause for long, the instrumental is the mixture itself.
        threads: CPU threads of PyTorch while it computes.
    """

    sample_rate = SAMPLE_RATE
    latency_samples = None
    learns = False

    def __init__(
        self,
        network: Windowed,
        device: torch.device,
        n_fft: int,
        passes: Passes = "plain",
        merge: bool = False,
        threads: int = 1,
    ) -> None:
        self.stems, self.channels = network.stems, network.channels
        self._network, self._device, self._n_fft = network, device, n_fft
        self._passes: Passes = passes
        self._merge, self._threads = merge, threads
        self._blocks: list[Float32] = []

    def new_stream(self) -> Self:
        """A separator with the same weights and a stream of its own; nothing is loaded."""
        return type(self)(self._network, self._device, self._n_fft, self._passes, self._merge, self._threads)

    def reset(self) -> None:
        """Forget the stream."""
        self._blocks = []

    def learn(self, song: Iterable[Float32]) -> None:
        """Raises ValueError: the whole song is known before the first stem in any case."""
        raise ValueError("learn() is not supported: this separator processes the whole song at once")

    def feed(self, block: Float32) -> dict[str, Float32]:
        """Take a block (channels, n); no stem is ready before `flush`. Raises as `Separator.feed`."""
        self._blocks.append(checked_block(block, self.channels).copy())
        return named_stems(self.stems, self.channels, [])

    def flush(self) -> dict[str, Float32]:
        """The stems of all that was fed, name -> (channels, N); then reset. Raises BrokenNetwork."""
        song = np.concatenate([np.zeros((self.channels, 0), np.float32), *self._blocks], axis=1)
        self.reset()
        if song.shape[1] == 0:
            return named_stems(self.stems, self.channels, [])
        frames = analyse(song, self._n_fft)
        counted = centred_frames(song.shape[1], self._n_fft)
        with cpu_threads(self._threads):
            masks = self._masks(np.abs(frames[:counted]))
        masks = np.pad(masks, ((0, 0), (0, 0), (0, 0), (0, len(frames) - counted)), mode="edge")
        stems = synthesise(frames, masks, song.shape[1], self._n_fft)
        if not np.isfinite(np.vdot(stems, stems)):
            raise BrokenNetwork(BROKEN)
        return named_stems(self.stems, self.channels, [stems])

    def _masks(self, magnitudes: Float32) -> Float32:
        """(T, C, bins) -> (S, C, F + 1, T)."""
        network = self._network
        scale = max(float(magnitudes.max()), 1e-12) if network.scaled_by_peak else 1.0
        masks = whole_song_masks(
            lambda window: network.network(window.to(self._device)).cpu(),
            torch.from_numpy(magnitudes[:, :, : network.bins] / scale).permute(1, 2, 0),
            network.frames,
            (network.frames - network.stride) // 2,
            self._passes,
        )
        if self._merge:
            instrumental = merge_artifacts(masks[network.stems.index("instrumental")])
            both = {"instrumental": instrumental, "vocals": 1 - instrumental}
            masks = torch.stack([both[stem] for stem in network.stems])
        return np.ascontiguousarray(masks.permute(3, 0, 1, 2).numpy()).transpose(1, 2, 3, 0)
