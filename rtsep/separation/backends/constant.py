"""The step of `rtsep.nn.constant.ConstantMask` without PyTorch, to measure what everything else costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]


class ConstantStepper:
    """Gives stem s the gain `gains[s]` in every bin of every frame.

    Args:
        max_chunk: the most frames in a step.

    Raises ValueError unless there is one gain a stem.
    """

    context_frames, lookahead_frames = 1, 0
    compute, way, stride, scaled_by_peak = "cpu", "constant", 1, False

    def __init__(self, stems: Sequence[str], gains: Sequence[float], channels: int, bins: int, max_chunk: int) -> None:
        if len(gains) != len(stems):
            raise ValueError(f"expected one gain for each of {len(stems)} stems, got {len(gains)}")
        self.stems, self.channels, self.bins, self.max_chunk = tuple(stems), channels, bins, max_chunk
        self._gains = gains
        self._masks = np.empty((len(stems), channels, bins + 1, max_chunk), np.float32)
        self._masks[:] = np.asarray(gains, np.float32)[:, None, None, None]

    def step(self, magnitudes: Float32) -> Float32:
        """Masks (S, C, F + 1, K). Raises ValueError for magnitudes that are not (C, F, 1 to max_chunk)."""
        frames = magnitudes.shape[-1]
        if magnitudes.shape != (self.channels, self.bins, frames) or not 1 <= frames <= self.max_chunk:
            raise ValueError(
                f"expected magnitudes ({self.channels}, {self.bins}, 1 to {self.max_chunk}), got {magnitudes.shape}"
            )
        return self._masks[..., :frames]

    def hear(self, magnitudes: Float32) -> None:
        """Nothing: it has no state."""

    def interrupt_when(self, condition: Callable[[], bool]) -> None:
        """Nothing: a step is short."""

    def new_stream(self) -> ConstantStepper:
        """A stepper of the same gains."""
        return ConstantStepper(self.stems, self._gains, self.channels, self.bins, self.max_chunk)

    def reset(self) -> None:
        """Nothing: it has no state."""

    def expect_peak(self, peak: float) -> None:
        """Raises ValueError: it does not look at its input."""
        raise ValueError("a constant mask does not scale its input")

    def snapshot(self, into: object | None = None) -> object:
        """Nothing: it has no state."""
        return into

    def restore(self, snapshot: object) -> None:
        """Nothing: it has no state."""
