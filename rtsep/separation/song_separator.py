"""Separation of whole songs as the authors of windowed networks do it: scaled by the song's peak, in several passes.

Stands in for a `Separator` where a file is split: it takes a song in blocks of any length and gives all of its stems at
the end. A song is held in memory, its spectrum too.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rtsep.dsp.mask_kernels import apply_masks
from rtsep.dsp.stft import StreamingISTFT, StreamingSTFT
from rtsep.errors import UsageError
from rtsep.nn.fixed_windows import Passes, merge_artifacts, whole_song_masks
from rtsep.nn.windowed import Windowed
from rtsep.separation.backends.pytorch import choose_compute
from rtsep.separation.options import find_playable
from rtsep.timebase import HOP

Float32 = NDArray[np.float32]


def load_whole_song(
    model: str | Path | None, compute: str = "auto", passes: Passes = "plain", mend: bool = False
) -> WholeSongSeparator:
    """A separator of whole songs for a model of fixed windows. On the CPU torch is set to all cores.

    Args:
        passes: plain, shifted or sliding, see `rtsep.nn.fixed_windows`.
        mend: where no voice sounds for long, let all of the instrumental pass.

    Raises RtsepError if there is no such model; UsageError for a model without windows, or one that cannot be mended.
    """
    bundle = find_playable(model)
    network = bundle.load_network() if bundle.recipe.segments is None else None
    if not isinstance(network, Windowed):
        raise UsageError(f"--tta and --merge-artifacts are for windows of frames, and {bundle.name} has none")
    if mend and set(network.stems) != {"instrumental", "vocals"}:
        raise UsageError(f"--merge-artifacts is for vocals and instrumental, and {bundle.name} has other stems")
    device = choose_compute(compute)
    if device.type == "cpu":
        torch.set_num_threads(os.cpu_count() or 1)
    network.to(device).freeze()
    return WholeSongSeparator(network, device, bundle.recipe.stft.n_fft, passes, mend)


class WholeSongSeparator:
    """Of each window the stride in its middle is kept, as wide as the recipe says; what the recipe says of fades and
    lookahead is for streams."""

    learns = False

    def __init__(self, network: Windowed, device: torch.device, n_fft: int, passes: Passes, mend: bool) -> None:
        self.stems, self.channels = network.stems, network.channels
        self._network, self._device, self._n_fft = network, device, n_fft
        self._passes: Passes = passes
        self._mend = mend
        self._blocks: list[Float32] = []

    def reset(self) -> None:
        self._blocks = []

    def learn(self, song: Iterable[Float32]) -> None:
        raise ValueError("it hears all of a song before the first stem anyway")

    def feed(self, block: Float32) -> dict[str, Float32]:
        """Take a block (C, n); no stem is ready before `flush`."""
        self._blocks.append(block.copy())
        return {stem: np.zeros((self.channels, 0), np.float32) for stem in self.stems}

    def flush(self) -> dict[str, Float32]:
        """The stems of all that was fed, name -> (C, N); then reset."""
        song = np.concatenate([np.zeros((self.channels, 0), np.float32), *self._blocks], axis=1)
        self.reset()
        if song.shape[1] == 0:
            return dict.fromkeys(self.stems, song)
        frames = self._analyse(song)
        masks = self._masks(np.abs(frames))
        return dict(zip(self.stems, self._synthesise(frames, masks, song.shape[1]), strict=True))

    def _analyse(self, song: Float32) -> NDArray[np.complex64]:
        """Every frame that a sample of the song lies in, (T, C, bins)."""
        hops = -(-song.shape[1] // HOP) + self._n_fft // HOP - 1
        padded = np.zeros((self.channels, hops * HOP), np.float32)
        padded[:, : song.shape[1]] = song
        transform = StreamingSTFT(self.channels, self._n_fft, HOP)
        return np.stack([transform.push(padded[:, h * HOP : (h + 1) * HOP]).copy() for h in range(hops)])

    def _masks(self, magnitudes: Float32) -> Float32:
        """(T, C, bins) -> (S, C, F + 1, T)."""
        network = self._network
        scale = max(float(magnitudes.max()), 1e-12) if network.input_scale == "running_max" else 1.0
        masks = whole_song_masks(
            lambda window: network.network(window.to(self._device)).cpu(),
            torch.from_numpy(magnitudes[:, :, : network.bins] / scale).permute(1, 2, 0),
            network.frames,
            (network.frames - network.stride) // 2,
            self._passes,
        )
        if self._mend:
            instrumental = merge_artifacts(masks[network.stems.index("instrumental")])
            both = {"instrumental": instrumental, "vocals": 1 - instrumental}
            masks = torch.stack([both[stem] for stem in network.stems])
        return np.ascontiguousarray(masks.permute(3, 0, 1, 2).numpy()).transpose(1, 2, 3, 0)

    def _synthesise(self, frames: NDArray[np.complex64], masks: Float32, samples: int) -> Float32:
        """Masked frames back to sound, (S, C, samples)."""
        transform = StreamingISTFT(len(self.stems) * self.channels, self._n_fft, HOP)
        buffer = transform.spectrum.reshape(len(self.stems), self.channels, -1)
        before = self._n_fft // HOP - 1
        out = np.zeros((len(self.stems) * self.channels, (len(frames) - before) * HOP), np.float32)
        for t, frame in enumerate(frames):
            apply_masks(frame, masks[..., t], buffer)
            hop = transform.push(transform.spectrum)
            if t >= before:
                out[:, (t - before) * HOP : (t - before + 1) * HOP] = hop
        return out.reshape(len(self.stems), self.channels, -1)[:, :, :samples]
