"""One playback of `rtsep play`, told at its end; and the keys of a session, which `rtsep live` uses too."""

from __future__ import annotations

import json as json_format
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rtsep.audio.devices import Device
from rtsep.audio.resample import ENGINE_RATE
from rtsep.audio.stream import OutputStream
from rtsep.dsp.deck import Deck
from rtsep.errors import RtsepError
from rtsep.player.live import LivePlayer
from rtsep.player.status import PlayerStatus
from rtsep.player.transport import Player
from rtsep.ui.keys import help_text, press
from rtsep.ui.status import latency_text, status_line
from rtsep.ui.terminal import Terminal

REFRESH_S = 0.05
SILENT_DEVICE_S = 3.0
"""A device that asks for nothing for this long is gone, whatever PortAudio says."""
FADE_OUT_S = 0.1
PATIENCE_S = 1.0
"""Getting ready for longer than this is worth a line."""
DEVICE_LATENCY_S = 0.1
"""Asked of the device. A busy machine has that long to call back; the fingers on the faders feel it, but just."""


def say(text: str) -> None:
    """A line for people."""
    print(f"rtsep: {text}", file=sys.stderr)


def play_on(
    output: Device,
    file: Path,
    *,
    model: str | None,
    gains: list[tuple[str, float]],
    chunk: int | None,
    compute: str,
    start_s: float,
    seconds: float | None,
    keys: bool,
    json: bool,
) -> int:
    """Play a file on a device, to its end or as the user wants; the exit code. RtsepError if it cannot begin."""

    def open_stream(deck: Deck) -> OutputStream:
        stream = OutputStream(deck, output.index, latency=DEVICE_LATENCY_S)
        if stream.samplerate != ENGINE_RATE:
            say(f"{output.name} does not run at {ENGINE_RATE} Hz; it gets the sound at {stream.samplerate} Hz")
        return stream

    with ExitStack() as stack:
        player = stack.enter_context(
            Player(
                file,
                model=model,
                chunk=chunk,
                compute=compute,
                open_stream=open_stream,
                start_s=start_s,
            )
        )
        length_s = player.status().length_s
        if length_s is not None and 0 < length_s <= start_s:
            raise RtsepError(f"--start {start_s:g}: {file} is only {length_s:.2f} s long")
        for stem, gain_db in gains:
            player.set_gain(stem, gain_db)
        for note in player.source.notes:
            say(note)
        with patience(quiet=json):
            player.open()
        player.play()
        terminal = stack.enter_context(Terminal()) if keys else None
        Session(player, terminal, None if seconds is None else start_s + seconds).run()
        status = player.status()
    if json:
        print(json_format.dumps(report(status, file, player, output.name, start_s)))
    else:
        say(summary(status))
    return 1 if status.messages else 0


@contextmanager
def patience(quiet: bool) -> Iterator[None]:
    """Say a line, unless `quiet`, when what is inside takes long."""
    timer = threading.Timer(PATIENCE_S, say, ["getting ready; the first time takes half a minute"])
    timer.daemon = True
    if not quiet:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


class Session:
    """The keys of one playback: what `rtsep.ui.keys.Controls` asks for, on a player."""

    def __init__(self, player: Player | LivePlayer, terminal: Terminal | None, end_s: float | None) -> None:
        self._player = player
        self._terminal = terminal
        self._end_s = end_s
        self._selected = 0
        self._over = False
        self._said: set[str] = set()
        self._frames = -1
        self._frames_seen = time.monotonic()

    def run(self) -> None:
        """Until the song has ended, `end_s` is reached or the user quits. RtsepError if the device dies."""
        if self._terminal is not None and self._terminal.takes_keys:
            self._terminal.message("? for the keys, q to quit")
        while not self._over:
            status = self._player.status()
            self._tell(status)
            self._watch_device(status)
            if status.ended or (self._end_s is not None and status.position_s >= self._end_s):
                break
            if self._terminal is None:
                time.sleep(REFRESH_S)
                continue
            for key in self._terminal.read_keys(REFRESH_S):
                press(key, self)
        self._player.pause()
        time.sleep(FADE_OUT_S)

    def _tell(self, status: PlayerStatus) -> None:
        for message in (*status.messages, *status.notices):
            if message in self._said:
                continue
            self._said.add(message)
            if self._terminal is not None:
                self._terminal.clear()
            say(message)
        if self._terminal is not None:
            self._terminal.status(status_line(status, self._selected))

    def _watch_device(self, status: PlayerStatus) -> None:
        now = time.monotonic()
        if status.frames != self._frames:
            self._frames, self._frames_seen = status.frames, now
        elif now - self._frames_seen > SILENT_DEVICE_S:
            raise RtsepError("the sound device takes no more sound; rtsep devices lists those that are there")

    def toggle_pause(self) -> None:
        self._player.toggle_pause()

    def nudge(self, seconds: float) -> None:
        if isinstance(self._player, Player):
            self._player.nudge(seconds)

    def toggle_mute(self, stem: int) -> None:
        if stem < len(self._player.stems):
            self._player.toggle_mute(stem)

    def toggle_solo(self, stem: int) -> None:
        if stem < len(self._player.stems):
            self._player.toggle_solo(stem)

    def all_on(self) -> None:
        self._player.all_on()

    def toggle_bypass(self) -> None:
        self._player.toggle_bypass()

    def select_next(self) -> None:
        self._selected = (self._selected + 1) % len(self._player.stems)

    def change_gain(self, step_db: float) -> None:
        self._player.change_gain(self._selected, step_db)

    def change_volume(self, step_db: float) -> None:
        self._player.change_volume(step_db)

    def toggle_help(self) -> None:
        if self._terminal is not None:
            self._terminal.message(help_text())

    def quit(self) -> None:
        self._over = True


def summary(status: PlayerStatus) -> str:
    """What has happened, for people, in one line."""
    engine = status.engine
    return (
        f"played {status.wet_s:.1f} s separated, {status.dry_s:.1f} s dry, {status.bypass_s:.1f} s bypassed; "
        f"latency: {latency_text(status.latency)}; "
        f"late: {engine.late_hops} hops, {engine.skipped_hops} skipped, {status.late_blocks} blocks; "
        f"a hop takes {engine.compute_p50_ms:.1f} ms (99 %: {engine.compute_p99_ms:.1f} ms)"
    )


def report(status: PlayerStatus, file: Path, player: Player, device: str, start_s: float) -> dict[str, Any]:
    """What has happened, for programs; units are in the names."""
    return {
        "file": str(file),
        "model": player.engine.model_name,
        "device": device,
        "compute": player.engine.compute,
        "start_s": start_s,
        "position_s": status.position_s,
        "length_s": status.length_s,
        "ended": status.ended,
        "seconds_played": status.wet_s + status.dry_s + status.bypass_s,
        "wet_s": status.wet_s,
        "dry_s": status.dry_s,
        "bypass_s": status.bypass_s,
        "starved_s": status.starved_s,
        "late_blocks": status.late_blocks,
        "clipped_samples": status.clipped_samples,
        "device_latency_ms": 1000 * status.latency.device / ENGINE_RATE,
        "live_latency_samples": asdict(status.latency) | {"total": status.latency.total},
        "engine": asdict(status.engine),
        "messages": list(status.messages),
    }
