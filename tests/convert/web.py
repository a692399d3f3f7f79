"""A real web server on this machine, whose files misbehave as they are told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Page:
    """A file; `cuts` are the bytes after which each of the first answers breaks off."""

    content: bytes = b""
    etag: str | None = '"1"'
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True  # whether parts can be had
    length: int | None = None  # told instead of the true one; -1 for none
    redirect: str | None = None
    status: int = 200
    stalls_at: int | None = None
    trickles: bool = False
    part: str | None = None  # Content-Range instead of the true one


class Web:
    """`address` of the server, its `pages` by their paths, and what was `asked` for: (path, Range or None)."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.pages: dict[str, Page] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.closing = threading.Event()

    def page(self, path: str, content: bytes = b"", **how: object) -> str:
        """Serve it, and return its address."""
        self.pages[path] = Page(content, **how)  # type: ignore[arg-type]
        return self.address + path

    @property
    def ranges(self) -> list[str | None]:
        return [asked for _, asked in self.asked]


@contextmanager
def serve() -> Iterator[Web]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            web.asked.append((self.path, asked))
            page = web.pages.get(self.path)
            if page is None or page.status != 200:
                self.send_error(page.status if page else 404)
                return
            if page.redirect:
                self.send_response(302)
                self.send_header("Location", page.redirect)
                self.end_headers()
                return
            begin = 0
            if asked and page.ranges and self.headers.get("If-Range") == page.etag:
                begin = int(asked.removeprefix("bytes=").removesuffix("-"))
            body, size = page.content[begin:], len(page.content)
            self.send_response(206 if begin else 200)
            if begin:
                self.send_header("Content-Range", page.part or f"bytes {begin}-{size - 1}/{size}")
            if page.length != -1:
                self.send_header("Content-Length", str(len(body) if page.length is None else page.length))
            if page.etag:
                self.send_header("ETag", page.etag)
            self.end_headers()
            if page.stalls_at is not None:
                self.wfile.write(body[: page.stalls_at])
                web.closing.wait(20)
            elif page.trickles:
                for number in range(len(body)):
                    self.wfile.write(body[number : number + 1])
                    if web.closing.wait(0.02):
                        break
            else:
                self.wfile.write(body[: page.cuts.pop(0)] if page.cuts else body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a client that has had enough

    with Server(("127.0.0.1", 0), Handler) as server:
        web = Web(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield web
        finally:
            web.closing.set()
            server.shutdown()
            thread.join()
