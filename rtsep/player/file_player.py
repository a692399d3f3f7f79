"""The player of files: owns engine, source and device stream. Jumps, loops and the queue are in `navigation`."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from math import ceil
from pathlib import Path

from rtsep.audio.devices.discovery import find_device
from rtsep.engine.latency import Latency, algorithmic_latency
from rtsep.engine.live_engine import Engine
from rtsep.errors import UsageError
from rtsep.live_settings import best_latency
from rtsep.player.ahead.engine import AheadEngine, Waiting
from rtsep.player.device_keeper import OutputKeeper
from rtsep.player.mixer import Mixer
from rtsep.player.practice.rehearsal import Rehearsal
from rtsep.player.practice.singing import Singing
from rtsep.player.practice.tempo import Tempo
from rtsep.player.queue.navigation import Navigator
from rtsep.player.queue.song import Song, open_songs
from rtsep.player.queue.source import FileSource
from rtsep.player.queue.timeline import Place
from rtsep.player.snapshot import PlayerSnapshot
from rtsep.player.stream_protocols import PlaybackStream
from rtsep.separation.options import find_playable
from rtsep.shared.state import SharedState
from rtsep.timebase import SAMPLE_RATE

FIRST_PATIENCE_S = 3.0
ROUTED = "speed and key cannot be changed while stems go to outlets of their own (--to)"
FIRST_LEAD_S = 0.3
"""Stems that are ready before the device is opened, so that the first block is already separated."""


class FilePlayer(Rehearsal):
    """Separates and plays files, one after the other. A context manager; `close` ends stream, source and worker.

    Args:
        paths: the audio files; those that cannot be read are left out.
        model, chunk, compute, mask_extension: see `rtsep.engine.live_engine.Engine`.
        open_stream: opens the device for a shared state, e.g. ``lambda shared: OutputStream(shared, device_index)``.
            None: no output, and the play head doesn't move.
        start_s: where to start, in the first song.
        ahead: separate songs before they are played; networks of whole segments always do.
        routed: whether `open_stream` sends stems to several outlets; speed and key cannot be changed then.

    Attributes:
        left_out: a line for each file that cannot be read.

    Raises RtsepError if no file can be read, and for a model or device that is not there.
    """

    def __init__(
        self,
        *paths: Path | str,
        model: Path | str | None = None,
        chunk: int | None = None,
        compute: str = "auto",
        open_stream: Callable[[SharedState], PlaybackStream] | None = None,
        start_s: float = 0.0,
        ahead: bool = False,
        mask_extension: str | None = None,
        routed: bool = False,
    ) -> None:
        self._open_stream = open_stream
        self._stream: PlaybackStream | None = None
        self._closing = ExitStack()
        songs, self.left_out = open_songs(paths)
        try:
            recipe = find_playable(model).recipe
            if ahead or recipe.segments is not None:
                engine = AheadEngine([song.path for song in songs], model, compute, mask_extension)
            else:
                engine = Engine(
                    model,
                    chunk=chunk,
                    compute=compute,
                    latency=best_latency(recipe),
                    mask_extension=mask_extension,
                )
            self._closing.callback(engine.close)
            source = FileSource(songs, engine.shared)
            self._closing.callback(source.close)
            if isinstance(engine, AheadEngine):
                engine.follow(source)
        except BaseException:
            self._closing.close()
            raise
        Mixer.__init__(self, engine)
        self.shared.transport.playing = False
        length = source.songs[0].length
        start = max(0, round(start_s * SAMPLE_RATE))
        first = Place(0, start if length is None else min(start, length))
        Navigator.__init__(self, engine.shared, source, first, FIRST_PATIENCE_S)
        Singing.__init__(self)
        Rehearsal.__init__(self)
        Tempo.__init__(self, engine.shared, ROUTED if routed else None, self.look)
        self._closing.callback(self._stage.close)

    def __enter__(self) -> FilePlayer:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End stream, source and worker. May be called twice."""
        if self._stream is not None:
            # First of all: the callback uses the shared state, which is freed with the engine.
            stream, self._stream = self._stream, None
            stream.stop()  # plays what is buffered
            stream.close()
        self._closing.close()

    def open(self, limit_s: float = 120.0, on_wait: Callable[[Waiting], None] = lambda waiting: None) -> None:
        """Wait for the worker and the first separated sound, then open the device. RtsepError if either fails.

        `on_wait` is called repeatedly while a song is separated ahead. Another thread may jump meanwhile.
        """
        self.engine.wait_ready(limit_s)
        if isinstance(self.engine, AheadEngine):
            self.engine.wait_enough(lambda: (self.place, self.song.length), on_wait)
        length, enough = self.song.length, self.position + round(FIRST_LEAD_S * SAMPLE_RATE)
        deadline = time.monotonic() + FIRST_PATIENCE_S
        while time.monotonic() < deadline:  # a machine that is too slow starts with the original mix
            stem = self.shared.stem.header()
            if stem.epoch == self.epoch and stem.end >= (enough if length is None else min(enough, length)):
                break
            self.engine.poll()
            time.sleep(0.005)
        if self._open_stream is not None:
            self._stream = self._open_stream(self.shared)
            self._stream.start()

    @property
    def delay(self) -> int:
        """Samples of the song between the callback and the ear, on the current device."""
        return round(self._device_delay * self.speed)

    @property
    def _device_delay(self) -> int:
        return 0 if self._stream is None else round(self._stream.latency_s * SAMPLE_RATE)

    def use_output(self, name: str) -> None:
        """Go over to another output device while playing; see `rtsep.audio.devices.discovery.find_device` for names.

        RtsepError if there is none. If it cannot be opened, the keeper says so and stays.
        """
        if not isinstance(self._stream, OutputKeeper):
            raise UsageError("the output device cannot be changed before it is open")
        self._stream.change("output", find_device(name, "output"))

    @property
    def song(self) -> Song:
        """The song of `place`."""
        return self.source.songs[self.place.track]

    @property
    def song_path(self) -> Path:
        """The file of the song of `place`."""
        return self.song.path

    def add_songs(self, *paths: Path | str) -> list[str]:
        """Add files to the queue; returns a line for each that cannot be read. RtsepError if none can."""
        songs, left_out = open_songs(paths)
        songs[0].close()  # as all that are not played yet
        if isinstance(self.engine, AheadEngine):
            self.engine.add([song.path for song in songs])
        self.append_songs(songs)
        return left_out

    def play(self) -> None:
        """Play, or resume."""
        self.shared.transport.playing = True

    def pause(self) -> None:
        """Stop the play head, in silence."""
        self.shared.transport.playing = False

    def toggle_pause(self) -> None:
        """Pause or resume."""
        self.shared.transport.playing = not self.shared.transport.playing

    # -- status ----------------------------------------------------------------------------------------------

    def status(self) -> PlayerSnapshot:
        """A snapshot. If source or engine have failed, `messages` say why; playback continues as far as possible."""
        head = self.shared.callback.read()
        track, position = self.place
        song = self.source.songs[track]
        length = song.length
        return self._snapshot(
            head,
            file=song.path,
            track=self.source.queue.number(track),
            tracks=len(self.source.queue),
            loop_s=self.loop_s,
            cue_s=self.cue_s,
            position_s=position / SAMPLE_RATE,
            length_s=None if length is None else length / SAMPLE_RATE,
            playing=self.shared.transport.playing,
            ended=self.ended,
            latency=self._latency(head.max_block),
            output_device=self._stream.device.name if isinstance(self._stream, OutputKeeper) else None,
            messages=(*self.source.messages, *filter(None, (self.engine.failure, self._stage.failure))),
            notices=self.engine.notices,
            sung=self.sung(position / SAMPLE_RATE),
            lyrics_offset_s=self.lyrics_offset_s,
            loops=tuple(self.loops),
            loop_speed_up=self.loop_speed_up,
            tempo_bpm=None if self.beats is None else self.beats.tempo_bpm,
            metronome=self.metronome,
            speed=self.speed,
            key=self.key,
        )

    def _latency(self, block: int) -> Latency:
        """The latency that the same settings would have live; a file is read ahead, and only the device's counts.

        Live sound arrives hop by hop, so an automatic chunk is one frame there. The margin is the reserve plus the time
        of computing one chunk: its frames times the 99th percentile of one hop, measured with whatever chunks.
        """
        stats = self.engine.stats()
        chunk = self.engine.chunk or 1
        return Latency(
            algorithmic=algorithmic_latency(
                chunk, max(block, 1), lookahead=self.engine.lookahead_frames, support=self.engine.support
            ),
            margin=ceil((chunk * stats.compute_p99_ms / 1000 + self.engine.reserve_s) * SAMPLE_RATE),
            device=self._device_delay,
            practice=self.speed_delay,
        )
