"""What the server answers: the page's files, its two WebSockets, waveforms and uploads."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import numpy as np
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

from rtsep.control.commands.base import LONGEST_SONG_S
from rtsep.control.state import without_folders
from rtsep.errors import RtsepError
from rtsep.web import protocol
from rtsep.web.hub import MOST_VIEWERS, Hub, Viewer
from rtsep.web.listening import Listener, Listeners
from rtsep.web.stage import Stage
from rtsep.web.uploads import Uploads

STATIC = Path(__file__).parent / "static"
MOST_WAVEFORM_COLUMNS = 4096
COMMANDS_PER_S, COMMANDS_AT_ONCE = 100.0, 200.0
"""Of one connection. A fader that is dragged sends sixty a second."""
NOT_UNDERSTOOD, TOO_MANY, NOT_HERE = 1007, 1008, 1013


class Routes:
    """The application, without its gate."""

    def __init__(self, stage: Stage, listeners: Listeners) -> None:
        self._stage = stage
        self._listeners = listeners
        self._hub = Hub(stage)
        self._uploads: Uploads | None = None

    def app(self) -> Starlette:
        """The routes as an ASGI application."""
        return Starlette(
            routes=[
                Route("/", self._page),
                WebSocketRoute("/control", self._control),
                WebSocketRoute("/sound", self._sound),
                Route("/waveform", self._waveform),
                Route("/upload", self._upload, methods=["POST"]),
                Mount("/static", StaticFiles(directory=STATIC)),
            ],
            lifespan=self._lifespan,
        )

    @contextlib.asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        self._uploads = Uploads()
        hub = asyncio.create_task(self._hub.run())
        try:
            yield
        finally:
            hub.cancel()
            await asyncio.to_thread(self._uploads.close)

    async def _page(self, _request: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    async def _control(self, socket: WebSocket) -> None:
        if len(self._hub.viewers) >= MOST_VIEWERS:
            await socket.close(NOT_HERE)
            return
        await socket.accept()
        viewer = Viewer(socket, spectra="spectra" in socket.query_params)
        await viewer.send(protocol.hello(self._stage.live, self._stage.output))
        self._hub.viewers.add(viewer)
        try:
            await self._obey(socket, viewer)
        except WebSocketDisconnect:
            pass
        finally:
            self._hub.viewers.discard(viewer)

    async def _obey(self, socket: WebSocket, viewer: Viewer) -> None:
        """Carry out the commands of a connection until it sends something else."""
        clock = asyncio.get_running_loop().time
        credit, last = COMMANDS_AT_ONCE, clock()
        while True:
            text = (await socket.receive()).get("text")
            now = clock()
            credit, last = min(COMMANDS_AT_ONCE, credit + (now - last) * COMMANDS_PER_S), now
            if socket.client_state.name != "CONNECTED":
                return
            if credit < 1:
                await self._refuse(viewer, TOO_MANY, f"more than {COMMANDS_PER_S:g} commands a second")
                return
            credit -= 1
            try:
                command = protocol.read_command("" if text is None else text)
            except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
                await self._refuse(viewer, NOT_UNDERSTOOD, f"message not understood: {error}")
                return
            desk = self._stage.desk
            if desk is None:
                continue
            try:
                await asyncio.to_thread(desk.do, command)
            except RtsepError as error:
                await viewer.send(protocol.error_message(without_folders(str(error))))

    async def _refuse(self, viewer: Viewer, code: int, text: str) -> None:
        await viewer.send(protocol.error_message(text))
        with contextlib.suppress(RuntimeError):
            await viewer.socket.close(code)

    async def _sound(self, socket: WebSocket) -> None:
        if self._stage.output != "browser" or len(self._listeners.all) >= MOST_VIEWERS:
            await socket.close(NOT_HERE)
            return
        await socket.accept()
        listener = Listener()
        self._listeners.add(listener)
        sender = asyncio.create_task(_send_blocks(socket, listener))
        try:
            await socket.receive()  # listeners say nothing: whatever comes is the end
        finally:
            self._listeners.remove(listener)
            sender.cancel()
            with contextlib.suppress(RuntimeError):
                await socket.close()

    async def _waveform(self, request: Request) -> Response:
        """Lowest, highest and RMS sample of columns of the current song: float32 (count, 3), NaN where unknown."""
        try:
            begin_s, end_s = (float(request.query_params[name]) for name in ("begin_s", "end_s"))
            count = int(request.query_params["count"])
        except (KeyError, ValueError):
            return Response(status_code=400)
        desk = self._stage.desk
        possible = 0 <= begin_s < end_s <= LONGEST_SONG_S and 1 <= count <= MOST_WAVEFORM_COLUMNS
        if not (possible and math.isfinite(end_s)):
            return Response(status_code=400)
        overview = None if desk is None else await asyncio.to_thread(desk.overview)
        if overview is None:
            return Response(status_code=404)
        complete = overview.complete  # before the columns, or the last ones might never be asked for
        columns = overview.resample(begin_s, end_s, count).astype("<f4")
        headers = {"X-Complete": str(int(complete))}
        return Response(np.ascontiguousarray(columns).tobytes(), media_type="application/octet-stream", headers=headers)

    async def _upload(self, request: Request) -> Response:
        size = request.headers.get("content-length", "")
        if not (size.isdecimal() and len(size) < 16):
            return JSONResponse({"error": "Content-Length is missing"}, 411)
        if self._stage.live:
            return JSONResponse({"error": "songs cannot be added to live sound"}, 409)
        assert self._uploads is not None
        try:
            song = await self._uploads.receive(request.query_params.get("name", ""), int(size), request.stream())
            await asyncio.to_thread(self._stage.add_song, song)
        except ClientDisconnect:
            return Response(status_code=400)
        except RtsepError as error:
            text = without_folders(str(error))
            return JSONResponse({"error": text}, 422, {"Connection": "close"})  # the rest is not read
        return JSONResponse({"added": song.stem})


async def _send_blocks(socket: WebSocket, listener: Listener) -> None:
    with contextlib.suppress(Exception):  # the page has gone; who receives notices it too
        while True:
            await socket.send_bytes(await listener.blocks.get())
