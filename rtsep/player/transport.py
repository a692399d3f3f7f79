"""The transport: play, pause, seek. It owns engine, source and device stream, and asks the callback by mail."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from math import ceil
from pathlib import Path
from types import TracebackType
from typing import Protocol

from rtsep.audio.resample import ENGINE_RATE
from rtsep.dsp.deck import Deck
from rtsep.engine.host import Engine
from rtsep.engine.latency import Latency, algorithmic_latency
from rtsep.player.desk import Desk
from rtsep.player.source import FileSource
from rtsep.player.status import PlayerStatus

PATIENCE_S = 0.35
"""Silence after a jump before the dry sound is taken: longer than a seek takes, shorter than anybody wonders."""
FIRST_PATIENCE_S = 3.0
FIRST_LEAD_S = 0.3
"""Stems ready before the device is opened, so that the first block is already separated."""


class Stream(Protocol):
    """What the player asks of `rtsep.audio.stream.OutputStream`."""

    @property
    def latency_s(self) -> float: ...
    def start(self) -> None: ...
    def stop(self) -> bool: ...
    def close(self) -> bool: ...


class Player(Desk):
    """Plays one file through a model. A context manager; `close` ends stream, source and worker in this order.

    Args:
        path: the audio file.
        model, chunk, compute: see `rtsep.engine.host.Engine`.
        open_stream: opens the device for a deck, e.g. ``lambda deck: OutputStream(deck, device_index)``.
            None: nothing is heard and nobody moves the play head.
        start_s: where to begin.

    Raises RtsepError for a file, model or device that is not there.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        model: Path | str | None = None,
        chunk: int | None = None,
        compute: str = "auto",
        open_stream: Callable[[Deck], Stream] | None = None,
        start_s: float = 0.0,
    ) -> None:
        self._open_stream = open_stream
        self._stream: Stream | None = None
        self._lock = threading.Lock()
        self._closing = ExitStack()
        try:
            self.engine = Engine(model, chunk=chunk, compute=compute)
            self._closing.callback(self.engine.close)
            self.deck = self.engine.deck
            self.source = FileSource(path, self.deck)
            self._closing.callback(self.source.close)
        except BaseException:
            self._closing.close()
            raise
        super().__init__(self.engine)
        self._epoch = 0
        self._mail = 0
        self._target = 0
        self.deck.transport.playing = False
        self._jump(self._clamped(round(start_s * ENGINE_RATE)), FIRST_PATIENCE_S)

    def __enter__(self) -> Player:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End everything, orderly; nothing is left behind. May be called twice."""
        if self._stream is not None:
            # First of all: the callback looks at the deck, which goes with the engine.
            stream, self._stream = self._stream, None
            stream.stop()  # plays what the device still has
            stream.close()
        self._closing.close()

    def open(self, limit_s: float = 120.0) -> None:
        """Wait for the worker and the first separated sound, then open the device. RtsepError if either fails."""
        self.engine.wait_ready(limit_s)
        enough = self._target + round(FIRST_LEAD_S * ENGINE_RATE)
        deadline = time.monotonic() + FIRST_PATIENCE_S
        while time.monotonic() < deadline:  # a machine too slow for it begins with the dry sound
            stem = self.deck.stem.header()
            length = self.source.length
            if stem.epoch == self._epoch and stem.end >= (enough if length is None else min(enough, length)):
                break
            self.engine.poll()
            time.sleep(0.005)
        if self._open_stream is not None:
            self._stream = self._open_stream(self.deck)
            self._stream.start()

    # -- where -----------------------------------------------------------------------------------------------

    def play(self) -> None:
        """Go on."""
        self.deck.transport.playing = True

    def pause(self) -> None:
        """Stand still, in silence."""
        self.deck.transport.playing = False

    def toggle_pause(self) -> None:
        """Pause or go on."""
        self.deck.transport.playing = not self.deck.transport.playing

    def seek(self, position_s: float) -> None:
        """Jump to a time; beyond the song is its end."""
        self._jump(self._clamped(round(position_s * ENGINE_RATE)), PATIENCE_S)

    def nudge(self, seconds: float) -> None:
        """Jump by a time, from where the last jump goes if that is still under way."""
        self._jump(self._clamped(self.position + round(seconds * ENGINE_RATE)), PATIENCE_S)

    @property
    def position(self) -> int:
        """The sample that is played next, or that the jump under way goes to."""
        head = self.deck.callback.read()
        return head.position if head.ack == self._mail and head.epoch == self._epoch else self._target

    @property
    def ended(self) -> bool:
        """Whether the song has been played to its end."""
        head = self.deck.callback.read()
        return head.ended and head.ack == self._mail

    def _clamped(self, position: int) -> int:
        length = self.source.length
        return max(0, position if length is None else min(position, length))

    def _jump(self, target: int, patience_s: float) -> None:
        with self._lock:
            self._epoch += 1
            self._target = target
            self.source.start(self._epoch, target)
            self._mail = self.deck.transport.post(target, self._epoch, round(patience_s * ENGINE_RATE))

    # -- what is going on ------------------------------------------------------------------------------------

    def status(self) -> PlayerStatus:
        """A snapshot. When source or engine have given up, `messages` say why; the sound goes on as far as it can."""
        head = self.deck.callback.read()
        length = self.source.length
        return self._snapshot(
            head,
            position_s=self.position / ENGINE_RATE,
            length_s=None if length is None else length / ENGINE_RATE,
            playing=self.deck.transport.playing,
            ended=self.ended,
            latency=self._latency(head.max_block),
            messages=tuple(text for text in (self.source.message, self.engine.failure) if text is not None),
        )

    def _latency(self, block: int) -> Latency:
        """What the same settings would mean for live sound; a file is read ahead, and only the device's is felt.

        Live sound comes hop by hop, so that an automatic chunk is one frame there. The margin is what computing
        one chunk takes: its frames times the 99th percentile of one hop as measured, in whatever chunks.
        """
        stats = self.engine.stats()
        chunk = self.engine.chunk or 1
        device_s = self._stream.latency_s if self._stream is not None else 0.0
        return Latency(
            algorithmic=algorithmic_latency(
                chunk, max(block, 1), lookahead=self.engine.lookahead_frames, support=self.engine.support
            ),
            margin=ceil(chunk * stats.compute_p99_ms / 1000 * ENGINE_RATE),
            device=round(device_s * ENGINE_RATE),
        )
