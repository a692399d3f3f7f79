"""Who may talk to the server: requests by the right name, from the page itself, and with a session if one is needed.

A foreign page in the user's browser can make it send requests to this machine. Its name shows in `Origin`; a name of
its own that leads here (DNS rebinding) shows in `Host`. Programs send no `Origin`.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
from collections.abc import Callable, Iterable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
COOKIE = "rtsep"
MOST_SESSIONS = 32
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


class Tickets:
    """One-time tokens, each exchanged for a session once.

    Args:
        on_used: called when a token was used, and there is a new one.

    Attributes:
        token: the one that is good now.
    """

    def __init__(self, on_used: Callable[[], object] = lambda: None) -> None:
        self.token = secrets.token_urlsafe(16)
        self._on_used = on_used
        self._sessions: list[str] = []

    def exchange(self, token: str) -> str | None:
        """A new session for the token; None if it is not the one that is good now."""
        if not secrets.compare_digest(token.encode(), self.token.encode()):
            return None
        self.token, session = secrets.token_urlsafe(16), secrets.token_urlsafe(32)
        self._sessions = [*self._sessions[1 - MOST_SESSIONS :], session]
        self._on_used()
        return session

    def knows(self, session: str) -> bool:
        """Whether `session` was given out."""
        return any(secrets.compare_digest(session.encode(), known.encode()) for known in self._sessions)


class Gate:
    """Refuses what must not reach `app`, and adds the headers that bind the browser.

    Args:
        names: what the server may be called by, without the port; any IP address if `tickets` are needed.
        tickets: for requests that do not come from this machine; None: there are none but those.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str], tickets: Tickets | None) -> None:
        self._app = app
        self._names = {name.lower() for name in names}
        self._tickets = tickets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        answer = self._refusal(scope, Headers(scope=scope)) or self._joining(scope)
        if answer is None:
            await self._app(scope, receive, _with_headers(send))
        elif scope["type"] == "websocket":
            await WebSocketClose(1008)(scope, receive, send)
        else:
            await answer(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        host = headers.get("host", "").lower()
        if len(headers.getlist("host")) != 1 or not self._is_ours(scope, host):
            return PlainTextResponse("this server does not go by that name\n", 421)
        origin = headers.get("origin")
        if origin is not None and origin.lower() != f"http://{host}":
            return PlainTextResponse("requests of other pages are refused\n", 403)
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and scope["path"] != "/":
            return PlainTextResponse("requests of other pages are refused\n", 403)
        if self._tickets is None or _is_local(scope, host) or scope["path"] == "/join":
            return None
        if not self._tickets.knows(_session(headers)):
            return PlainTextResponse("open the link that rtsep ui shows in its terminal\n", 403)
        return None

    def _joining(self, scope: Scope) -> Response | None:
        """The answer to the link with the token: a session, and on to the page."""
        if self._tickets is None or scope["type"] != "http" or scope["path"] != "/join":
            return None
        token = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        session = self._tickets.exchange(token)
        if session is None:
            text = "this link was used already; the terminal of rtsep ui shows a new one\n"
            return PlainTextResponse(text, 403)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(COOKIE, session, httponly=True, samesite="strict")
        return answer

    def _is_ours(self, scope: Scope, host: str) -> bool:
        name, port = _split(host)
        if port != (scope.get("server") or ("", None))[1]:
            return False
        return name in self._names or (self._tickets is not None and _is_address(name))


def own_names() -> list[str]:
    """What this machine is called in its network."""
    name = socket.gethostname()
    return [*LOOPBACK_NAMES, name, f"{name.partition('.')[0]}.local"]


def _split(host: str) -> tuple[str, int | None]:
    """Name and port of a Host header; 80 without one, None for what is no number."""
    name, colon, port = host.rpartition(":")
    if not colon or host.endswith("]"):
        return host, 80
    return name, int(port) if port.isdecimal() and len(port) <= 5 else None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def _is_local(scope: Scope, host: str) -> bool:
    """Whether it comes from this machine and by a name of its own, which no proxy on it passes on."""
    client = (scope.get("client") or ("", 0))[0]
    return _is_address(client) and ipaddress.ip_address(client).is_loopback and _split(host)[0] in LOOPBACK_NAMES


def _session(headers: Headers) -> str:
    try:
        cookies = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    return cookies[COOKIE].value if COOKIE in cookies else ""


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message["headers"])
            for name, value in HEADERS.items():
                headers[name] = value
            message["headers"] = headers.raw
        await send(message)

    return send_with_headers
