"""What the worker publishes: own stems, those that the player kept, and those of a better network that are ready.

What is published is never rewritten, and the ring has no gaps. Where stems of different origin meet, the ones fade into
the others within a hop.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtsep.engine.ready_stems import ReadyStems
from rtsep.separation.backends.stepper import MAX_CHUNK
from rtsep.shared.state import SharedState
from rtsep.shared.status import Network
from rtsep.timebase import HOP, SAMPLE_RATE

Float32 = NDArray[np.float32]

WORTH_CHANGING = SAMPLE_RATE
"""Samples of a better network that must be ready before they replace own ones."""
NO_POSITION = -(1 << 62)


class StemWriter:
    """Writes to the stem ring. R rows: stems times channels.

    Attributes:
        joined: the next hop continues what the ring holds. False after a jump or a gap, and the ring then starts anew.
        uses_ready: what was published last is a better network's, from the ready ring.
    """

    def __init__(self, shared: SharedState) -> None:
        self._shared, self._status = shared, shared.worker
        self._ready = ReadyStems(shared.ready, MAX_CHUNK * HOP)
        self._kept = np.zeros((shared.kept.rows, shared.kept.capacity), np.float32)
        self._blend = np.zeros((shared.kept.rows, HOP), np.float32)
        self._rise = np.arange(1, HOP + 1, dtype=np.float32) / np.float32(HOP + 1)
        self._epoch, self._network = -1, Network.INSTANT
        self.joined = self.uses_ready = self._blends = False

    def begin(self, epoch: int) -> None:
        """What follows is of another epoch, and the instant network's until something else is published."""
        self._epoch = epoch
        self._status.begin_with_instant()
        self._network = Network.INSTANT

    def leave_gap(self) -> None:
        """What follows does not continue what was published."""
        self.joined = self.uses_ready = self._blends = False

    def play_position(self) -> int:
        """Where the callback plays; far in the past while it has not yet jumped to this epoch."""
        head = self._shared.callback.read()
        return head.position if head.epoch == self._epoch else NO_POSITION

    def publish_kept(self) -> int | None:
        """Publish the stems that the player kept for this epoch; their last hop fades into the first own one.

        Returns where own ones continue, once `continue_from_kept` is called; None if none were kept.
        """
        kept = self._shared.kept.header()
        count = kept.end - kept.begin
        if kept.epoch != self._epoch or not self._shared.kept.read(kept.begin, self._kept[:, :count], kept.epoch):
            return None
        self._shared.stem.restart(self._epoch, kept.begin, kept.begin)
        self._shared.stem.write(self._kept[:, : count - HOP])
        self._fade_from(self._kept[:, count - HOP : count])
        return kept.end - HOP

    def would_cut_off(self, position: int, lead: int) -> bool:
        """Whether publishing after a gap now would take away stems that are still to be heard.

        `lead`: samples that the play head, at `position`, moves on until then.
        """
        if self.joined:
            return False
        stem = self._shared.stem.header()
        return stem.epoch == self._epoch and position < stem.end - lead

    def publish(self, rows: Float32, position: int, network: Network) -> int:
        """Publish own stems (R, n * hop) from `position` on; the better ones where enough of those are ready.

        Returns the samples published: none if there is another epoch by now.
        """
        if rows.shape[1] == 0 or self._shared.mixture.epoch != self._epoch:
            return 0
        better = self._better(position, rows.shape[1])
        if better is not None:
            if self.joined:
                rows[:, :HOP] += (better[:, :HOP] - rows[:, :HOP]) * self._rise
                rows[:, HOP:] = better[:, HOP:]
            else:
                rows[:] = better
        if not self.joined:
            # Not before there is something to publish: what an earlier life published may still be playing.
            self._shared.stem.restart(self._epoch, position, position)
            self.joined = True
        if self._blends:
            rows[:, :HOP] = self._blend + (rows[:, :HOP] - self._blend) * self._rise
            self._blends = False
        self.uses_ready = better is not None
        return self._write(rows, position, network if better is None else Network.MODEL)

    def publish_ready(self, position: int, end_of_song: int) -> int:
        """Publish what is ready from `position` on, but for a hop that fades into own stems where it ends before the
        song does. Returns the samples published."""
        end = min(self._ready.end(position, self._epoch), end_of_song)
        count = end - position if end == end_of_song else (end - position) // HOP * HOP - HOP
        count = min(count, MAX_CHUNK * HOP)
        rows = self._ready.read(position, count, self._epoch) if count > 0 else None
        return 0 if rows is None else self._write(rows, position, Network.MODEL)

    def fade_from_ready(self, position: int) -> None:
        """Own stems follow from `position` on: the first hop of them fades in from what is ready there."""
        held = self._ready.read(position, HOP, self._epoch)
        self.uses_ready, self.joined = False, True
        if held is not None:
            self._fade_from(held)

    def _fade_from(self, hop: Float32) -> None:
        self._blend[:] = hop
        self.joined = self._blends = True

    def _better(self, position: int, count: int) -> Float32 | None:
        """The next `count` samples of a better network, if enough are ready to change to it."""
        if self._blends or self._ready.end(position, self._epoch) < position + max(count, WORTH_CHANGING):
            return None
        return self._ready.read(position, count, self._epoch)

    def _write(self, rows: Float32, position: int, network: Network) -> int:
        if self._network != network:
            self._status.change_network(network, position)
            self._network = network
        self._shared.stem.write(rows)
        count = rows.shape[1]
        self._status.hops += count // HOP
        self._status.late_hops += min(max(self.play_position() - position, 0), count) // HOP
        return count
