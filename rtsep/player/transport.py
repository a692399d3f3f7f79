"""The transport: play, pause, seek, faders. It owns engine, source and device stream, and asks the callback by mail."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np

from rtsep.audio.resample import ENGINE_RATE
from rtsep.dsp.deck import Deck, Kind
from rtsep.engine.host import Engine, EngineStats
from rtsep.engine.latency import Latency, algorithmic_latency
from rtsep.errors import UsageError
from rtsep.player.faders import MAX_GAIN_DB, MIN_GAIN_DB, Fader, db_to_linear
from rtsep.player.source import FileSource

PATIENCE_S = 0.35
"""Silence after a jump before the dry sound is taken: longer than a seek takes, shorter than anybody wonders."""
FIRST_PATIENCE_S = 3.0
FIRST_LEAD_S = 0.3
"""Stems ready before the device is opened, so that the first block is already separated."""
METER_SAMPLES = 2048
SILENCE_DB = -100.0


class Stream(Protocol):
    """What the player asks of `rtsep.audio.stream.OutputStream`."""

    @property
    def latency_s(self) -> float: ...
    def start(self) -> None: ...
    def stop(self) -> bool: ...
    def close(self) -> bool: ...


@dataclass(frozen=True)
class PlayerStatus:
    """Everything there is to show, of about one moment. Levels are RMS in dB full scale, after the fader.

    `messages` say what has failed for good, `notices` what is worth a line and may pass.
    """

    position_s: float
    length_s: float | None
    playing: bool
    ended: bool
    kind: Kind
    bypass: bool
    volume_db: float
    stems: tuple[str, ...]
    faders: tuple[Fader, ...]
    levels_db: tuple[float, ...]
    latency: Latency
    late_blocks: int
    dry_s: float
    wet_s: float
    starved_s: float
    clipped_samples: int
    frames: int
    engine: EngineStats
    bypass_s: float
    messages: tuple[str, ...]
    notices: tuple[str, ...] = ()


class Player:
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
        self.stems = self.engine.stems
        self._faders = [Fader() for _ in self.stems]
        self._volume_db = 0.0
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

    # -- faders ----------------------------------------------------------------------------------------------

    def stem_index(self, stem: str) -> int:
        """Number of a stem by its name; UsageError that names the stems there are."""
        if stem not in self.stems:
            raise UsageError(f'no stem is called "{stem}"; {self.engine.model_name} has {", ".join(self.stems)}')
        return self.stems.index(stem)

    def set_gain(self, stem: str, gain_db: float) -> None:
        """Set a fader, in dB; minus infinity is silence."""
        self._faders[self.stem_index(stem)].gain_db = gain_db
        self._apply_gains()

    def change_gain(self, index: int, step_db: float) -> None:
        """Move a fader by a step, between -60 (from there: silence) and +12 dB."""
        fader = self._faders[index]
        moved = max(fader.gain_db, MIN_GAIN_DB) + step_db
        fader.gain_db = min(moved, MAX_GAIN_DB) if moved > MIN_GAIN_DB else float("-inf")
        self._apply_gains()

    def toggle_mute(self, index: int) -> None:
        """Mute a stem, or bring it back: a fader at the very bottom comes back at 0 dB."""
        fader = self._faders[index]
        if fader.gain_db == float("-inf") and not fader.muted:
            fader.gain_db = 0.0
        else:
            fader.muted = not fader.muted
        self._apply_gains()

    def toggle_solo(self, index: int) -> None:
        """Hear this stem alone, or all again: alone it is heard, as `toggle_mute` brings it back."""
        alone = not self._faders[index].solo
        for number, fader in enumerate(self._faders):
            fader.solo = alone and number == index
            if fader.solo:
                fader.muted = False
                fader.gain_db = 0.0 if fader.gain_db == float("-inf") else fader.gain_db
        self._apply_gains()

    def all_on(self) -> None:
        """Nothing muted, nothing alone, and every fader that was at the very bottom at 0 dB."""
        for fader in self._faders:
            fader.muted = fader.solo = False
            if fader.gain_db == float("-inf"):
                fader.gain_db = 0.0
        self._apply_gains()

    def toggle_bypass(self) -> None:
        """The song as it is, at the same place and as loud; or the stems again."""
        self.deck.transport.bypass = not self.deck.transport.bypass

    def set_volume(self, volume_db: float) -> None:
        """Set the volume of everything, in dB."""
        self._volume_db = min(max(volume_db, MIN_GAIN_DB), MAX_GAIN_DB)
        self.deck.transport.master = db_to_linear(self._volume_db)

    def change_volume(self, step_db: float) -> None:
        """Move the volume of everything by a step."""
        self.set_volume(self._volume_db + step_db)

    def linear_gain(self, index: int) -> float:
        """What a stem is multiplied with, mute and solo considered, without the volume."""
        fader = self._faders[index]
        silent = fader.muted or (any(other.solo for other in self._faders) and not fader.solo)
        return 0.0 if silent else db_to_linear(fader.gain_db)

    def _apply_gains(self) -> None:
        for index in range(len(self.stems)):
            self.deck.transport.set_gain(index, self.linear_gain(index))

    # -- what is going on ------------------------------------------------------------------------------------

    def status(self) -> PlayerStatus:
        """A snapshot. When source or engine have given up, `messages` say why; the sound goes on as far as it can."""
        head = self.deck.callback.read()
        length = self.source.length
        return PlayerStatus(
            position_s=self.position / ENGINE_RATE,
            length_s=None if length is None else length / ENGINE_RATE,
            playing=self.deck.transport.playing,
            ended=self.ended,
            kind=head.kind,
            bypass=self.deck.transport.bypass,
            volume_db=self._volume_db,
            stems=self.stems,
            faders=tuple(Fader(fader.gain_db, fader.muted, fader.solo) for fader in self._faders),
            levels_db=self._levels_db(head.position, head.epoch),
            latency=self._latency(head.max_block),
            late_blocks=head.late_blocks,
            dry_s=head.dry_samples / ENGINE_RATE,
            wet_s=head.wet_samples / ENGINE_RATE,
            starved_s=head.starved_samples / ENGINE_RATE,
            clipped_samples=head.clipped_samples,
            frames=head.frames,
            engine=self.engine.stats(),
            bypass_s=head.bypass_samples / ENGINE_RATE,
            messages=tuple(text for text in (self.source.message, self.engine.failure) if text is not None),
            notices=self.engine.notices,
        )

    def _levels_db(self, position: int, epoch: int) -> tuple[float, ...]:
        """Levels of what is played now. A guest's look: samples that are not there count as silence."""
        block = np.zeros((self.deck.stem.rows, METER_SAMPLES), np.float32)
        if not self.deck.transport.playing or not self.deck.stem.read(position, block, epoch):
            return (SILENCE_DB,) * len(self.stems)
        power = np.mean(block.reshape(len(self.stems), -1) ** 2, axis=1)
        gains = np.array([self.linear_gain(index) for index in range(len(self.stems))])
        floor = 10.0 ** (SILENCE_DB / 10.0)
        return tuple(float(level) for level in 10.0 * np.log10(np.maximum(power * gains**2, floor)))

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
