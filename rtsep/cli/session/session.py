"""One run of a player in a terminal: the app, or keys, a status line and messages."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from rtsep.audio.files.folders import with_folders_expanded
from rtsep.cli.session.app_process import AppProcess, can_show_app
from rtsep.cli.session.options import PlaybackOptions
from rtsep.cli.session.run import Run
from rtsep.control.commands.base import Command
from rtsep.control.commands.session import Help, Quit
from rtsep.control.desk import Desk
from rtsep.control.table import LIVE_KEYS, KeyTable
from rtsep.errors import RtsepError
from rtsep.player.notices import Notices
from rtsep.system.guarded_thread import guarded_thread
from rtsep.ui import console
from rtsep.ui.app.attendant import Attendant
from rtsep.ui.app.protocol import AddSongs, Request
from rtsep.ui.keyboard import Keyboard
from rtsep.ui.status_line import status_line

if TYPE_CHECKING:
    from rtsep.player.file_player import FilePlayer
    from rtsep.player.live_player import LivePlayer

REFRESH_S = 0.05
HINT = "? for the keys, q to quit"


class Session(Run):
    """What a run shows and obeys. A context manager: keys work from the start of the `with` block on.

    On a terminal that can show it this is the app; elsewhere, and when the app has died, keys, a status line and
    messages. The block first starts the player, which takes half a minute where machine code has to be compiled and
    longer where a song is separated ahead. A thread handles the keys until `run` does. A quit in that time interrupts
    the block, as control-C would, and leaves it without an error.

    Args:
        keys: those of the player.
        options: of the command line.

    Attributes:
        desk: carries out what keys stand for. Keys pressed before there is one are kept until then.
    """

    def __init__(self, keys: KeyTable, options: PlaybackOptions) -> None:
        super().__init__(options)
        self._over = self._has_interrupted = False
        self._keys = keys
        self._early: list[Command] = []
        self._has_desk = False
        self._is_live = keys is LIVE_KEYS
        self._keyboard = Keyboard(enabled=False)
        self._app: AppProcess | None = None
        self._entered, self._playing = threading.Event(), threading.Event()
        self._starter = guarded_thread(self._answer_while_starting, "rtsep-keys", "the keyboard", console.say)

    def __enter__(self) -> Session:
        if not self._options.no_ui and not self._options.json and can_show_app():
            attendant = Attendant(self._obey, lambda: self._shown_desk, self.wait_line.text, Notices())
            self._app = AppProcess(attendant, self._is_live)
        else:
            self._read_keyboard()
        self._starter.start()
        self._entered.set()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self.end_starting()
        if self._app is not None:
            self._app.close()
        if self._has_desk:
            self.desk.close()
        self._keyboard.__exit__(kind, error, trace)
        return self._has_interrupted and kind is KeyboardInterrupt

    @property
    def has_keys(self) -> bool:
        """Whether somebody can press keys, in the app or without it."""
        return self._app is not None or self._keyboard.has_keys

    def attach(self, player: FilePlayer | LivePlayer, notices: Notices) -> None:
        """As of `Run`; keys act on the player from now on."""
        super().attach(player, notices)
        self._has_desk = True

    def run(self) -> None:
        """Play until the last song ends, `--seconds` have played, or the user quits or presses control-C.

        Raises KeyboardInterrupt if that is pressed again.
        """
        self.end_starting()
        try:
            self._answer_while_playing()
        except KeyboardInterrupt:
            self.interrupted = True
        self._fade_out()

    def end_starting(self) -> None:
        """End the thread that handles keys during the start; `run` does this first."""
        self._playing.set()
        self._starter.join()
        console.clear_status()

    # -- how -------------------------------------------------------------------------------------------------

    def _read_keyboard(self) -> None:
        self._keyboard = Keyboard(enabled=not self._options.no_ui)
        self._keyboard.__enter__()

    @property
    def _shown_desk(self) -> Desk | None:
        """What the app shows: nothing before it plays."""
        return self.desk if self._playing.is_set() else None

    def _obey(self, request: Request) -> str | None:
        """Carry out what the app asks. Returns why it can't be done, or None."""
        try:
            if isinstance(request, Quit):
                self._over = True
            elif isinstance(request, AddSongs):
                if not self._has_desk:
                    return "still starting"
                for line in self.desk.add_songs(*with_folders_expanded([Path(path) for path in request.paths])):
                    console.say(line)
            elif self._has_desk:
                self.desk.do(request)
            else:
                self._early.append(request)
        except RtsepError as error:
            return str(error)
        return None

    def _replace_app(self) -> None:
        """Go on with keys and the status line where the app has died; nothing of the sound depends on it."""
        assert self._app is not None
        reason, self._app = self._app.close(), None
        console.say(f"the terminal app ended unexpectedly ({reason}); going on with the status line")
        self._read_keyboard()

    def _answer_while_starting(self) -> None:
        self._entered.wait()  # an interruption must find the block entered, which handles it
        while not self._playing.is_set() and not self._over:
            self._answer_keys()
            if self._app is None:
                self.wait_line.show()
        if not self._playing.is_set():
            self._has_interrupted = True
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def _answer_while_playing(self) -> None:
        if self._keyboard.has_keys:
            console.write_lines(HINT)
        while not self._over and not self.desk.over.is_set():
            if self._app is not None and not self._app.running:
                self._replace_app()
            state = self.desk.state()
            self.report(state.player)
            if not self._options.no_ui:
                console.show_status(status_line(state.player, state.selected, console.columns()))
            if state.player.ended or self._is_over(state.player):
                break
            self._answer_keys()
        console.clear_status()

    def _answer_keys(self) -> None:
        """Wait a moment for keys, and do what they stand for."""
        commands = [*self._early, *map(self._keys.find, self._keyboard.read_keys(REFRESH_S))]
        self._early = []
        for command in commands:
            if isinstance(command, Help):
                console.write_lines(self._keys.text())
            elif isinstance(command, Quit):
                self._over = True
            elif command is not None and self._has_desk:
                self._do(command)
            elif command is not None:
                self._early.append(command)

    def _do(self, command: Command) -> None:
        try:
            self.desk.do(command)
        except RtsepError as error:
            console.say(error)
