"""The server of the page: uvicorn in a thread of its own, on this machine alone unless a host is named."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import threading
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from rtsep.errors import RtsepError
from rtsep.system.guarded_thread import guarded_thread
from rtsep.web.gate import LOOPBACK_NAMES, Gate, Tickets, own_names
from rtsep.web.listening import Listeners
from rtsep.web.protocol import LONGEST_MESSAGE
from rtsep.web.routes import Routes
from rtsep.web.stage import Stage

LOOPBACK = "127.0.0.1"
REQUEST_LIMIT_S = 10.0
"""For the head of a request; who takes longer wants to occupy us."""
KEEP_ALIVE_S = 5
MOST_CONNECTIONS = 256
START_LIMIT_S = END_LIMIT_S = 10.0


class PatientProtocol(H11Protocol):
    """HTTP that closes connections which don't send a whole request head in time."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def handle_websocket_upgrade(self, event: Any) -> None:
        self._stop_watching()
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watching()
        super().connection_lost(exc)

    def _watch(self) -> None:
        waiting = self.cycle is None or self.cycle.response_complete
        if not waiting or self.transport.get_protocol() is not self:
            self._stop_watching()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_LIMIT_S, self.transport.close)

    def _stop_watching(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class Server:
    """Serves a stage. A context manager.

    Args:
        stage: what the pages see.
        host: None for this machine alone; else an address to listen on, such as 0.0.0.0, and pages need a ticket.
        port: 0 for any that is free.
        tickets: for the pages of other machines; needed with `host`.

    Attributes:
        listeners: browsers in which the sound is heard.
        port: where it listens.

    Raises RtsepError if the port is taken or the address is none of this machine.
    """

    def __init__(self, stage: Stage, host: str | None, port: int, tickets: Tickets | None) -> None:
        self.listeners = Listeners()
        self._socket = _listen(host or LOOPBACK, port)
        self.port: int = self._socket.getsockname()[1]
        names = LOOPBACK_NAMES if host is None else (*own_names(), host)
        config = uvicorn.Config(
            Gate(Routes(stage, self.listeners).app(), names, tickets),
            http=PatientProtocol,
            ws="websockets-sansio",
            ws_max_size=LONGEST_MESSAGE,
            ws_per_message_deflate=False,
            limit_concurrency=MOST_CONNECTIONS,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=1,
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            lifespan="on",
        )
        for name in ("uvicorn.error", "uvicorn.asgi"):  # a terminal has other uses; a page that fails says so itself
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._server = uvicorn.Server(config)
        self._failure: str | None = None
        self._over = threading.Event()
        self._thread = guarded_thread(self._run, "rtsep-web", "the server of the page", self._fail)

    def __enter__(self) -> Server:
        self._thread.start()
        waited = 0.0
        while not self._server.started:
            if self._over.wait(0.02) or (waited := waited + 0.02) > START_LIMIT_S:
                raise RtsepError(self._failure or "the server of the page does not start")
        return self

    def __exit__(self, *error: object) -> None:
        self._server.should_exit = True
        self._thread.join(END_LIMIT_S)
        self._socket.close()

    def _run(self) -> None:
        try:
            asyncio.run(self._server.serve([self._socket]))
        finally:
            self._over.set()

    def _fail(self, line: str) -> None:
        self._failure = line


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError as error:
        reason = (
            "in use; is rtsep ui running already? Name another --port"
            if error.errno == errno.EADDRINUSE
            else error.strerror
        )
        raise RtsepError(f"port {port} of {host}: {reason}") from error
    listening.listen(128)
    return listening
