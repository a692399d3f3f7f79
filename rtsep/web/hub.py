"""Keeps all pages up to date: looks at the player some twenty times a second and sends everybody the same.

A page that reads slowly gets what is new when it has taken the last message; nothing is kept for it. So a page can
hold up neither the player nor other pages.
"""

from __future__ import annotations

import asyncio
import contextlib

from starlette.websockets import WebSocket

from rtsep.control.desk import Desk
from rtsep.control.state import State
from rtsep.errors import RtsepError
from rtsep.player.spectrum import Spectrum
from rtsep.web import protocol
from rtsep.web.stage import Stage

STATE_S = 0.05
SPECTRUM_LOOKS = 2
"""A spectrum is sent with every second state."""
MOST_VIEWERS = 32
DEVICES_S = 5.0


class Viewer:
    """One connection. Messages to it are dropped while one is under way, except those that come once."""

    def __init__(self, socket: WebSocket, spectra: bool) -> None:
        self.socket = socket
        self.spectra = spectra
        self.desk: Desk | None = None
        self.seen: dict[str, object] = {}
        """What it knows of that which comes only when it has changed."""
        self._lock = asyncio.Lock()

    @property
    def is_busy(self) -> bool:
        """Whether it has not taken the last message yet."""
        return self._lock.locked()

    async def send(self, *messages: str | bytes) -> None:
        """Send them one after the other. What fails because the page has gone is no error."""
        async with self._lock:
            with contextlib.suppress(Exception):
                for message in messages:
                    await (
                        self.socket.send_text(message) if isinstance(message, str) else self.socket.send_bytes(message)
                    )


class Hub:
    """Sends what is on a stage to the viewers."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.viewers: set[Viewer] = set()
        self._spectrum: tuple[Desk, Spectrum] | None = None
        self._queue: tuple[object, str] | None = None
        self._sending: set[asyncio.Task[None]] = set()
        self._devices = protocol.devices_message([], [])
        self._devices_due = 0.0

    async def run(self) -> None:
        """Until it is cancelled."""
        turn = 0
        while True:
            if self.viewers:
                turn += 1
                await self._look(turn % SPECTRUM_LOOKS == 0)
            await asyncio.sleep(STATE_S)

    async def _look(self, with_spectrum: bool) -> None:
        desk = self.stage.desk
        if desk is None:
            waiting = protocol.waiting(self.stage.text)
            for viewer in self.viewers:
                self._send(viewer, self._news(viewer, {"waiting": waiting}))
            return
        await self._find_devices(desk)
        state = desk.state()
        queue = self._queue_message(desk, state)
        message = protocol.state_message(state)
        spectrum = self._columns(desk) if with_spectrum else None
        for viewer in self.viewers:
            news = self._news(viewer, {"waiting": "", "queue": queue, "devices": self._devices})
            self._send(viewer, [*news, message, *([spectrum] if spectrum and viewer.spectra else [])])

    def _news(self, viewer: Viewer, messages: dict[str, str]) -> list[str]:
        if viewer.is_busy:
            return []
        new = [message for kind, message in messages.items() if message and viewer.seen.get(kind) != message]
        viewer.seen |= messages
        return new

    def _send(self, viewer: Viewer, messages: list[str] | list[str | bytes]) -> None:
        if messages and not viewer.is_busy:
            task = asyncio.create_task(viewer.send(*messages))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    def _columns(self, desk: Desk) -> bytes | None:
        if not any(viewer.spectra for viewer in self.viewers):
            return None
        if self._spectrum is None or self._spectrum[0] is not desk:
            self._spectrum = desk, desk.spectrum()
        columns = self._spectrum[1].look()
        return protocol.spectrum_message(columns) if len(columns.levels_db) else None

    def _queue_message(self, desk: Desk, state: State) -> str:
        """Made anew only when it may have changed: a queue can be long. Lengths are corrected while a song plays."""
        known = desk, state.queue_changes, state.player.track, state.player.length_s
        if self._queue is None or self._queue[0] != known:
            self._queue = known, protocol.queue_message(desk.queue())
        return self._queue[1]

    async def _find_devices(self, desk: Desk) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._devices_due:
            return
        self._devices_due = now + DEVICES_S
        with contextlib.suppress(RtsepError):
            outputs = [] if self.stage.output == "browser" else await asyncio.to_thread(desk.devices, "output")
            inputs = await asyncio.to_thread(desk.devices, "input") if self.stage.live else []
            self._devices = protocol.devices_message(outputs, inputs)
