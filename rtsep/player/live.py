"""Live sound: what comes in is heard separated, a known time later.

The captured sound has positions since opening, in one epoch. The play head follows it at a distance,

    distance = algorithmic + margin      (see rtsep.engine.latency; the margin is for the worker's and system's time)

which the callback itself sets when it obeys a letter. A keeper thread watches whether the distance is kept and is
enough: what stems lacked when a block had to be dry is added to the margin, within bounds.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from math import ceil
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np

from rtsep.audio.portaudio import leave_behind, rescan
from rtsep.audio.resample import ENGINE_RATE
from rtsep.dsp.deck import Deck
from rtsep.dsp.grid import HOP
from rtsep.dsp.words import Kind, PlayHead
from rtsep.engine.host import Engine
from rtsep.engine.latency import Latency, algorithmic_latency
from rtsep.errors import RtsepError
from rtsep.player.desk import Desk
from rtsep.player.notices import Notices
from rtsep.player.recorder import Recorder
from rtsep.player.status import LiveStatus, PlayerStatus

EPOCH = 1
SILENT_LOOKS = 10
"""Half a second without a callback: a device is gone, whatever PortAudio says."""
RETRY_S = 1.0
END_LIMIT_S = 2.0
CALIBRATION_S = 1.5
"""Listened to before the first sound: long enough for a tail of hops, short enough to be waited for."""
ANEW_S = 1.0
"""The same when devices were lost and found."""
INPUT_LIMIT_S = 5.0
SLACK_S = 0.002
"""Of the margin: the worker wakes up to 1 ms late, and so does the system."""
MAX_MARGIN_S = 0.25
LATE_S = 0.5
"""Stems that are late for this long are always late. The margin grows by at most a hop (or a block) at a time: one long
pause of the machine is not its tail."""
KEEP_S = 0.05
PASSAGES = 40
"""Looks at the time stamps, two seconds, of which the median is shown."""

STAMPS_ENOUGH, STAMPS_LIMIT_S = 5, 1.0
"""Looks before the latency is told at the start, and how long to wait for them where there may be none."""


class Stream(Protocol):
    """What the live player asks of `rtsep.audio.live_stream.LiveStream`."""

    @property
    def capture(self) -> Capture: ...
    @property
    def duplex(self) -> bool: ...
    @property
    def passage_s(self) -> float | None: ...
    @property
    def reported_latency_s(self) -> float: ...
    def start(self) -> None: ...
    def stop(self) -> bool: ...
    def close(self) -> bool: ...


class Capture(Protocol):
    """What it asks of the capture side."""

    @property
    def frames(self) -> int: ...
    @property
    def max_block(self) -> int: ...
    @property
    def overflows(self) -> int: ...
    @property
    def bad_samples(self) -> int: ...
    def hold_anew(self) -> None: ...


class LivePlayer(Desk):
    """Separates what an input hears. A context manager; `close` ends stream, recorder and worker in this order.

    Args:
        open_stream: opens input and output for a deck; once more when a device was lost.
        model, compute, latency: see `rtsep.engine.host.Engine`.
        chunk: frames a step; None is 1.
        record: folder for the recording, see `rtsep.player.recorder.Recorder`.

    Raises RtsepError for a model, device or folder that cannot be used.
    """

    def __init__(
        self,
        open_stream: Callable[[Deck], Stream],
        *,
        model: Path | str | None = None,
        chunk: int | None = None,
        compute: str = "auto",
        latency: str = "standard",
        record: Path | None = None,
    ) -> None:
        self._open_stream = open_stream
        self._stream: Stream | None = None
        self._capture: Capture | None = None
        self._reported_s = 0.0
        self._recorder: Recorder | None = None
        self._ending = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="rtsep-live-keeper", daemon=True)
        self._closing = ExitStack()
        super().__init__(Engine(model, chunk=chunk or 1, compute=compute, latency=latency))
        self._closing.callback(self.engine.close)
        try:
            if record is not None:
                self._recorder = Recorder(self.deck, record, self.stems)
                self._closing.callback(self._recorder.close)
        except BaseException:
            self._closing.close()
            raise
        self._paused = False
        self._algorithmic = self._margin = 0
        self._jitter = 0
        self._mail = 0
        self._rejumps = -1
        self._work = (0, 0, 0)
        self._late_since: float | None = None
        self._passages_s: deque[float] = deque(maxlen=PASSAGES)
        self._off_since: float | None = None
        self._notices = Notices()

    def __enter__(self) -> LivePlayer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self, limit_s: float = 120.0) -> None:
        """Wait for the worker, open the devices, listen for a while to set the margin, then begin to play.

        RtsepError if the worker does not start, a device does not open or the input gives nothing.
        """
        self.engine.wait_ready(limit_s)
        self.deck.mixture.restart(EPOCH, 0, 0)
        self._begin_stream()
        self._calibrate(CALIBRATION_S)
        self.engine.poll()
        if self._recorder is not None:
            self._recorder.start(EPOCH, self.deck.mixture.end)
        self._jump()
        self._work = self._work_done()
        self._keeper.start()
        deadline = time.monotonic() + STAMPS_LIMIT_S
        while len(self._passages_s) < STAMPS_ENOUGH and time.monotonic() < deadline:
            time.sleep(KEEP_S)

    def _begin_stream(self) -> None:
        self._stream = self._open_stream(self.deck)
        self._capture, self._reported_s = self._stream.capture, self._stream.reported_latency_s
        self._stream.start()

    def close(self) -> None:
        """End everything, orderly; the recording gets its names. May be called twice."""
        self._ending.set()
        if self._keeper.is_alive():
            self._keeper.join(END_LIMIT_S)
            if self._keeper.is_alive():  # inside PortAudio, opening
                leave_behind()
        if self._stream is not None:
            # First of all: the callbacks look at the deck, which goes with the engine.
            stream, self._stream = self._stream, None
            stream.stop()
            stream.close()
        self._closing.close()

    # -- pause: silence, while everything goes on, so that it comes back at once and separated ------------------

    def pause(self) -> None:
        """Be silent."""
        self._paused = True
        self._apply_volume()

    def toggle_pause(self) -> None:
        """Be silent, or be heard again."""
        self._paused = not self._paused
        self._apply_volume()

    def _apply_volume(self) -> None:
        super()._apply_volume()
        if self._paused:
            self.deck.transport.master = 0.0

    # -- the distance -------------------------------------------------------------------------------------------

    @property
    def distance(self) -> int:
        """Samples from the play head to the end of what is captured, at the begin of a block."""
        return self._algorithmic + self._margin

    def _calibrate(self, listen_s: float) -> None:
        """Set distance and margin from what `listen_s` of input show of device and worker; the head stands still."""
        stream, capture, words = self._stream, self._capture, self.deck.worker
        assert stream is not None
        assert capture is not None
        self.deck.transport.playing = False
        deadline = time.monotonic() + INPUT_LIMIT_S
        while capture.frames == 0:
            if self._ending.wait(0.005) or time.monotonic() > deadline:
                raise RtsepError("the input gives no sound at all; rtsep devices lists those that are there")
        spread: list[int] = []
        published = words.hops
        deadline = time.monotonic() + listen_s
        blocks = self.deck.callback.read().blocks
        while time.monotonic() < deadline and not self._ending.wait(0.005):
            head = self.deck.callback.read()
            if head.blocks > blocks:  # what is captured against what is asked for
                spread.append(head.distance - head.frames)
        if not spread:
            raise RtsepError("the output asks for no sound; rtsep devices lists those that are there")
        # In one callback, input and output keep step; of two streams each comes in bursts of its own.
        low, high = np.percentile(spread[len(spread) // 4 :], (2, 98))
        self._jitter = 0 if stream.duplex else round(high - low)
        block = self._block
        self._algorithmic = algorithmic_latency(
            self.engine.chunk or 1, block, lookahead=self.engine.lookahead_frames, support=self.engine.support
        )
        times_us = words.recent_times()[-max(words.hops - published, 1) :]
        tail_s = (self.engine.chunk or 1) * float(np.percentile(times_us, 99)) / 1e6 if len(times_us) else 0.0
        wanted = self._whole_blocks(ceil((tail_s + SLACK_S) * ENGINE_RATE)) + self._jitter
        self._margin = min(wanted, self._largest_margin)

    @property
    def _block(self) -> int:
        assert self._capture is not None
        return max(self._capture.max_block, self.deck.callback.read().max_block)

    @property
    def _largest_margin(self) -> int:
        return self._whole_blocks(round(MAX_MARGIN_S * ENGINE_RATE))

    def _whole_blocks(self, samples: int) -> int:
        """Sound comes and goes in blocks: what is ready within a block is heard with the next."""
        return -(-samples // self._block) * self._block

    def _jump(self) -> None:
        """Put the play head where it belongs, and let it play."""
        self.deck.transport.playing = True
        self._mail = self.deck.transport.post_behind(self.distance, EPOCH, 0)
        self._passages_s.clear()
        self._off_since = None
        self._rejumps += 1

    # -- the keeper's thread ------------------------------------------------------------------------------------

    def _keep(self) -> None:
        seen, looks = (-1, -1), 0
        while not self._ending.wait(KEEP_S):
            if self._stream is None:
                self._reopen()
                looks = 0
                continue
            head = self.deck.callback.read()
            assert self._capture is not None
            now = (self._capture.frames, head.frames)
            looks = looks + 1 if now[0] == seen[0] or now[1] == seen[1] else 0
            seen = now
            if looks >= SILENT_LOOKS:
                self._lose()
            if looks > 0 or head.ack != self._mail:
                continue
            self._note_passage()
            self._keep_distance(head)
            self._keep_margin(head)

    def _lose(self) -> None:
        """A device is gone: close both, and say so."""
        assert self._stream is not None
        self._notices.append(
            f"a sound device has stopped; looking for it (at {self.deck.mixture.end / ENGINE_RATE:.1f} s)"
        )
        stream, self._stream = self._stream, None
        stream.close()

    def _reopen(self) -> None:
        """One try to have both devices again, once a second."""
        if self._ending.wait(RETRY_S):
            return
        try:
            rescan()
            self._begin_stream()
            self._calibrate(ANEW_S)  # other devices, or the same in another mood
        except RtsepError:
            stream, self._stream = self._stream, None
            if stream is not None:
                stream.close()
            return
        self._notices.append(f"sound again, at {self.deck.mixture.end / ENGINE_RATE:.1f} s")
        self._jump()

    def _note_passage(self) -> None:
        stream = self._stream
        passage_s = stream.passage_s if stream is not None else None
        if passage_s is not None:
            self._passages_s.append(passage_s)

    def _keep_distance(self, head: PlayHead) -> None:
        """Samples lost on one side, and nothing else, move the head away from its place for good."""
        tolerance = self._jitter + self._block
        if abs(head.distance - self.distance) <= tolerance:
            self._off_since = None
        elif self._off_since is None:
            self._off_since = time.monotonic()
        elif time.monotonic() - self._off_since > 10 * KEEP_S:
            ms = 1000 * (head.distance - self.distance) / ENGINE_RATE
            self._notices.append(f"the devices lost {abs(ms):.0f} ms of sound; the play head is back at its place")
            if self._capture is not None:
                self._capture.hold_anew()
            self._jump()

    def _keep_margin(self, head: PlayHead) -> None:
        """When stems come late, though the worker keeps up: the margin grows by what they lacked."""
        if head.shortfall == 0:
            self._late_since, self._work = None, self._work_done()
            return
        now = time.monotonic()
        if self._late_since is None:
            self._late_since = now
        if head.kind != Kind.WET and now - self._late_since < LATE_S:  # how late is not yet known
            return
        before, work = self._margin, self._work_done()
        published, skipped, restarts = (now - then for now, then in zip(work, self._work, strict=True))
        # Back after a pause it has skipped: that says nothing of the margin. Late all the time it skips and publishes.
        keeps_up = restarts == 0 and (skipped == 0 if head.kind == Kind.WET else published > 0)
        # Stems that lack more than any margin were not late: there was no worker, and its successor skips nothing.
        if keeps_up and self._off_since is None and head.shortfall <= self._largest_margin:
            step = min(self._whole_blocks(head.shortfall), self._whole_blocks(HOP))
            self._margin = min(self._margin + step, self._largest_margin)
        if self._margin > before:
            late_ms, margin_ms = (1000 * samples / ENGINE_RATE for samples in (head.shortfall, self._margin))
            self._notices.append(f"stems were {late_ms:.1f} ms late; the margin is {margin_ms:.0f} ms from now on")
        self._late_since, self._work = None, work
        self._jump()  # also forgets the shortfall

    def _work_done(self) -> tuple[int, int, int]:
        """Hops published; and what only a worker does that has failed: hops skipped, restarts."""
        return self.deck.worker.hops, self.deck.worker.skipped_hops, self.engine.restarts

    # -- what is going on ---------------------------------------------------------------------------------------

    def latency(self) -> Latency:
        """The three parts of now. The device's is measured by time stamps where PortAudio gives them."""
        if not self._passages_s:
            return Latency(self._algorithmic, self._margin, round(self._reported_s * ENGINE_RATE))
        passage = round(float(np.median(list(self._passages_s))) * ENGINE_RATE)
        return Latency(self._algorithmic, self._margin, passage - self.distance)

    @property
    def notices(self) -> Notices:
        """What has happened to devices and latency; the status has the last hundred, and those of the engine."""
        return self._notices

    def status(self) -> PlayerStatus:
        """A snapshot. When the engine has given up, `messages` say why; the sound goes on dry."""
        head = self.deck.callback.read()
        recorder = self._recorder
        failed = recorder.failure if recorder is not None else None
        return self._snapshot(
            head,
            position_s=head.position / ENGINE_RATE,
            length_s=None,
            playing=not self._paused,
            ended=False,
            latency=self.latency(),
            messages=tuple(text for text in (self.engine.failure, failed) if text is not None),
            notices=(*self.engine.notices, *self._notices),
            live=LiveStatus(
                overflows=self._capture.overflows if self._capture is not None else 0,
                bad_samples=self._capture.bad_samples if self._capture is not None else 0,
                rejumps=max(self._rejumps, 0),
                device_measured=bool(self._passages_s),
                recorded_s=recorder.seconds if recorder is not None else 0.0,
                recording_gaps=recorder.gaps if recorder is not None else 0,
            ),
        )
