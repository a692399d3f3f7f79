"""The app's thread that talks to the process that plays: commands at once, a look at the state in every frame."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

import msgspec

from rtsep.control.commands.base import Command
from rtsep.ui.app.protocol import Look, Update, done_decoder, update_decoder

FRAME_S = 0.05
"""From one look to the next: 20 a second at most, and fewer where drawing takes longer."""

Exchange = Callable[[bytes], bytes]
"""Sends a request and returns the reply; EOFError or OSError when the process that plays has gone."""


class Link:
    """Carries requests to the process that plays, one at a time.

    Args:
        exchange: see `Exchange`.
        look: what to ask for in the next frame.
        show: shows an update; called in this object's thread, and the next look waits for it.
        refused: receives why a command was not carried out.
        gone: called when the process that plays has gone.
    """

    def __init__(
        self,
        exchange: Exchange,
        look: Callable[[], Look],
        show: Callable[[Update], None],
        refused: Callable[[str], None],
        gone: Callable[[], None],
    ) -> None:
        self._exchange = exchange
        self._look, self._show, self._refused, self._gone = look, show, refused, gone
        self._commands: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="rtsep-link", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def do(self, command: Command) -> None:
        """Send a command, as soon as what was asked before has been answered."""
        self._commands.put(command)

    def close(self) -> None:
        """End the thread; it may be waiting for the app, so nobody waits for it."""
        self._closing = True
        self._commands.put(None)

    def _run(self) -> None:
        try:
            while not self._closing:
                self._send_commands()
                self._show(update_decoder.decode(self._exchange(_encoder.encode(self._look()))))
        except (EOFError, OSError):
            if not self._closing:
                self._gone()

    def _send_commands(self) -> None:
        """Wait a frame for commands, and send what there is."""
        timeout_s: float | None = FRAME_S
        while not self._closing:
            try:
                command = self._commands.get(timeout=timeout_s) if timeout_s else self._commands.get_nowait()
            except queue.Empty:
                return
            timeout_s = None
            if command is not None:
                error = done_decoder.decode(self._exchange(_encoder.encode(command))).error
                if error is not None:
                    self._refused(error)


_encoder = msgspec.msgpack.Encoder()
