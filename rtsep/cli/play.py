"""`rtsep play`: a song, its stems on faders, in a terminal."""

from __future__ import annotations

import json as json_format
import math
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from rtsep.audio.devices import find_device, list_devices
from rtsep.audio.resample import ENGINE_RATE
from rtsep.audio.stream import OutputStream
from rtsep.engine.options import check_chunk, check_compute
from rtsep.errors import RtsepError, UsageError
from rtsep.player.transport import MAX_GAIN_DB, MIN_GAIN_DB, Player, PlayerStatus
from rtsep.ui.keys import help_sentence, help_text, press
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


def play(
    file: Path,
    /,
    *,
    device: str | None = None,
    model: str | None = None,
    gain: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    chunk: int | None = None,
    compute: str = "auto",
    start: float = 0.0,
    seconds: float | None = None,
    no_ui: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Play a song and ride its stems' faders.

    KEYS

    Parameters
    ----------
    file
        An audio file.
    device
        Output device: its number, its name, or a unique part of the name. Default: the system's.
    model
        Name or folder of a model. Default: the one that comes along.
    gain
        Where a fader begins, as STEM=DB: vocals=-6, from -60 to +12, or vocals=-inf for silence. May be given several
        times.
    chunk
        Frames the network takes in one step, 1 to 32. Default: few while there is little lead, then up to 32.
    compute
        auto, cpu, cuda or cuda:N.
    start
        Begin at this second.
    seconds
        End this many seconds after the start.
    no_ui
        No keys and no status line; a summary at the end.
    json
        One JSON object on stdout at the end, and no summary.
    """
    gains = [parse_gain(text) for text in gain]
    check_chunk(chunk)
    check_compute(compute)
    if not (math.isfinite(start) and start >= 0):
        raise UsageError(f"--start {start:g}: expected seconds, 0 or more")
    if seconds is not None and not (math.isfinite(seconds) and seconds > 0):
        raise UsageError(f"--seconds {seconds:g}: expected seconds, more than 0")
    if device is None and (why := _why_no_output()) is not None:
        _say(f"{why}: writing the stems and a picture to out/ instead")
        from rtsep.cli.render import render  # with torch in this process, which a player never has

        written = render(
            *(file, Path("out")),
            model=model,
            gains=gains,
            chunk=chunk,
            compute=compute,
            start_s=start,
            seconds=seconds,
        )
        paths = [str(path) for path in written]
        print(json_format.dumps({"file": str(file), "written": paths}) if json else "\n".join(paths))
        return 0
    output = find_device(device)
    with ExitStack() as stack:
        player = stack.enter_context(
            Player(
                file,
                model=model,
                chunk=chunk,
                compute=compute,
                open_stream=lambda deck: OutputStream(deck, output.index, latency=DEVICE_LATENCY_S),
                start_s=start,
            )
        )
        length_s = player.status().length_s
        if length_s is not None and 0 < length_s <= start:
            raise RtsepError(f"--start {start:g}: {file} is only {length_s:.2f} s long")
        for stem, gain_db in gains:
            player.set_gain(stem, gain_db)
        for note in player.source.notes:
            _say(note)
        with _patience(quiet=json):
            player.open()
        player.play()
        terminal = None if no_ui else stack.enter_context(Terminal())
        _Session(player, terminal, None if seconds is None else start + seconds).run()
        status = player.status()
    if json:
        print(json_format.dumps(report(status, file, player, output.name, start)))
    else:
        _say(summary(status))
    return 1 if status.messages else 0


def _why_no_output() -> str | None:
    """Why nothing can be heard here, in a few words; None where there is an output device."""
    try:
        devices = list_devices()
    except RtsepError as error:
        return str(error)
    return None if any(found.serves("output") for found in devices) else "no sound device here"


@contextmanager
def _patience(quiet: bool) -> Iterator[None]:
    """Say a line, unless `quiet`, when what is inside takes long."""
    timer = threading.Timer(PATIENCE_S, _say, ["getting ready; the first time takes half a minute"])
    timer.daemon = True
    if not quiet:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


# The one table of keys speaks here too.
play.__doc__ = (play.__doc__ or "").replace("KEYS", help_sentence())


def parse_gain(text: str) -> tuple[str, float]:
    """``vocals=-6`` -> ("vocals", -6.0); from -60 to +12, or "-inf". UsageError for anything else."""
    stem, equals, number = text.partition("=")
    try:
        gain_db = float(number)
    except ValueError:
        gain_db = float("nan")
    if not (stem and equals and (gain_db == -math.inf or MIN_GAIN_DB <= gain_db <= MAX_GAIN_DB)):
        raise UsageError(
            f"--gain {text}: expected STEM=DB with DB from {MIN_GAIN_DB:g} to {MAX_GAIN_DB:+g}, or -inf for silence; "
            "for example vocals=-6"
        )
    return stem.strip(), gain_db


class _Session:
    """The keys of one playback: what `rtsep.ui.keys.Controls` asks for, on a player."""

    def __init__(self, player: Player, terminal: Terminal | None, end_s: float | None) -> None:
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
        for message in status.messages:
            if message in self._said:
                continue
            self._said.add(message)
            if self._terminal is not None:
                self._terminal.clear()
            _say(message)
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


def _say(text: str) -> None:
    print(f"rtsep: {text}", file=sys.stderr)
