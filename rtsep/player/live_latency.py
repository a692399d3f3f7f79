"""The delay between input and output of live sound: measured at the start, then kept and corrected.

The captured sound has positions since opening, in one epoch. The play head follows it at a distance,

    distance = algorithmic + margin      (see rtsep.engine.latency; the margin covers computing and the system)

which the callback itself sets when it handles a seek. Both parts are measured at the start. From then on each look
checks whether the distance is kept and whether it is enough. By how much stems were late when a block had to be dry is
added to the margin, within bounds.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from math import ceil

import numpy as np

from rtsep.engine.latency import Latency, algorithmic_latency
from rtsep.engine.live_engine import Engine
from rtsep.errors import RtsepError
from rtsep.player.stream_protocols import TwoWayStream
from rtsep.shared.status import Kind, PlayHead
from rtsep.timebase import HOP, SAMPLE_RATE

EPOCH = 1
INPUT_LIMIT_S = 5.0
MAX_MARGIN_S = 0.25
LATE_S = 0.5
"""Stems that are late for this long are always late. The margin grows by at most a hop (or a block) at a time: one long
stall of the machine doesn't count as its usual time."""
OFF_S = 0.5
"""A play head that is off its distance for this long doesn't return by itself."""
PASSAGES = 40
"""Measurements by time stamps, two seconds of them, whose median is shown."""


def jitter_of(spread: Sequence[int]) -> int:
    """Range of the distances of successive blocks, in samples, without the worst third of the time.

    It covers what the devices do all the time. A stall of the machine falls into one of the thirds; otherwise it would
    remain in the latency for good.
    """
    thirds = [part for part in np.array_split(np.asarray(spread), 3) if part.size]
    kept = sorted(thirds, key=np.ptp)[:2]
    return int(np.ptp(np.concatenate(kept)))


class LiveLatency:
    """The play head's distance behind the input, in samples at 44.1 kHz: set, watched and corrected.

    Args:
        engine: whose shared state and worker are measured.
        closed: when set, measuring ends early.

    Attributes:
        algorithmic, margin: its parts.
        jumps: how often the play head was moved to its distance.
        passages_s: recent times from converter to converter, where the stream knows them.
    """

    def __init__(self, engine: Engine, closed: threading.Event) -> None:
        self._engine = engine
        self._shared = engine.shared
        self._closed = closed
        self._stream: TwoWayStream | None = None
        self._reported_s = 0.0
        self.algorithmic = self.margin = 0
        self.jumps = 0
        self.passages_s: deque[float] = deque(maxlen=PASSAGES)
        self._jitter = 0
        self._mail = 0
        self._handled_blocks = 0
        self._work = (0, 0, 0)
        self._late_since: float | None = None
        self._off_since: float | None = None

    @property
    def samples(self) -> int:
        """Samples from the play head to the end of what is captured, at the start of a block."""
        return self.algorithmic + self.margin

    def latency(self) -> Latency:
        """The three parts as they are now. The device's is measured by time stamps where PortAudio has them."""
        passages_s = list(self.passages_s)  # the keeper's thread may clear it meanwhile
        if not passages_s:
            return Latency(self.algorithmic, self.margin, round(self._reported_s * SAMPLE_RATE))
        passage = round(float(np.median(passages_s)) * SAMPLE_RATE)
        return Latency(self.algorithmic, self.margin, passage - self.samples)

    def calibrate(self, stream: TwoWayStream, measure_s: float) -> None:
        """Set algorithmic part and margin by measuring device and worker for `measure_s`; the play head rests.

        `stream`, which has been started, is watched from now on. RtsepError if one of its callbacks isn't called.
        """
        self._stream, self._reported_s = stream, stream.reported_latency_s
        worker = self._shared.worker
        self._shared.transport.playing = False
        deadline = time.monotonic() + INPUT_LIMIT_S
        while stream.capture.frames == 0:
            if self._closed.wait(0.005) or time.monotonic() > deadline:
                raise RtsepError("the input device delivers no sound; rtsep devices lists the devices")
        spread: list[int] = []
        published = worker.hops
        deadline = time.monotonic() + measure_s
        blocks = self._shared.callback.read().blocks
        while time.monotonic() < deadline and not self._closed.wait(0.005):
            head = self._shared.callback.read()
            if head.blocks > blocks:  # what is captured against what is asked for
                spread.append(head.distance - head.frames)
        if not spread:
            raise RtsepError("the output device requests no sound; rtsep devices lists the devices")
        # In one callback, input and output are in step; two streams have bursts of their own.
        self._jitter = 0 if stream.duplex else jitter_of(spread[len(spread) // 4 :])
        chunk = self._engine.chunk or 1
        self.algorithmic = algorithmic_latency(
            chunk, self._block, lookahead=self._engine.lookahead_frames, support=self._engine.support
        )
        times_us = worker.recent_times()[-max(worker.hops - published, 1) :]
        tail_s = chunk * float(np.percentile(times_us, 99)) / 1e6 if len(times_us) else 0.0
        wanted = self._whole_blocks(ceil((tail_s + self._engine.reserve_s) * SAMPLE_RATE)) + self._jitter
        self.margin = min(wanted, self._largest_margin)
        self._work = self._work_done()

    def jump(self) -> None:
        """Move the play head to its distance and let it play."""
        self._shared.transport.playing = True
        self._mail = self._shared.transport.post_behind(self.samples, EPOCH, 0)
        self.passages_s.clear()
        self._off_since = None
        self.jumps += 1

    def watch(self) -> list[str]:
        """Look once, every 50 ms or so while all callbacks are called; returns what the user should know, in lines."""
        head = self._shared.callback.read()
        if head.ack != self._mail or self._stream is None:
            return []
        if (transit_s := self._stream.transit_s) is not None:
            self.passages_s.append(transit_s)
        # Not both: after a jump this head is outdated, and lost samples are not late stems.
        line = self._keep_distance(head) or self._keep_margin(head)
        return [] if line is None else [line]

    # -- details ------------------------------------------------------------------------------------------------

    @property
    def _block(self) -> int:
        assert self._stream is not None
        return max(self._stream.capture.max_block, self._shared.callback.read().max_block)

    @property
    def _largest_margin(self) -> int:
        return self._whole_blocks(round(MAX_MARGIN_S * SAMPLE_RATE))

    def _whole_blocks(self, samples: int) -> int:
        """Round up to blocks: what is ready within a block is heard with the next."""
        return -(-samples // self._block) * self._block

    def _keep_distance(self, head: PlayHead) -> str | None:
        """Correct the distance; nothing but samples lost on one side changes it for good."""
        tolerance = self._jitter + self._block
        off = head.distance - self.samples
        if abs(off) <= tolerance:
            self._off_since = None
        elif self._off_since is None:
            self._off_since = time.monotonic()
        elif time.monotonic() - self._off_since > OFF_S:
            if self._stream is not None:
                self._stream.capture.reset_target()
            self.jump()
            lost_ms = 1000 * abs(off) / SAMPLE_RATE
            return f"the devices lost {lost_ms:.0f} ms of sound; latency corrected"
        return None

    def _keep_margin(self, head: PlayHead) -> str | None:
        """Raise the margin by what stems were late, if they were although the worker keeps up."""
        if head.shortfall == 0 or head.late_blocks == self._handled_blocks:
            self._late_since, self._work = None, self._work_done()
            return None
        now = time.monotonic()
        if self._late_since is None:
            self._late_since = now
        if head.kind != Kind.WET and now - self._late_since < LATE_S:  # how late is not yet known
            return None
        before, work = self.margin, self._work_done()
        published, skipped, restarts = (now - then for now, then in zip(work, self._work, strict=True))
        # A worker that resumes after a stall has skipped hops, which says nothing about the margin. One that is always
        # late skips and publishes.
        keeps_up = restarts == 0 and (skipped == 0 if head.kind == Kind.WET else published > 0)
        # Stems later than any margin were not late: there was no worker, and its successor skips nothing.
        if keeps_up and self._off_since is None and head.shortfall <= self._largest_margin:
            step = min(self._whole_blocks(head.shortfall), self._whole_blocks(HOP))
            self.margin = min(self.margin + step, self._largest_margin)
        self._late_since, self._work, self._handled_blocks = None, work, head.late_blocks
        if self.margin <= before:
            return None
        self.jump()
        late_ms, margin_ms = (1000 * samples / SAMPLE_RATE for samples in (head.shortfall, self.margin))
        return f"stems were {late_ms:.1f} ms late; margin raised to {margin_ms:.0f} ms"

    def _work_done(self) -> tuple[int, int, int]:
        """Hops published, hops skipped, restarts; the last two grow only when a worker has failed."""
        return self._shared.worker.hops, self._shared.worker.skipped_hops, self._engine.restarts
