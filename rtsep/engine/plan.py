"""Where the worker continues: what its next step reads, and what of that is published."""

from __future__ import annotations

from dataclasses import dataclass

from rtsep.separation.options import FIRST_FRAMES
from rtsep.timebase import HOP

LEAST_PAST_FRAMES = 8
"""Of those of the first step, so many at least lie before what is heard first."""


@dataclass
class Plan:
    """A place to continue from, and how far the work there has come.

    Attributes:
        next_in: position of the first hop of mixture that the next step reads.
        next_out: position of the next hop to publish.
        drop: hops of the coming output that lie before `next_out`.
        is_first: the next step is the first one.
        is_primed: the window is filled for it.
        again: hops of the next step that were published already: the network hears them once more.
        heard: frames that the network has heard.
        grid_begin: number of the hop from which on chunks are counted.
        has_handed_over: the model is in use, not the instant network.
    """

    next_in: int
    next_out: int
    drop: int
    is_first: bool
    is_primed: bool = False
    again: int = 0
    heard: int = 0
    grid_begin: int = 0
    has_handed_over: bool = False

    @classmethod
    def from_position(cls, start: int, delay_hops: int, small_chunk: int, spare_hops: int) -> Plan:
        """Publish from `start` (rounded up to a hop) on, after a first step that begins before.

        Args:
            delay_hops: from a hop of mixture to that of the stems.
            small_chunk: the first step ends where a chunk of so many frames ends.
            spare_hops: so many are published by the first step at least.
        """
        hop = -(-start // HOP)
        first = -(-(hop + delay_hops + spare_hops) // small_chunk) * small_chunk - FIRST_FRAMES
        first = max(min(first, hop - LEAST_PAST_FRAMES), 0)
        return cls(first * HOP, hop * HOP, hop + delay_hops - first, hop > 0)

    @property
    def next_hop(self) -> int:
        """Number of the hop at `next_in`."""
        return self.next_in // HOP

    def end_after(self, frames: int) -> int:
        """Position up to which stems are published once a step of `frames` is done."""
        return self.next_out + max(frames - self.drop, 1) * HOP
