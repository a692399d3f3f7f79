"""An app on a stage: the real one, in this process, with a desk whose player is a stand-in that records."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock, create_autospec

import numpy as np
from textual import events
from textual.keys import _character_to_key

from rtsep.audio.callback.control import CallbackControl
from rtsep.audio.callback.playback import mix_block
from rtsep.control.desk import Desk
from rtsep.errors import UsageError
from rtsep.player.faders import Fader
from rtsep.player.file_player import FilePlayer
from rtsep.player.live_player import LivePlayer
from rtsep.player.meters import Levels
from rtsep.player.notices import Notices
from rtsep.player.overview import Overview
from rtsep.player.snapshot import LiveSnapshot, PlayerSnapshot
from rtsep.shared.state import SharedLayout, SharedState
from rtsep.ui.app.app import PlayerApp, PlayerScreen
from rtsep.ui.app.attendant import Attendant
from rtsep.ui.app.glyphs import UNICODE, Glyphs
from rtsep.ui.app.protocol import AddSongs, Request
from tests.snapshots import snapshot

STEMS = ("vocals", "drums", "bass", "other")
SONGS = ("boats.flac", "ships.flac", "日本語 rafts.flac")


class Stage:
    """What the process that plays has, in place of it; `app` is shown by it.

    Attributes:
        done: the commands that have reached the desk.
        player: what commands act on; `shown` is its state.
    """

    def __init__(self, live: bool = False, glyphs: Glyphs = UNICODE, **changes: object) -> None:
        self.player: Any = create_autospec(LivePlayer if live else FilePlayer, instance=True, stems=STEMS)
        if not live:
            songs = [Mock(path=Path(f"/music/{name}"), length=44100 * 200) for name in SONGS]
            self.player.source = Mock(queue=Mock(changes=0, songs=songs, order=[0, 1, 2]))
        self.shown: dict[str, Any] = {
            "stems": STEMS,
            "faders": (Fader(), Fader(-6.0), Fader(0.0, muted=True), Fader(3.5, solo=True)),
            "levels": (Levels(-12.0, -6.0), Levels(-20.5, -14.0), Levels(), Levels(-2.0, 1.0)),
            "file": Path("/music/boats.flac"),
            "loop_s": (60.0, 90.0),
            "cue_s": 120.0,
            "tracks": 3,
        }
        if live:
            self.shown |= {"live": LiveSnapshot(1, 2, 3, True, 12.0, 0), "file": None, "loop_s": None, "cue_s": None}
            self.shown |= {"length_s": None, "tracks": 1}
        self.shown |= changes
        self.player.faders = self.shown["faders"]
        self.player.status.side_effect = self.status
        self.desk: Desk | None = Desk(self.player)
        self.overview = None if live else waves()
        self.desk.overview = lambda: self.overview  # type: ignore[method-assign]
        self.player.shared = sounding()
        self._callback = CallbackControl(self.player.shared)
        self.desk.devices = lambda kind: ["Speakers", "Phones"] if kind == "output" else ["Mic"]  # type: ignore
        self.waiting = ""
        self.lines = Notices()
        self.done: list[Request] = []
        attendant = Attendant(self.do, lambda: self.desk, lambda: self.waiting, self.lines)
        self.app = PlayerApp(attendant.answer, live, glyphs)

    def status(self) -> PlayerSnapshot:
        """The state, a block later each time."""
        mix_block(self._callback.fields, np.zeros((1024, 2), np.float32), 1024)
        return snapshot(**self.shown)

    def do(self, command: Request) -> str | None:
        """As the session does it."""
        self.done.append(command)
        if self.desk is None or isinstance(command, AddSongs):
            return None
        try:
            self.desk.do(command)
        except UsageError as error:
            return str(error)
        return None

    async def started(self) -> None:
        """Once the player is shown."""
        await until(lambda: isinstance(self.app.screen, PlayerScreen))

    def press(self, *keys: str) -> None:
        """Press keys as a terminal reports them, without waiting for what they do."""
        for key in keys:
            name = _character_to_key(key) if len(key) == 1 else key
            self.app.post_message(events.Key(name, key if len(key) == 1 else None))

    def rows(self) -> list[str]:
        """What the terminal shows."""
        shown = self.app.screen
        width, height = self.app.size
        blank = [[" "] * width for _ in range(height)]
        strips = shown._compositor.render_strips()
        return ["".join(segment.text for segment in strip) for strip in strips] or ["".join(row) for row in blank]


def sounding() -> SharedState:
    """A shared state with a tone of 1 kHz as the mixture and one of 5 kHz as each stem."""
    layout = SharedLayout(stems=STEMS)
    shared = SharedState(layout, bytearray(layout.nbytes))
    shared.initialise()
    for ring, hertz in ((shared.mixture, 1000.0), (shared.stem, 5000.0)):
        ring.restart(1, 0, 0)
        tone = np.sin(2 * np.pi * hertz * np.arange(65536) / 44100).astype(np.float32) * 0.5
        ring.write(np.tile(tone, (ring.rows, 1)))
    shared.transport.playing = True
    shared.transport.post(0, 1, 0)
    return shared


async def until(condition: Callable[[], Any]) -> None:
    """Wait until something is so; fails after a quarter of a minute or more."""
    for _ in range(1500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("waited in vain")


def waves() -> Overview:
    """The overview of a song that grows louder and has a pause."""
    overview = Overview(Path("/music/boats.flac"))
    overview.title, overview.artist = "Paper Boats", "Nobody"
    peaks = np.linspace(0.1, 0.9, 8613, dtype=np.float32) * (0.6 + 0.4 * np.sin(np.arange(8613) / 90) ** 2)
    peaks[4000:4300] = 0.001
    overview.extend(np.stack([-peaks, peaks, peaks / 2.5], axis=1).astype(np.float32))
    overview.complete = True
    return overview
