"""The samples of songs where crops are made of them: on the device as far as they fit, else read when drawn."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from rtsep.train.data.songs import Song
from rtsep.train.data.store import INT16_PER_UNIT

SHARE_OF_MEMORY = 0.5
"""Of the memory that a CUDA device has left; the rest is for training."""


class SampleBank:
    """Segments of songs on a device.

    Songs lie there as one int16 tensor, in their order, until `most_bytes` are full. The others are read from the cache
    of decoded songs, through pinned memory on a CUDA device.

    Args:
        most_bytes: None: SHARE_OF_MEMORY of a CUDA device's; 0 on the CPU, where the system keeps files in memory.

    Attributes:
        device: where segments are.
        resident_songs: how many songs lie there.
    """

    def __init__(self, songs: Iterable[Song], device: torch.device, most_bytes: int | None = None) -> None:
        self.device = device
        if most_bytes is None:
            on_card = device.type == "cuda"
            most_bytes = int(SHARE_OF_MEMORY * torch.cuda.mem_get_info(device)[0]) if on_card else 0
        chosen: list[Song] = []
        left = most_bytes // torch.int16.itemsize
        for song in songs:
            if (size := int(np.prod(song.audio.shape))) <= left:
                chosen.append(song)
                left -= size
        self.resident_songs = len(chosen)
        sizes = [int(np.prod(song.audio.shape)) for song in chosen]
        samples = torch.empty(sum(sizes), dtype=torch.int16, device=device)
        self._resident: dict[Song, Tensor] = {}
        for song, place in zip(chosen, samples.split(sizes) if sizes else [], strict=True):
            self._resident[song] = place.view(song.audio.shape)
            self._resident[song].copy_(torch.from_numpy(np.ascontiguousarray(song.audio[:, :, :])))

    def segment(self, song: Song, start: int, length: int) -> Tensor:
        """A new float32 tensor (stems, 2, length) from sample `start`. Raises CacheError if the song's file is gone."""
        if song in self._resident:
            part = self._resident[song][:, :, start : start + length]
        else:
            part = torch.from_numpy(np.ascontiguousarray(song.audio[:, :, start : start + length]))
            if self.device.type == "cuda":
                part = part.pin_memory().to(self.device, non_blocking=True)
        return part.to(torch.float32) / INT16_PER_UNIT
