"""Resumable download of one file, complete under its name or not there at all.

Python's own urllib handles redirects, proxies and certificates. Resuming is most of the code here, and none of the
usual libraries (pooch, torch.hub, requests, httpx) does it by itself.
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
from rtsep.files import write_errors

STALL_S = 30.0
"""Longest time without data, and the span over which LEAST_BYTES_PER_S is measured."""
LEAST_BYTES_PER_S = 1000
TRIES = 5
WAIT_S = 1.0
"""Pause before the second attempt; doubled for each further one."""
BLOCK_BYTES = 1 << 18
KEPT = "the part downloaded so far is kept, run the command again to resume"


class Unreachable(RtsepError):
    """The file could not be downloaded from its address; another address may have it."""


class _Broken(Exception):
    """The transfer ended before the file did; another attempt may succeed."""


class _Origin(Struct, frozen=True):
    """Where a partial file comes from: address, version (an ETag or a date; empty if unknown), size of the whole."""

    address: str
    version: str
    size: int


class _Redirects(request.HTTPRedirectHandler):
    """Follows redirects to http and https alone, and never from https to http."""

    def redirect_request(
        self, req: request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> request.Request | None:
        if req.type == "https" and not newurl.lower().startswith("https:"):
            raise HTTPError(newurl, code, f"refused a redirect from https to {newurl}", headers, fp)
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
    """Download `address` to `path`, by way of `path`.part, and return its sha256.

    Args:
        size, sha256: expected bytes and checksum, where they are known.
        known_by: where the checksum comes from, for the error message: "published by its author".
        progress: called with the bytes downloaded and the bytes of the whole.
        notice: called with a line when the transfer broke off and resumes.
    Raises RtsepError, Unreachable if another address may help; nothing is at `path` then. After a broken transfer the
    part stays, and the next call resumes it if the server still has the same file.
    """
    part = path.with_name(path.name + ".part")
    for attempt in range(TRIES):
        try:
            _transfer(address, part, size, progress)
            break
        except _Broken as broken:
            if attempt == TRIES - 1:
                raise Unreachable(f"cannot download {address}: {broken} ({TRIES} attempts); {KEPT}") from broken
            notice(f"{address}: {broken}; trying again")
            time.sleep(WAIT_S * 2**attempt)
    with write_errors(path):
        with part.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if sha256 not in (None, found):
            discard(path)
            raise RtsepError(f"{address} is a different file: its sha256 is {found}, expected {sha256} ({known_by})")
        part.replace(path)
        discard(path)
    return found


def discard(path: Path) -> None:
    """Delete what an interrupted download to `path` has left for the next one to resume."""
    _discard(path.with_name(path.name + ".part"))


def _transfer(address: str, part: Path, size: int | None, progress: Callable[[int, int], None]) -> None:
    """Download the rest of `part`."""
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
            raise _Broken("the server refused to resume") from error
        raise Unreachable(f"cannot download {address}: {error.code} {one_line(error.reason)}") from error
    except (OSError, HTTPException, ValueError) as error:
        reason = one_line(error.reason if isinstance(error, URLError) else error)
        raise Unreachable(f"cannot download {address}: {reason}{f'; {KEPT}' if here else ''}") from error
    with response:
        begin, total = _extent(response)
        if begin and origin and (begin, total) != (here, origin.size):
            _discard(part)
            raise _Broken("the server sent a different range than requested")
        if total is None and size is None:
            raise RtsepError(f"cannot download {address}: the server does not report the file's size")
        if None not in (total, size) and total != size:
            raise RtsepError(f"{address} is a different file: it has {total} bytes, expected {size}")
        total = total or size or 0
        version = response.headers.get("ETag", "")
        if not version or version.startswith("W/"):  # "weak": may differ in bytes
            version = response.headers.get("Last-Modified", "")
        with write_errors(part), part.open("r+b" if begin else "wb") as file:
            if not begin:
                _origin_path(part).write_bytes(msgspec.json.encode(_Origin(address, version, total)))
            file.seek(begin)
            for block in _blocks(response, begin, total):
                file.write(block)
                progress(file.tell(), total)
            file.flush()
            os.fsync(file.fileno())
        if _read(response, 1):
            _discard(part)
            raise RtsepError(f"{address} is a different file: it has more than the expected {total} bytes")


def _open(asked: request.Request) -> HTTPResponse:
    """Open by http or https alone; `file:` and other schemes are unknown to this opener."""
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
    """(first byte of the response, bytes of the whole file or None)."""
    if response.status == 206:
        span = re.fullmatch(r"bytes (\d{1,15})-\d{1,15}/(\d{1,15})", response.headers.get("Content-Range", ""))
        return (int(span[1]), int(span[2])) if span else (-1, None)
    length = re.fullmatch(r"\d{1,15}", response.headers.get("Content-Length", ""))
    return 0, int(length[0]) if length else None


def _blocks(response: HTTPResponse, begin: int, total: int) -> Iterator[bytes]:
    """Blocks of the response up to byte `total`. Raises _Broken if it ends early, stalls or is too slow."""
    done = mark = begin
    since = time.monotonic()
    while done < total:
        block = _read(response, min(BLOCK_BYTES, total - done))
        if not block:
            raise _Broken(f"the connection closed at byte {done} of {total}")
        yield block
        done += len(block)
        now = time.monotonic()
        if now - since > STALL_S:
            if done - mark < LEAST_BYTES_PER_S * (now - since):
                raise _Broken(f"only {done - mark} bytes arrived in {now - since:.0f} s")
            since, mark = now, done


def _read(response: HTTPResponse, count: int) -> bytes:
    """The bytes available, `count` at most; empty at the end."""
    try:
        return response.read1(count)
    except TimeoutError as error:
        raise _Broken(f"no data for {STALL_S:g} s") from error
    except (OSError, HTTPException, ValueError) as error:
        raise _Broken(f"the connection failed ({one_line(error)})") from error


def _origin_path(part: Path) -> Path:
    return part.with_name(part.name + ".origin")


def _discard(part: Path) -> None:
    """Delete a partial file and its origin."""
    part.unlink(missing_ok=True)
    _origin_path(part).unlink(missing_ok=True)


def _read_origin(part: Path) -> _Origin | None:
    try:
        return msgspec.json.decode(_origin_path(part).read_bytes(), type=_Origin)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
