"""Songs that pages upload: streamed to a private folder, then decoded by a child process with limits.

The player opens only what that child has written, a FLAC file of plain samples; the uploaded bytes are deleted.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from rtsep.errors import RtsepError, one_line
from rtsep.system.spawn import ChildProcess

MOST_BYTES = 512 * 2**20
"""Of one upload: an hour of WAV at 24 bits and 48 kHz."""
MOST_SONGS = 200
MOST_STORED_BYTES = 8 * 2**30
DECODE_LIMIT_S = 300.0
CHUNK_LIMIT_S = 10.0
"""A page that sends nothing for so long has gone, or wants to occupy us."""


class Uploads:
    """The uploaded songs of one run, in a folder that only this user may enter. `close` deletes it.

    One upload is received and decoded at a time; others wait.
    """

    def __init__(self) -> None:
        try:
            self._folder = Path(tempfile.mkdtemp(prefix="rtsep-songs-"))  # mode 700
        except OSError as error:
            raise RtsepError(
                f"no temporary folder can be made ({error.strerror}); set TMPDIR to a writable folder"
            ) from error
        self._numbers = itertools.count(1)
        self._songs = 0
        self._stored = 0
        self._turn = asyncio.Lock()
        self._child: ChildProcess | None = None

    async def receive(self, name: str, size: int, chunks: AsyncIterator[bytes]) -> Path:
        """Store and decode one upload. Returns the decoded song; RtsepError, in which no folder is named.

        Args:
            name: what the page calls it; the file is called the same, as far as that is a name.
            size: bytes to come.
        """
        shown = safe_name(name)
        if not 0 < size <= MOST_BYTES:
            raise RtsepError(f"{shown}: {size} bytes, expected 1 to {MOST_BYTES}")
        async with self._turn:
            if self._songs >= MOST_SONGS or self._stored + size > MOST_STORED_BYTES:
                raise RtsepError(f"{shown}: this run has received {self._songs} songs already; restart rtsep ui")
            folder = self._folder / str(next(self._numbers))
            folder.mkdir()
            raw, song = folder / "upload", folder / f"{shown}.flac"
            try:
                await self._store(raw, shown, size, chunks)
                await asyncio.to_thread(self._decode, raw, song, shown)
                self._stored += song.stat().st_size
                self._songs += 1
            except OSError as error:
                raise RtsepError(f"{shown}: cannot be stored: {error.strerror}") from error
            finally:
                raw.unlink(missing_ok=True)
                if not song.exists():
                    shutil.rmtree(folder, ignore_errors=True)
            return song

    def close(self) -> None:
        """End what is being decoded, and delete all."""
        if (child := self._child) is not None:
            child.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _store(self, raw: Path, shown: str, size: int, chunks: AsyncIterator[bytes]) -> None:
        received = 0
        with raw.open("wb") as file:
            source = aiter(chunks)
            while True:
                try:
                    chunk = await asyncio.wait_for(anext(source), CHUNK_LIMIT_S)
                except StopAsyncIteration:
                    break
                except TimeoutError:
                    raise RtsepError(f"{shown}: nothing received for {CHUNK_LIMIT_S:g} s") from None
                received += len(chunk)
                if received > size:
                    break
                await asyncio.to_thread(file.write, chunk)
        if received != size:
            raise RtsepError(f"{shown}: received {received} bytes, expected {size}")

    def _decode(self, raw: Path, song: Path, shown: str) -> None:
        """Let a child decode `raw` to `song`. Called in a thread."""
        child = ChildProcess("rtsep.web.upload_worker", {"source": str(raw), "song": str(song), "name": shown})
        self._child = child
        try:
            answer = child.wait_limited(DECODE_LIMIT_S)
            if answer is None:
                raise RtsepError(f"{shown}: not decoded within {DECODE_LIMIT_S:g} s")
            said = child.stdout.readline(1000).decode(errors="replace").strip()
            if answer != 0 or said:
                song.unlink(missing_ok=True)
                reason = said or f"{shown}: cannot be decoded here: too large, or damaged"
                raise RtsepError(one_line(reason.replace(str(raw), shown)))
        finally:
            self._child = None
            child.close()


def safe_name(name: str) -> str:
    """The last part of a file name without its suffix, as the name of a file: printable, without separators."""
    last = name.replace("\\", "/").rpartition("/")[2]
    plain = "".join(letter for letter in last if letter.isprintable() and letter not in '<>:"|?*').strip(". ")
    stem, dot, suffix = plain.rpartition(".")
    plain = stem if dot and len(suffix) <= 5 and stem else plain
    while len(plain.encode(errors="replace")) > 150:
        plain = plain[:-1]
    return plain.encode(errors="ignore").decode().strip(". ") or "song"
