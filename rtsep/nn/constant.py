"""A network without parameters and with constant masks, to measure and test everything around a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rtsep.nn.contract import State, StreamingNetwork


@dataclass
class ConstantState(State):
    """Nothing to remember but the longest step."""

    max_chunk: int


class ConstantMask(StreamingNetwork):
    """The mask of stem s is `gains[s]` in every bin of every frame.

    Raises ValueError unless there is one gain a stem.
    """

    def __init__(self, stems: Sequence[str], gains: Sequence[float], channels: int = 2, bins: int = 1024) -> None:
        super().__init__()
        if len(gains) != len(stems):
            raise ValueError(f"expected one gain for each of {len(stems)} stems, got {len(gains)}")
        self.stems = tuple(stems)
        self.channels = channels
        self.bins = bins
        self.context_frames = 1
        self.register_buffer("gains", torch.tensor(gains, dtype=torch.float32), persistent=False)

    def init_state(self, batch: int = 1, max_chunk: int = 32) -> ConstantState:
        return ConstantState(max_chunk)

    def step(self, magnitudes: Tensor, state: State) -> Tensor:
        assert isinstance(state, ConstantState)
        self.validate(magnitudes, state.max_chunk)
        return self.forward(magnitudes)

    def forward(self, magnitudes: Tensor, chunk: int | None = None) -> Tensor:
        self.validate(magnitudes)
        batch, channels, _, frames = magnitudes.shape
        gains = self.get_buffer("gains").view(1, -1, 1, 1, 1)
        return gains.expand(batch, len(self.stems), channels, self.mask_rows, frames)
