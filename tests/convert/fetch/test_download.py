"""Downloads against a real server: whole or not there, whatever the other side does."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rtsep.convert.fetch import download as module
from rtsep.convert.fetch.download import download
from rtsep.errors import RtsepError
from tests.convert.web import Web

CONTENT = np.random.default_rng(0).bytes(300_007)
SUM = hashlib.sha256(CONTENT).hexdigest()


class Fetching:
    """`download` to a file of one's own, and what it told meanwhile."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "weights.bin"
        self.part = folder / "weights.bin.part"
        self.notices: list[str] = []
        self.progress: list[tuple[int, int]] = []

    def __call__(self, address: str, size: int | None = None, sha256: str | None = None) -> str:
        return download(
            address,
            self.path,
            size=size,
            sha256=sha256,
            known_by="published by its author",
            progress=lambda done, total: self.progress.append((done, total)),
            notice=self.notices.append,
        )

    def fails(self, address: str, match: str, **known: object) -> str:
        """What it says, in one line, and nothing is there then."""
        with pytest.raises(RtsepError, match=match) as caught:
            self(address, **known)  # type: ignore[arg-type]
        assert not self.path.exists()
        assert "\n" not in str(caught.value)
        return str(caught.value)


@pytest.fixture
def fetch(tmp_path: Path) -> Fetching:
    return Fetching(tmp_path)


def test_a_file_arrives_whole_and_leaves_nothing_beside_it(web: Web, fetch: Fetching) -> None:
    address = web.page("/w.bin", CONTENT)
    assert fetch(address, len(CONTENT), SUM) == SUM
    assert fetch.path.read_bytes() == CONTENT
    assert [path.name for path in fetch.path.parent.iterdir()] == ["weights.bin"]
    assert fetch.progress[-1] == (len(CONTENT), len(CONTENT))
    assert fetch.notices == []


def test_what_is_cut_in_mid_file_goes_on_where_it_ended(web: Web, fetch: Fetching) -> None:
    address = web.page("/w.bin", CONTENT, cuts=[100_000, 50_001])
    assert fetch(address) == SUM
    assert fetch.path.read_bytes() == CONTENT
    assert web.ranges == [None, "bytes=100000-", "bytes=150001-"]
    assert len(fetch.notices) == 2
    assert "byte 100000 of 300007" in fetch.notices[0]


def test_a_later_run_goes_on_with_the_part(web: Web, fetch: Fetching) -> None:
    address = web.page("/w.bin", CONTENT, cuts=[1000] * module.TRIES)
    said = fetch.fails(address, rf"closed at byte {1000 * module.TRIES} of 300007 \({module.TRIES} attempts\)")
    assert "run the command again" in said
    assert fetch.part.stat().st_size == 1000 * module.TRIES
    web.asked.clear()
    assert fetch(address) == SUM
    assert web.ranges == [f"bytes={1000 * module.TRIES}-"]
    assert fetch.progress[-1] == (len(CONTENT), len(CONTENT))


def test_a_part_that_is_whole_needs_no_server(web: Web, fetch: Fetching) -> None:
    address = web.page("/w.bin", CONTENT)
    fetch(address)
    fetch.path.rename(fetch.part)
    origin = f'{{"address": "{address}", "version": "x", "size": {len(CONTENT)}}}'
    Path(f"{fetch.part}.origin").write_text(origin)
    web.asked.clear()
    assert fetch(address) == SUM
    assert web.asked == []


@pytest.mark.parametrize("change", ["another version", "no parts", "no version", "another address", "no origin"])
def test_a_part_of_something_else_is_not_gone_on_with(web: Web, fetch: Fetching, change: str) -> None:
    old = bytes(len(CONTENT))
    etag = None if change == "no version" else '"old"'
    address = web.page("/w.bin", old, etag=etag, cuts=[1000] * module.TRIES)
    fetch.fails(address, "run the command again")
    if change == "another address":
        address = web.page("/v.bin", CONTENT)
    else:
        web.page("/w.bin", CONTENT, etag=etag if change == "no parts" else '"new"', ranges=change != "no parts")
    if change == "no origin":
        Path(f"{fetch.part}.origin").write_text("?")
    assert fetch(address) == SUM
    assert fetch.path.read_bytes() == CONTENT


@pytest.mark.parametrize("part", ["bytes 7-300006/300007", "bytes 1000-300006/400000", "none"])
def test_a_server_that_sends_another_part_is_asked_for_the_whole(web: Web, fetch: Fetching, part: str) -> None:
    address = web.page("/w.bin", CONTENT, cuts=[1000], part=part)
    assert fetch(address) == SUM
    assert web.ranges == [None, "bytes=1000-", None]


def test_a_server_that_stalls_is_left(web: Web, fetch: Fetching, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STALL_S", 0.2)
    monkeypatch.setattr(module, "TRIES", 2)
    address = web.page("/w.bin", CONTENT, stalls_at=20_000)
    fetch.fails(address, r"no data for 0\.2 s \(2 attempts\)")
    assert fetch.part.stat().st_size == 40_000, "what did come is kept"


def test_a_server_that_only_trickles_is_left(web: Web, fetch: Fetching, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STALL_S", 0.2)
    monkeypatch.setattr(module, "TRIES", 1)
    fetch.fails(web.page("/w.bin", CONTENT, trickles=True), r"only \d+ bytes arrived in")


@pytest.mark.parametrize("told", [len(CONTENT) + 1, len(CONTENT) - 1])
def test_a_file_of_another_length_than_published_is_not_fetched(web: Web, fetch: Fetching, told: int) -> None:
    fetch.fails(web.page("/w.bin", CONTENT), f"has 300007 bytes, expected {told}", size=told)
    assert list(fetch.path.parent.iterdir()) == []


def test_without_a_length_the_published_one_counts(web: Web, fetch: Fetching, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRIES", 1)
    address = web.page("/w.bin", CONTENT, length=-1)
    fetch.fails(address, "does not report")
    fetch.fails(address, "more than the expected 300000 bytes", size=300_000)
    assert list(fetch.path.parent.iterdir()) == []
    fetch.fails(address, "closed at byte 300007 of 300008", size=300_008)
    assert fetch(web.page("/v.bin", CONTENT, length=-1), size=len(CONTENT)) == SUM


def test_another_sum_than_published_leaves_nothing(web: Web, fetch: Fetching) -> None:
    said = fetch.fails(web.page("/w.bin", CONTENT), f"its sha256 is {SUM}", sha256=SUM[::-1])
    assert "published by its author" in said
    assert list(fetch.path.parent.iterdir()) == []


@pytest.mark.parametrize("place", ["file:///etc/hostname", "ftp://127.0.0.1/w.bin", "data:,weights", "//", "\x1b[2J:"])
def test_redirects_lead_to_the_web_only(web: Web, fetch: Fetching, place: str) -> None:
    said = fetch.fails(web.page("/w.bin", redirect=place), "cannot download")
    assert said.isprintable()


def test_redirects_are_followed_but_not_for_ever(web: Web, fetch: Fetching) -> None:
    web.page("/new.bin", CONTENT)
    assert fetch(web.page("/w.bin", redirect=web.address + "/new.bin")) == SUM
    fetch.path.unlink()
    fetch.fails(web.page("/w.bin", redirect="/w.bin"), "infinite loop")


def test_redirects_do_not_lead_from_https_to_http() -> None:
    request = module.request.Request("https://example.org/w.bin")
    with pytest.raises(module.HTTPError, match="from https to http://example.org/w.bin"):
        module._Redirects().redirect_request(request, None, 302, "", None, "http://example.org/w.bin")  # type: ignore[arg-type]


def test_what_is_not_there_is_one_line(web: Web, fetch: Fetching, tmp_path: Path) -> None:
    fetch.fails(web.address + "/w.bin", "404 Not Found")
    fetch.fails(web.page("/busy.bin", status=503), "503")
    assert len(web.asked) == 2, "what a server refuses is not tried again"
    fetch.fails("http://127.0.0.1:1/w.bin", "refused")
    (tmp_path / "own.bin").write_bytes(CONTENT)
    for address in ((tmp_path / "own.bin").as_uri(), "github.internal/w.bin", "http://", "http://[::1/w.bin"):
        fetch.fails(address, "cannot download")


def test_a_full_disk_is_one_line(web: Web, fetch: Fetching) -> None:
    """In a process whose files may not grow beyond 100 kB."""
    code = (
        "import resource, sys; from pathlib import Path; from rtsep.convert.fetch.download import download\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "nothing = lambda *_: None\n"
        "known = dict(size=None, sha256=None, known_by='')\n"
        "download(sys.argv[1], Path(sys.argv[2]), progress=nothing, notice=nothing, **known)"
    )
    address = web.page("/w.bin", CONTENT)
    done = subprocess.run(
        [sys.executable, "-c", code, address, str(fetch.path)], stderr=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode == 1
    assert f"RtsepError: no space left to write {fetch.part}" in done.stderr.splitlines()[-1]
    assert not fetch.path.exists()
    assert fetch(address) == SUM, "with room again it goes on"
    assert web.ranges[-1] == "bytes=100000-"
