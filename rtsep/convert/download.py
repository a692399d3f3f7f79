"""One file from the web to disk: whole, or not there; what broke off goes on where it ended.

By Python's own urllib, which brings redirects, proxies and certificates. Of the libraries that would serve (pooch,
torch.hub, requests, httpx) none goes on with a part by itself, and that is most of what is here.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO
from urllib import request
from urllib.error import HTTPError, URLError

import msgspec
from msgspec import Struct

import rtsep
from rtsep.errors import RtsepError, one_line

STALL_S = 30.0
"""So long may a server say nothing; and in so long it must send a little at least."""
LEAST_BYTES_PER_S = 1000
TRIES = 5
WAIT_S = 1.0
"""Before the second try; doubled for each further one."""
BLOCK_BYTES = 1 << 18
KEPT = "what has come is kept, run it again to go on"


class _Broken(Exception):
    """The transfer ended before the file did: worth another try."""


class _Origin(Struct, frozen=True):
    """Of a part: whence it came, which version of the file it is (an ETag, or a date; empty if unknown), whole size."""

    address: str
    version: str
    size: int


class _Redirects(request.HTTPRedirectHandler):
    """Follows to http and https alone, and never from the second back to the first."""

    def redirect_request(
        self, req: request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> request.Request | None:
        if req.type == "https" and not newurl.lower().startswith("https:"):
            raise HTTPError(newurl, code, f"redirection from https to {newurl}, which is not followed", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(
    address: str,
    path: Path,
    *,
    size: int | None,
    sha256: str | None,
    known_by: str,
    progress: Callable[[int, int], None],
    notice: Callable[[str], None],
) -> str:
    """Fetch `address` to `path`, by way of `path`.part, and return its sha256.

    Args:
        size, sha256: bytes and checksum that it must have, where they are known.
        known_by: how the checksum is known, for who finds another one: "published by its author".
        progress: called with the bytes that are here, and those of the whole.
        notice: called with a line when the transfer broke off and goes on.
    Raises RtsepError in one line. Nothing is at `path` then; of a transfer that broke off the part stays, and the next
    call goes on with it if the server still has the same file.
    """
    part = path.with_name(path.name + ".part")
    for attempt in range(TRIES):
        try:
            _transfer(address, part, size, progress)
            break
        except _Broken as broken:
            if attempt == TRIES - 1:
                raise RtsepError(f"cannot fetch {address}: {broken}, {TRIES} times; {KEPT}") from broken
            notice(f"{address}: {broken}; trying again")
            time.sleep(WAIT_S * 2**attempt)
    try:
        with part.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if sha256 not in (None, found):
            _discard(part)
            raise RtsepError(f"{address} is another file: its sha256 is {found}, and {sha256} was {known_by}")
        part.replace(path)
        _discard(part)
    except OSError as error:
        raise RtsepError(f"cannot keep {path}: {error.strerror}") from error
    return found


def _transfer(address: str, part: Path, size: int | None, progress: Callable[[int, int], None]) -> None:
    """Bring `part` to its full length, from where it ends."""
    origin = _read_origin(part)
    here = part.stat().st_size if origin and origin.address == address and part.is_file() else 0
    if origin and here == origin.size and size in (None, here):
        return
    if not (origin and origin.version and here < origin.size):
        here = 0
    headers = {"User-Agent": f"rtsep/{rtsep.__version__}"}
    if origin and here:
        headers |= {"Range": f"bytes={here}-", "If-Range": origin.version}
    try:
        response = _open(request.Request(address, headers=headers))
    except HTTPError as error:
        error.close()
        if here and error.code == 416:
            _discard(part)
            raise _Broken("its server has nothing from there on") from error
        raise RtsepError(f"cannot fetch {address}: {error.code} {one_line(error.reason)}") from error
    except (OSError, HTTPException, ValueError) as error:
        reason = one_line(error.reason if isinstance(error, URLError) else error)
        raise RtsepError(f"cannot fetch {address}: {reason}{f'; {KEPT}' if here else ''}") from error
    with response:
        begin, total = _extent(response)
        if begin and origin and (begin, total) != (here, origin.size):
            _discard(part)
            raise _Broken("its server sent another part than was asked for")
        if total is None and size is None:
            raise RtsepError(f"cannot fetch {address}: its server does not tell how long it is")
        if None not in (total, size) and total != size:
            raise RtsepError(f"{address} has {total} bytes, and {size} were published: it is another file")
        total = total or size or 0
        version = response.headers.get("ETag", "")
        if not version or version.startswith("W/"):  # "weak": not the same to the byte
            version = response.headers.get("Last-Modified", "")
        try:
            with part.open("r+b" if begin else "wb") as file:
                if not begin:
                    _origin_path(part).write_bytes(msgspec.json.encode(_Origin(address, version, total)))
                file.seek(begin)
                for block in _blocks(response, begin, total):
                    file.write(block)
                    progress(file.tell(), total)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise RtsepError(f"cannot write {part}: {error.strerror}") from error
        if _read(response, 1):
            _discard(part)
            raise RtsepError(f"{address} is longer than the {total} bytes that were published: it is another file")


def _open(asked: request.Request) -> HTTPResponse:
    """By an opener that knows nothing but http and https: `file:` and the like lead nowhere."""
    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler,
        request.HTTPHandler,
        request.HTTPSHandler,
        request.HTTPDefaultErrorHandler,
        request.HTTPErrorProcessor,
        request.UnknownHandler,
        _Redirects,
    ):
        opener.add_handler(handler())
    return opener.open(asked, timeout=STALL_S)


def _extent(response: HTTPResponse) -> tuple[int, int | None]:
    """(byte at which the answer begins, bytes of the whole file or None)."""
    if response.status == 206:
        span = re.fullmatch(r"bytes (\d{1,15})-\d{1,15}/(\d{1,15})", response.headers.get("Content-Range", ""))
        return (int(span[1]), int(span[2])) if span else (-1, None)
    length = re.fullmatch(r"\d{1,15}", response.headers.get("Content-Length", ""))
    return 0, int(length[0]) if length else None


def _blocks(response: HTTPResponse, begin: int, total: int) -> Iterator[bytes]:
    """What comes, up to `total`. Raises _Broken where it ends before, stalls, or only trickles."""
    done = mark = begin
    since = time.monotonic()
    while done < total:
        block = _read(response, min(BLOCK_BYTES, total - done))
        if not block:
            raise _Broken(f"the connection ended at byte {done} of {total}")
        yield block
        done += len(block)
        now = time.monotonic()
        if now - since > STALL_S:
            if done - mark < LEAST_BYTES_PER_S * (now - since):
                raise _Broken(f"only {done - mark} bytes came in {now - since:.0f} s")
            since, mark = now, done


def _read(response: HTTPResponse, count: int) -> bytes:
    """As much as is there, `count` bytes at most; empty at the end."""
    try:
        return response.read1(count)
    except TimeoutError as error:
        raise _Broken(f"nothing came for {STALL_S:g} s") from error
    except (OSError, HTTPException, ValueError) as error:
        raise _Broken(f"the connection broke ({one_line(error)})") from error


def _origin_path(part: Path) -> Path:
    return part.with_name(part.name + ".origin")


def _discard(part: Path) -> None:
    """It, and what is known of it."""
    part.unlink(missing_ok=True)
    _origin_path(part).unlink(missing_ok=True)


def _read_origin(part: Path) -> _Origin | None:
    try:
        return msgspec.json.decode(_origin_path(part).read_bytes(), type=_Origin)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
