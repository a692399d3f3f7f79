"""The app's talk with the process that plays: commands at once, a look at the state in every frame."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from rtsep.ui.app.protocol import Look, Request, Update, done_decoder, update_decoder

FRAME_S = 0.05
"""From one look to the next: 20 a second at most, and fewer where drawing takes longer."""

Exchange = Callable[[bytes], bytes]
"""Sends a request and returns the reply; EOFError or OSError when the process that plays has gone."""


class Link:
    """Carries requests to the process that plays, one at a time.

    Args:
        exchange: see `Exchange`; it is called in a thread, since it waits.
        look: what to ask for in the next frame.
        show: shows an update; the next look comes after it.
        refused: receives why a command was not carried out.
    """

    def __init__(
        self,
        exchange: Exchange,
        look: Callable[[], Look],
        show: Callable[[Update], None],
        refused: Callable[[str], None],
    ) -> None:
        self._exchange, self._look, self._show, self._refused = exchange, look, show, refused
        self._requests: asyncio.Queue[Request] = asyncio.Queue()

    def send(self, request: Request) -> None:
        """Send a command, as soon as what was asked before has been answered."""
        self._requests.put_nowait(request)

    async def run(self) -> None:
        """Talk until the process that plays has gone, or ends this."""
        try:
            while True:
                await self._send_requests()
                self._show(update_decoder.decode(await self._ask(self._look())))
        except (EOFError, OSError):
            return

    async def _send_requests(self) -> None:
        """Wait a frame for commands, and send what there is."""
        try:
            requests = [await asyncio.wait_for(self._requests.get(), FRAME_S)]
        except TimeoutError:
            return
        while not self._requests.empty():
            requests.append(self._requests.get_nowait())
        for request in requests:
            error = done_decoder.decode(await self._ask(request)).error
            if error is not None:
                self._refused(error)

    async def _ask(self, request: Request | Look) -> bytes:
        return await asyncio.to_thread(self._exchange, _encoder.encode(request))


_encoder = msgspec.msgpack.Encoder()
