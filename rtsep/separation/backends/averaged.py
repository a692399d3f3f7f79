"""Two networks' masks averaged: networks that err in different places are better together than each alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rtsep.separation.backends.stepper import FrameStepper

Float32 = NDArray[np.float32]


class AveragedStepper:
    """Steps two networks side by side. S stems, C channels, F input bins, K frames, L lookahead of the first network.

    Args:
        main: says when masks come, how much of the past they need, and what the gain above the bins is.
        other: a network without lookahead, of the same stems in the same order and the same bins. Its masks wait for
            those of `main`.
        share: of `other`, 0 to 1.

    Raises ValueError for networks that do not fit together.
    """

    def __init__(self, main: FrameStepper, other: FrameStepper, share: float) -> None:
        same = (main.stems, main.channels, main.bins) == (other.stems, other.channels, other.bins)
        if not same or other.lookahead_frames:
            raise ValueError("averaged networks need the same stems and bins, and the second one no lookahead")
        self._main, self._other, self._share = main, other, np.float32(share)
        self.stems, self.channels, self.bins = main.stems, main.channels, main.bins
        self.context_frames, self.lookahead_frames = main.context_frames, main.lookahead_frames
        self.stride = main.stride
        self.max_chunk = min(main.max_chunk, other.max_chunk)
        self.scaled_by_peak, self.compute, self.way = main.scaled_by_peak, main.compute, main.way
        # Frames first. The masks of `other` for the last L frames, and behind them those of the step.
        rows = (len(self.stems), self.channels, self.bins)
        self._waiting = np.zeros((self.lookahead_frames + self.max_chunk, *rows), np.float32)
        self._out = np.empty((self.max_chunk, *rows[:2], self.bins + 1), np.float32)

    def new_stream(self) -> AveragedStepper:
        """A stepper of the same networks with a state of its own."""
        return AveragedStepper(self._main.new_stream(), self._other.new_stream(), float(self._share))

    def step(self, magnitudes: Float32) -> Float32:
        """As of a `FrameStepper`."""
        masks = np.moveaxis(self._main.step(magnitudes), -1, 0)
        low, of_main = self._step_other(magnitudes), masks[..., :-1]
        low -= of_main
        low *= self._share
        low += of_main
        out = self._out[: len(masks)]
        out[..., -1] = masks[..., -1]
        return np.moveaxis(out, 0, -1)

    def hear(self, magnitudes: Float32) -> None:
        """As of a `FrameStepper`."""
        self._main.hear(magnitudes)
        self._step_other(magnitudes)

    def interrupt_when(self, condition: Callable[[], bool]) -> None:
        """As of a `FrameStepper`."""
        self._main.interrupt_when(condition)
        self._other.interrupt_when(condition)

    def reset(self) -> None:
        """Forget all frames."""
        self._main.reset()
        self._other.reset()
        self._waiting[:] = 0

    def expect_peak(self, peak: float) -> None:
        """As of a `FrameStepper`."""
        self._main.expect_peak(peak)
        self.reset()

    def snapshot(self, into: object | None = None) -> object:
        """As of a `FrameStepper`."""
        main, other, waiting = into if isinstance(into, tuple) else (None, None, np.empty_like(self._waiting))
        waiting[:] = self._waiting
        return self._main.snapshot(main), self._other.snapshot(other), waiting

    def restore(self, snapshot: object) -> None:
        """Continue from a snapshot of this stepper."""
        assert isinstance(snapshot, tuple)
        main, other, self._waiting[:] = snapshot
        self._main.restore(main)
        self._other.restore(other)

    def _step_other(self, magnitudes: Float32) -> Float32:
        """Step the other network; returns its masks (K, S, C, F) of the frames that those of `main` are for."""
        frames, late, waiting = magnitudes.shape[-1], self.lookahead_frames, self._waiting
        waiting[late : late + frames] = np.moveaxis(self._other.step(magnitudes), -1, 0)[..., :-1]
        due = self._out[:frames, ..., :-1]
        due[:] = waiting[:frames]
        waiting[:late] = waiting[frames : frames + late]
        return due
