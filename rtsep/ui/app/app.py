"""The app: what it consists of, what keys do, and how an update reaches the screen."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import ClassVar

from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.css.query import NoMatches
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from rtsep.control.commands.base import Command
from rtsep.control.commands.session import Help, Palette, Quit, Show
from rtsep.control.table import LIVE_APP_KEYS, PLAY_APP_KEYS
from rtsep.ui.app.devices import DeviceDialog
from rtsep.ui.app.dialogs import KeysDialog, ValuesDialog
from rtsep.ui.app.drawn import DIM, WARM, Drawn, Part
from rtsep.ui.app.glyphs import Glyphs
from rtsep.ui.app.header import Header
from rtsep.ui.app.link import Exchange, Link
from rtsep.ui.app.mixer import MixerView
from rtsep.ui.app.palette import TableCommands
from rtsep.ui.app.panels import HealthView, MessagesView
from rtsep.ui.app.protocol import Look, QueuedSong, Request, Update
from rtsep.ui.app.queue import QueueDialog, QueueList, QueueView
from rtsep.ui.app.spectrogram import SpectrogramView
from rtsep.ui.app.waveform import WaveformView

TINY_ROWS, SMALL_ROWS, LARGE_ROWS, LARGE_COLUMNS = 10, 18, 36, 110
"""Below and above these a terminal gets less or more: a tiny one no waveform, a small one a lower waveform, a large one
all panels at once."""
NOTICE_S = 6.0
HINTS = "? keys  : commands  SPACE pause  q quit"
PANELS = ("health", "spectrogram", "queue", "messages")


class Footer(Drawn):
    """The newest message for some seconds, else the keys that everybody needs."""

    _notice = ""
    _until_s = 0.0

    def notice(self, line: str) -> None:
        """Show a message."""
        self._notice, self._until_s = self.glyphs.text(line), time.monotonic() + NOTICE_S
        self.show(self._notice)

    def tick(self) -> None:
        """Go back to the hints when it is time."""
        if self._notice and time.monotonic() > self._until_s:
            self._notice = ""
            self.show("")

    def row(self, number: int, width: int) -> list[Part]:
        return [(self._notice, WARM)] if self._notice else [(HINTS, DIM)]


class PlayerScreen(Screen[None], inherit_bindings=False):
    """The player. All keys are the table's: TAB selects a stem, not a widget."""

    def __init__(self, app: PlayerApp) -> None:
        super().__init__()
        self._glyphs, self._do = app.glyphs, app.do

    def compose(self) -> ComposeResult:
        yield Header(self._glyphs, id="header")
        yield Static("starting", id="waiting", markup=False)
        yield WaveformView(self._glyphs, self._do, id="waveform")
        yield MixerView(self._glyphs, self._do, id="mixer")
        with Container(id="panels"):
            yield HealthView(self._glyphs, id="health")
            yield SpectrogramView(self._glyphs, id="spectrogram", classes="behind")
            yield QueueView(self._glyphs, id="queue", classes="behind")
            yield MessagesView(self._glyphs, id="messages", classes="behind")
        yield Footer(self._glyphs, id="footer")

    def on_resize(self, event: events.Resize) -> None:
        """Arrange for the size of the terminal."""
        width, height = event.size
        self.set_class(height < TINY_ROWS, "tiny")
        self.set_class(height < SMALL_ROWS, "small")
        self.set_class(height >= LARGE_ROWS and width >= LARGE_COLUMNS, "large")


class PlayerApp(App[None], inherit_bindings=False):
    """Shows a player and sends it what keys, mouse and palette ask.

    Args:
        exchange: reaches the process that plays.
        is_live: whether it separates an input; else songs.
        glyphs: what to draw with.
    """

    CSS_PATH = "app.tcss"
    COMMANDS: ClassVar = {TableCommands}
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar = [
        Binding("ctrl+c", "interrupt", priority=True),
        Binding("ctrl+z", "suspend", priority=True),
        Binding("ctrl+q", "quit_player", priority=True),
    ]

    def __init__(self, exchange: Exchange, is_live: bool, glyphs: Glyphs) -> None:
        super().__init__(ansi_color=True)
        self.is_live = is_live
        self.glyphs = glyphs
        self._keys = LIVE_APP_KEYS if is_live else PLAY_APP_KEYS
        self._link = Link(exchange, self._look, self._show_update, self._notice)
        self._lines = 0
        self._queue_changes = -1
        self._spectrum: int | None = None
        self._asks_devices = False
        self._sources = 1
        self._queue: list[QueuedSong] = []
        self._waveform_version = ""
        self._title = self._artist = ""

    def on_mount(self) -> None:
        """Begin to ask."""
        self.theme = "ansi-dark"
        self.push_screen(PlayerScreen(self))
        self.set_class(self.glyphs.ascii, "ascii")
        self.run_worker(self._talk())

    # -- keys ------------------------------------------------------------------------------------------------

    def on_key(self, event: events.Key) -> None:
        """Do what the table says, unless a dialog is open."""
        key = event.character if event.is_printable else event.key
        is_open = any(isinstance(screen, PlayerScreen) for screen in self.screen_stack[-1:])
        command = self._keys.find(key) if key is not None and is_open else None
        if command is not None:
            event.stop()
            self.do(command)

    def do(self, command: Command) -> None:
        """Carry out a command: one of a face here, all others on the player."""
        if isinstance(command, Help):
            self.push_screen(KeysDialog(self._keys))
        elif isinstance(command, Palette):
            self.action_command_palette()
        elif isinstance(command, Show):
            self._show_panel(command.panel)
        else:
            self.send(command)

    def send(self, request: Request) -> None:
        """Send something to the process that plays."""
        self._link.send(request)

    def ask_values(self, kind: type[Command]) -> None:
        """Ask for the values of a command, and carry it out."""
        self.push_screen(ValuesDialog(kind), lambda command: None if command is None else self.do(command))

    def action_interrupt(self) -> None:
        """Control-C, for the process that plays."""
        os.kill(os.getppid(), signal.SIGINT)

    def action_suspend(self) -> None:
        """Control-Z: the process that plays stops both, this one first."""
        os.kill(os.getppid(), signal.SIGTSTP)

    def action_quit_player(self) -> None:
        """Quit."""
        self.do(Quit())

    # -- what is shown -----------------------------------------------------------------------------------------

    def _show_update(self, update: Update) -> None:
        with suppress(NoMatches):  # it is being closed
            self._update(update)

    async def _talk(self) -> None:
        await self._link.run()
        self.exit()

    def _look(self) -> Look:
        seen = self._lines, max(self.size.width, 1), self._waveform_version, self._queue_changes
        return Look(*seen, self._spectrum, self._asks_devices)

    def _update(self, update: Update) -> None:
        screen = next((screen for screen in self.screen_stack if isinstance(screen, PlayerScreen)), None)
        if screen is None or not screen.is_mounted:
            return
        self._lines = update.line_count
        if update.lines:
            screen.query_one(MessagesView).append(update.lines)
            self._notice(update.lines[-1])
        screen.query_one(Footer).tick()
        state = update.state
        screen.set_class(state is None, "starting")
        if state is None:
            screen.query_one("#waiting", Static).update(update.waiting)
            return
        if update.waveform is not None:
            self._waveform_version = update.waveform.version
            self._title, self._artist = update.waveform.title, update.waveform.artist
        if update.queue is not None:
            self._queue, self._queue_changes = update.queue, state.queue_changes
        for view in (*screen.query(QueueView), *self.screen.query(QueueList)):
            view.update_queue(self._queue, state.player.track)
        screen.set_class(state.player.live is not None, "live")
        screen.query_one(Header).update_player(state.player, self._title, self._artist)
        screen.query_one(WaveformView).update_player(state.player, update.waveform)
        screen.query_one(MixerView).update_state(state)
        screen.query_one(HealthView).update_player(state.player, update.cpu_percent)
        spectrogram = screen.query_one(SpectrogramView)
        self._sources = 1 + len(state.player.stems)
        self._spectrum = spectrogram.source if spectrogram.display else None
        spectrogram.update_spectrum(update.spectrum, ("mix", *state.player.stems)[spectrogram.source])
        if update.devices is not None and self._asks_devices:
            self._asks_devices = False
            found = update.devices
            self.push_screen(DeviceDialog(self.glyphs, found.outputs, found.inputs, self.send))

    def _notice(self, line: str) -> None:
        for screen in self.screen_stack:
            for footer in screen.query(Footer):
                footer.notice(line)

    def _show_panel(self, panel: str) -> None:
        if panel == "queue":
            self.push_screen(QueueDialog(self.glyphs, self.send))
            return
        if panel == "devices":
            self._asks_devices = True
            return
        spectrogram = self.screen.query_one(SpectrogramView)
        if panel == "spectrogram" and spectrogram.display:
            spectrogram.next_source(self._sources)
        for name in PANELS:
            self.screen.query_one(f"#{name}", Widget).set_class(name != panel, "behind")
