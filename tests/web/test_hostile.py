"""The server against pages and programs that mean harm. No player is needed: they get no further than its door."""

from __future__ import annotations

import asyncio
import http.client
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="the page needs the extra: pip install 'rtsep[web]'")
import websockets

from rtsep.control.state import without_folders
from rtsep.web import server as server_module
from rtsep.web.gate import Tickets
from rtsep.web.protocol import LONGEST_MESSAGE
from rtsep.web.server import Server
from rtsep.web.stage import Stage
from rtsep.web.uploads import safe_name


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(Stage(live=False, output="browser"), None, 0, None) as serving:
        yield serving


def ask(server: Server, method: str, path: str, body: bytes = b"", **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, named)
    return connection.getresponse()


def test_other_names_and_other_pages_are_refused(server: Server) -> None:
    port = server.port
    page = ask(server, "GET", "/")
    assert page.status == 200 and b"rtsep" in page.read()
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert ask(server, "GET", "/", Host=f"localhost:{port}").status == 200
    for host in (f"evil.example:{port}", f"127.0.0.1.evil.example:{port}", "127.0.0.1", f"192.168.0.1:{port}", ""):
        assert ask(server, "GET", "/", Host=host).status in (400, 421), host
    for origin in ("http://evil.example", "null", f"https://127.0.0.1:{port}", f"http://localhost:{port}"):
        assert ask(server, "POST", "/upload?name=a", b"x", Origin=origin).status == 403, origin
    assert ask(server, "GET", "/static/app.js", Sec_Fetch_Site="cross-site").status == 403


def test_no_path_leads_outside_the_folder_of_the_page(server: Server) -> None:
    for path in ("/static/../server.py", "/static/%2e%2e/server.py", "/static//etc/passwd", "/static/..%5cserver.py"):
        assert ask(server, "GET", path).status == 404, path


def test_garbage_closes_its_own_connection_only(server: Server) -> None:
    random_numbers = random.Random(5)
    words = ["", "null", "[]", "{", '{"command":"seek"}', '{"command":"seek","position_s":1e999}', "[" * 4000]
    words += ['{"command":"set_gain","stem":0,"gain_db":99}', '{"command":"help"}', '{"command":"play","x":1}']
    words += ["".join(chr(random_numbers.randrange(32, 0x2FFF)) for _ in range(40)) for _ in range(40)]
    words += ["x" * (2 * LONGEST_MESSAGE)]

    async def attack() -> None:
        url = f"ws://127.0.0.1:{server.port}/control"
        async with websockets.connect(url) as witness:
            for message in [*words, b"\x00\xff"]:
                async with websockets.connect(url) as other:
                    await other.send(message)
                    await asyncio.wait_for(other.wait_closed(), 30)
                    assert other.close_code in (1007, 1009), message
            assert json.loads(await witness.recv())["type"] == "hello"
            await witness.send('{"command":"toggle_pause"}')
            await (await witness.ping())
        with pytest.raises(websockets.InvalidStatus):
            await websockets.connect(url, origin=websockets.Origin("http://evil.example"))

    asyncio.run(attack())


def test_uploads_that_lie_leave_nothing(server: Server, short_wav: Path) -> None:
    answer = ask(server, "POST", "/upload?name=../../etc/noise.wav", b"RIFF" + b"\x00" * 3000)
    assert answer.status == 422
    text = json.loads(answer.read())["error"]
    assert text.startswith("noise") and "/" not in text
    assert ask(server, "POST", "/upload?name=a", b"", Content_Length=str(2**40)).status == 422
    good = ask(server, "POST", "/upload?name=My%20song.wav", short_wav.read_bytes())
    assert good.status == 200 and json.loads(good.read()) == {"added": "My song"}


def test_a_request_that_never_ends_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "REQUEST_LIMIT_S", 0.3)
    with Server(Stage(live=False, output="browser"), None, 0, None) as serving:
        connection = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=30)
        connection.connect()
        connection.sock.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1")
        assert connection.sock.recv(10) == b""


def test_a_ticket_lets_one_device_in() -> None:
    used = []
    tickets = Tickets(lambda: used.append(tickets.token))
    first = tickets.token
    session = tickets.exchange(first)
    assert session is not None and tickets.knows(session)
    assert tickets.exchange(first) is None and tickets.exchange("ü") is None
    assert used == [tickets.token] and tickets.token != first
    assert not tickets.knows("") and not tickets.knows(first)


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("a.flac", "a"),
        ("../../etc/passwd", "passwd"),
        ("C:\\x\\b.mp3", "b"),
        ("", "song"),
        ("..", "song"),
        ("\x00\n", "song"),
    ],
)
def test_names_of_uploads_are_names_only(name: str, plain: str) -> None:
    assert safe_name(name) == plain
    assert len(safe_name("é" * 500)) <= 150


def test_lines_for_pages_name_no_folder() -> None:
    assert without_folders("/home/me/My songs/a b.mp3: cut off", "/home/me/My songs") == "a b.mp3: cut off"
    assert without_folders("cannot read /var/tmp/x/y.flac") == "cannot read y.flac"
    assert without_folders("resampling to 48000 Hz, 1/2") == "resampling to 48000 Hz, 1/2"
