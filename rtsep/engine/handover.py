"""When the model takes over from the instant network, and with how much of the past.

A model of whole windows computes a burst, a window, every stride of frames. So its first sound takes long, and the
instant network is heard until the stems reach far enough ahead of the play head for that burst.
"""

from __future__ import annotations

import time

import numpy as np

from rtsep.separation.backends.stepper import MAX_CHUNK, FrameStepper

SPARE_LEAD_S = 0.1
"""What is left of the lead, at least, when a network has heard its past or the sound for a longest chunk is waited
for."""
LONGEST_BURST_S = 2.0
"""A model whose window takes longer never takes over: the lead, which is at most 4 s, is not enough."""
LONGEST_LEAD_S = 3.0


class Handover:
    """The rules for one model.

    Args:
        model: warmed up. It is stepped, and reset, to measure it.

    Attributes:
        burst_s: time from the decision to the first sound of the model.
        past_frames: the most that the model hears of the past, its lookahead included.
    """

    def __init__(self, model: FrameStepper) -> None:
        self._stride, self._lookahead = model.stride, model.lookahead_frames
        self.past_frames = -(-model.context_frames // model.stride) * model.stride + self._lookahead
        self.burst_s = min(self._time_burst(model) for _ in range(2))
        self._lead_s = 0.0
        self.succeeded()

    @property
    def can_keep_up(self) -> bool:
        """Whether one burst fits into the lead that there may be."""
        return self.burst_s <= LONGEST_BURST_S

    def is_due(self, next_hop: int, lead_s: float) -> bool:
        """Whether the model may continue with hop `next_hop`, where uninterrupted play begins one of its strides too.

        `lead_s`: how far the stems reach ahead of the play head.
        """
        return next_hop % self._stride == 0 and lead_s >= self._lead_s

    def is_too_late(self, next_hop: int, lead_s: float) -> bool:
        """Whether the model, with hop `next_hop` next, is at a stride that would not be there in time."""
        return (next_hop - self._lookahead) % self._stride == 0 and lead_s < self.burst_s

    def past(self, there: int) -> int:
        """Frames to hear before the model's next hop where `there` are known before its next frame: whole strides."""
        there = min(there, self.past_frames - self._lookahead)
        return max(there, 0) // self._stride * self._stride + self._lookahead

    def succeeded(self) -> None:
        """The model is as far ahead as it may be: it keeps up."""
        self._lead_s = 1.5 * self.burst_s + SPARE_LEAD_S

    def failed(self) -> None:
        """The model has fallen behind: it needs twice the lead next time."""
        self._lead_s = min(2 * self._lead_s, LONGEST_LEAD_S)

    def _time_burst(self, model: FrameStepper) -> float:
        silence = np.zeros((model.channels, model.bins, MAX_CHUNK), np.float32)
        began = time.perf_counter()
        model.reset()
        for first in range(0, self.past_frames, MAX_CHUNK):
            frames = min(MAX_CHUNK, self.past_frames - first)
            model.hear(np.ascontiguousarray(silence[:, :, :frames]))
        model.step(np.ascontiguousarray(silence[:, :, :1]))
        burst_s = time.perf_counter() - began
        model.reset()
        return burst_s
