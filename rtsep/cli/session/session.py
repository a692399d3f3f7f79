"""One playback of `rtsep play`, told at its end; and the keys of a session, which `rtsep live` uses too."""

from __future__ import annotations

import json as json_format
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from rtsep.audio.callback.routing import Routes, check_channels, routes_text
from rtsep.audio.devices.discovery import Device
from rtsep.audio.streams.device_stream import OutputStream
from rtsep.cli.output.notifications import Notifications
from rtsep.cli.output.wait_line import WaitingLine
from rtsep.cli.session.playback_report import exit_code, play_report, summary
from rtsep.errors import RtsepError
from rtsep.player.device_keeper import OutputKeeper, Side
from rtsep.player.file_player import FilePlayer
from rtsep.player.live_player import LivePlayer
from rtsep.player.notices import Notices
from rtsep.player.snapshot import PlayerStatus
from rtsep.shared.state import SharedState
from rtsep.system.native_output import libraries_silenced
from rtsep.timebase import SAMPLE_RATE
from rtsep.ui.keys import help_text, press
from rtsep.ui.status_line import status_line
from rtsep.ui.terminal import Terminal

REFRESH_S = 0.05
FADE_OUT_S = 0.1
PATIENCE = (
    (1.0, "getting ready"),
    (10.0, "getting ready still; the first time takes half a minute, since machine code is compiled"),
)
"""What is said when getting ready takes longer than so many seconds. A start with everything compiled takes fewer than
ten."""
DEVICE_LATENCY_S = 0.1
"""Asked of the device. A busy machine has that long to call back; the fingers on the faders feel it, but just."""


def say(text: str) -> None:
    """A line for people."""
    print(f"rtsep: {text}", file=sys.stderr)


def play_on(
    output: Side,
    files: Sequence[Path],
    *,
    model: str | None,
    gains: Sequence[tuple[str, float]],
    routes: Routes,
    chunk: int | None,
    compute: str,
    start_s: float,
    seconds: float | None,
    ahead: bool,
    keys: bool,
    json: bool,
) -> int:
    """Play files on a device, to their end or as the user wants; the exit code. RtsepError if it cannot begin."""
    check_channels(routes, f'"{output.device.name}"', output.device.outputs)
    notices = Notices()

    def open_on(shared: SharedState, device: Device) -> OutputStream:
        stream = OutputStream(shared, device.index, latency=DEVICE_LATENCY_S, routes=routes)
        if stream.samplerate != SAMPLE_RATE:
            line = f"{device.name} does not run at {SAMPLE_RATE} Hz; it gets the sound at {stream.samplerate} Hz"
            if line not in notices:  # it may open many times before it plays
                notices.append(line)
        return stream

    with ExitStack() as stack:
        stack.enter_context(libraries_silenced())
        player = stack.enter_context(
            FilePlayer(
                *files,
                model=model,
                chunk=chunk,
                compute=compute,
                open_stream=lambda shared: OutputKeeper(shared, output, partial(open_on, shared), notices.append),
                start_s=start_s,
                ahead=ahead,
            )
        )
        length_s = player.status().length_s
        if length_s is not None and 0 < length_s <= start_s:
            raise RtsepError(f"--start {start_s:g}: {files[0]} is only {length_s:.2f} s long")
        for stem, gain_db in gains:
            player.set_gain(stem, gain_db)
        notices.extend(routes_notes(routes, player))
        for song in player.source.songs:
            notices.extend(song.notes)
        waiting = WaitingLine(files[0].name, quiet=json)
        with patience(quiet=json):
            player.open(tell_waiting=waiting.show)
        waiting.clear()
        player.play()
        terminal = stack.enter_context(Terminal()) if keys else None
        session = Session(player, terminal, seconds, notices)
        session.run()
        status = player.status()
        session.tell(status)
    if json:
        print(json_format.dumps(play_report(status, player.engine, output.device.name, start_s, session.told)))
    else:
        say(summary(status))
    return exit_code(status, session.interrupted)


def routes_notes(routes: Routes, player: FilePlayer | LivePlayer) -> list[str]:
    """The line that says where stems go, if any is sent anywhere; UsageError for a stem that is not there."""
    for stem in routes:
        player.stem_index(stem)
    return [routes_text(routes)] if routes else []


@contextmanager
def patience(quiet: bool) -> Iterator[None]:
    """Say a line, unless `quiet`, when what is inside takes long, and another one when it takes very long."""
    timers = [threading.Timer(after_s, say, [line]) for after_s, line in PATIENCE if not quiet]
    for timer in timers:
        timer.daemon = True
        timer.start()
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()


class Session:
    """The keys of one playback: what `rtsep.ui.keys.Controls` asks for, on a player.

    Attributes:
        interrupted: whether control-C ended it.
    """

    def __init__(
        self, player: FilePlayer | LivePlayer, terminal: Terminal | None, seconds: float | None, notices: Notices
    ) -> None:
        self._player = player
        self._terminal = terminal
        self._seconds = seconds
        self._selected = 0
        self._over = False
        self._news = Notifications(notices)
        self.interrupted = False

    @property
    def told(self) -> Iterable[str]:
        """The last hundred lines that the user was told, but for those of `PlayerStatus.messages`."""
        return self._news.told

    def run(self) -> None:
        """Until the song has ended, `seconds` were played, or the user quits or presses control-C.

        KeyboardInterrupt when that is pressed once more.
        """
        try:
            self._obey()
        except KeyboardInterrupt:
            self.interrupted = True
        self._player.pause()
        time.sleep(FADE_OUT_S)

    def _obey(self) -> None:
        if self._terminal is not None and self._terminal.takes_keys:
            self._terminal.message("? for the keys, q to quit")
        while not self._over:
            status = self._player.status()
            self.tell(status)
            if self._terminal is not None:
                self._terminal.status(status_line(status, self._selected))
            if status.ended or (self._seconds is not None and status.played_s >= self._seconds):
                break
            if self._terminal is None:
                time.sleep(REFRESH_S)
                continue
            for key in self._terminal.read_keys(REFRESH_S):
                press(key, self)

    def tell(self, status: PlayerStatus) -> None:
        """Say what is new since the last call."""
        for line in self._news.look(status.messages, self._player.engine.notices, time.monotonic()):
            self._say(line)

    def _say(self, line: str) -> None:
        if self._terminal is not None:
            self._terminal.clear()
        say(line)

    def toggle_pause(self) -> None:
        self._player.toggle_pause()

    def nudge(self, seconds: float) -> None:
        if isinstance(self._player, FilePlayer):
            self._player.nudge(seconds)

    def toggle_loop(self) -> None:
        if isinstance(self._player, FilePlayer):
            self._player.toggle_loop()

    def set_cue(self) -> None:
        if isinstance(self._player, FilePlayer):
            self._player.set_cue()

    def go_to_cue(self) -> None:
        if isinstance(self._player, FilePlayer):
            self._player.go_to_cue()

    def previous(self) -> None:
        if isinstance(self._player, FilePlayer):
            self._player.previous()

    def next(self) -> None:
        if isinstance(self._player, FilePlayer):
            self._player.next()

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
