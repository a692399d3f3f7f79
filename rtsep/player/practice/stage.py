"""The practice stage: plays the rings ahead of the device, at another speed or in another key, into the practice ring.

    mixture ring, stem ring -> mix (the callback's own) -> stretch -> PRACTICE RING -> callback

The mix is made by the code of the callback, with a play head of the stage's own some way ahead of the device's. Every
sample of the practice ring knows the position that it comes from, so all that reads the play head stays in the song's
time. Faders act before the stretch, so they are heard `delay` later; volume and pause act behind it, at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rtsep.audio.callback.control import CallbackControl
from rtsep.audio.callback.playback import mix_part
from rtsep.audio.callback.practice import EPOCH_SHIFT
from rtsep.dsp.stretch import Stretch
from rtsep.shared.rings import NO_EOF, NO_EPOCH
from rtsep.shared.seek_mailbox import REQUEST_FIELDS, collect
from rtsep.shared.state import SharedState
from rtsep.shared.status import MASTER, PLACE_SHIFT, Kind, PlayHead
from rtsep.system.guarded_thread import guarded_thread
from rtsep.timebase import FADE, SAMPLE_RATE

BLOCK = 512
"""Samples that are mixed at once."""
LEAST_AHEAD = 2048
"""Samples of the practice ring that are kept ready, if the device asks for no more at once."""
MOST_AHEAD = 12288
"""Of a ring of 16 384; what the callback may still read is never overwritten."""
LOW = 1024
"""While more than this is ready, late stems are waited for."""
LEAD = 4096
"""Samples of the song ahead of the play head at which the ring begins when it is switched on in mid-song; more where
the callback has passed that before it was there."""
MOST_LEAD = 2 * SAMPLE_RATE
LOOK_S = 0.004
IDLE_S = 0.02
KINDS = 512
"""Blocks whose kinds are remembered, more than the stretch looks ahead."""


class PracticeStage:
    """Fills the practice ring of a shared state. A thread of its own; `turn` is its loop body.

    `on_look` is called by the thread, some fifty times a second or more often.

    Attributes:
        speed, key: what is wanted, see `rtsep.dsp.stretch.Stretch`.
        click: adds clicks to a block (2, n), given the epoch and the position of its first sample; `set` makes it act.
        failure: why it has ended early, in one line; None otherwise. The song goes on at its own speed.
    """

    def __init__(self, shared: SharedState, on_look: Callable[[], object] = lambda: None) -> None:
        self.speed, self.key = 1.0, 0.0
        self.click: Callable[[int, int, NDArray[np.float32]], object] | None = None
        self.failure: str | None = None
        self._on_look = on_look
        self._shared, self._ahead = shared, shared.with_own_play_head()
        self._ring = shared.practice
        self._places = shared.practice_places
        self._request = np.zeros(REQUEST_FIELDS, np.int64)
        self._stretch: Stretch | None = None
        self._wake = threading.Event()
        self._closing = False
        self._count = 0
        self._epoch = NO_EPOCH
        self._begin = self._heard = self._next = 0
        self._eof = NO_EOF
        self._deadline = 0.0
        self._kinds = np.zeros(KINDS, np.int64)
        self._forget()
        self._thread = guarded_thread(self._run, "rtsep-practice", "speed and key", self._fail)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def set(self, speed: float, key: float) -> None:
        """Play at `speed` in `key`, from the samples on that are stretched next; 1, 0 and no click switch it off."""
        self.speed, self.key = speed, key
        is_needed = (speed, key) != (1.0, 0.0) or self.click is not None
        self._shared.transport.practice = is_needed and self.failure is None
        self._wake.set()

    @property
    def on(self) -> bool:
        """Whether speed or key are changed, or there are clicks."""
        return self._shared.transport.practice

    @property
    def delay(self) -> int:
        """Samples of the output between a fader and the callback, at this moment; 0 when switched off."""
        head = self._shared.callback.read()
        if not (self.on and head.practising):
            return 0
        return max(0, round((self._ahead.callback.position - head.position) / self.speed))

    def close(self) -> None:
        """End the thread. May be called twice."""
        self._closing = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5.0)

    # -- the stage's thread ----------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._closing:
            self._on_look()
            if not self.turn():
                self._wake.wait(LOOK_S if self.on else IDLE_S)
                self._wake.clear()

    def _fail(self, line: str) -> None:
        self.failure = f"{line}; playing at normal speed and in the original key"
        self.set(1.0, 0.0)

    def turn(self) -> bool:
        """Make the next samples, if they can be made and there is room; returns whether there was something to do."""
        if not self.on:
            self._forget()
            return False
        if self._stretch is None:
            self._stretch = Stretch()
            self._control = CallbackControl(self._ahead)
        stretch, shared = self._stretch, self._shared
        stretch.speed, stretch.key = self.speed, self.key
        head = shared.callback.read()
        sequence = collect(shared.transport.fields, self._sequence, self._request)
        if sequence != self._sequence:
            epoch, target, patience, _ = (int(value) for value in self._request)
            self._sequence = sequence
            if head.ack == sequence and not head.practising:  # it was before the stage was switched on
                self._epoch = NO_EPOCH
            else:
                self._start(stretch, epoch, target, target, patience)
        if head.ack == self._sequence and not head.practising and self._is_missed(head):
            self._start_ahead_of(head, stretch)
        return self._fill(head, stretch)

    def _forget(self) -> None:
        self._sequence = 0
        self._lead = LEAD

    def _start(self, stretch: Stretch, epoch: int, begin: int, heard: int, patience: int) -> None:
        """Begin the ring anew with position `heard` of the stream; what is mixed begins at `begin`."""
        self._epoch, self._begin, self._heard, self._next = epoch, begin, heard, begin
        self._eof = NO_EOF
        self._deadline = time.monotonic() + patience / SAMPLE_RATE
        self._ahead.transport.post(begin, epoch, 0)
        stretch.reset(begin, heard)
        self._count += 1
        self._ring.restart((self._sequence << EPOCH_SHIFT) + self._count % (1 << EPOCH_SHIFT), 0, 0)

    def _is_missed(self, head: PlayHead) -> bool:
        """Whether the callback, which plays the stems, will not come to where the ring begins."""
        if head.epoch != self._epoch:
            return True
        if not self._shared.transport.playing:
            return head.position != self._heard
        missed = head.position > self._heard + max(LEAD, 2 * head.max_block)
        if missed:
            self._lead = min(2 * self._lead, MOST_LEAD)
        return missed

    def _start_ahead_of(self, head: PlayHead, stretch: Stretch) -> None:
        """Begin the ring where the callback will be soon, with what was before as the past of the first windows."""
        heard = head.position + (self._lead + head.max_block if self._shared.transport.playing else 0)
        ring = self._shared.stem.header()
        begin = heard
        if ring.epoch == head.epoch and ring.begin <= heard:
            begin = max(heard - stretch.preroll, ring.begin)
        self._start(stretch, head.epoch, begin, heard, 0)

    def _fill(self, head: PlayHead, stretch: Stretch) -> bool:
        ready = self._ring.end - (head.practice_at if head.practising and head.ack == self._sequence else 0)
        if ready >= min(max(LEAST_AHEAD, 2 * head.max_block), MOST_AHEAD):
            return False
        while stretch.missing > 0:
            if not self._feed(stretch, can_wait=ready > LOW + head.max_block):
                return False
        samples, positions = stretch.step()
        if samples.shape[1] > 0:
            self._write(samples, positions)
        return True

    def _feed(self, stretch: Stretch, can_wait: bool) -> bool:
        """Mix a block and feed it to the stretch; False if there is none now."""
        ahead, shared = self._ahead, self._shared
        if not self._are_stems_there() and (can_wait or time.monotonic() < self._deadline):
            return False
        ahead.transport.gains[:MASTER] = shared.transport.gains[:MASTER]
        ahead.transport.bypass = shared.transport.bypass
        ahead.transport.playing = True
        mix_part(self._control.fields, BLOCK)
        head = ahead.callback.read()
        if head.position == self._next and not head.ended:
            return False
        self._kinds[(self._next - self._begin) // BLOCK % len(self._kinds)] = head.kind
        if self.click is not None:
            self.click(self._epoch, self._next, self._control.mixed[:, :BLOCK])
        self._next = head.position
        if head.ended:
            self._eof = head.position
        stretch.feed(self._control.mixed[:, :BLOCK])
        return True

    def _are_stems_there(self) -> bool:
        """Whether the stems of the next block are there, with what its fade needs."""
        ring, eof = self._shared.stem.header(), self._shared.mixture.header().eof
        end = min(self._next + BLOCK + FADE, max(eof, self._next))
        return self._shared.transport.bypass or (
            ring.epoch == self._epoch and ring.begin <= self._next <= end <= ring.end
        )

    def _write(self, samples: NDArray[np.float32], positions: NDArray[np.float64]) -> None:
        """Append samples to the ring, each with its place."""
        place = np.clip(positions.astype(np.int64), self._heard, self._eof)
        kinds = self._kinds[(place - self._begin) // BLOCK % len(self._kinds)]
        kinds[place >= self._eof] = Kind.SILENT
        index = (self._ring.end + np.arange(len(place))) & (len(self._places) - 1)
        self._places[index] = place << PLACE_SHIFT | kinds
        self._ring.write(samples)
