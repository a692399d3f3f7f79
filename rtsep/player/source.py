"""A file as the source of a deck: a decoder thread that keeps the mixture ring filled around the play head."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np

from rtsep.audio.files import open_audio
from rtsep.audio.resample import ENGINE_RATE, EngineReader
from rtsep.dsp.deck import Deck
from rtsep.dsp.grid import HOP, SUPPORT_HOPS
from rtsep.engine.options import MAX_CONTEXT_FRAMES
from rtsep.errors import RtsepError

BLOCK = 8192
PREROLL = (MAX_CONTEXT_FRAMES + SUPPORT_HOPS) * HOP
"""Samples before a seek's target that are decoded too: the past that a network may look back to."""
PAST = PREROLL + ENGINE_RATE
"""Samples behind the play head that stay in the ring: the longest context and a second."""
PADDING = 128 * HOP
"""Zeros beyond the end, so that the last sample comes out of window, lookahead and the largest chunk."""
WAIT_S = 0.02


class FileSource:
    """Decodes a file into the mixture ring of a deck, held back by the callback's position. Nothing waits for it.

    A file that is damaged, shortened or unreadable from some point on is played to its last good sample;
    `message` then says so in one line.

    Args:
        path: any file that `rtsep.audio.files.open_audio` reads. RtsepError if it does not.
        deck: whose mixture ring this object writes, alone.
    """

    def __init__(self, path: Path | str, deck: Deck) -> None:
        self.path = Path(path)
        self._reader = EngineReader(open_audio(path))
        self._deck = deck
        self._ring = deck.mixture
        self._silence = np.zeros((deck.layout.channels, BLOCK), np.float32)
        self._length = self._reader.length
        self._message: str | None = None
        self._request: tuple[int, int] | None = None
        self._wake = threading.Condition()
        self._closing = False
        self._epoch = -1
        self._start = 0
        self._eof: int | None = None
        self._thread = threading.Thread(target=self._run, name="rtsep-decoder", daemon=True)
        self._thread.start()

    @property
    def length(self) -> int | None:
        """Samples at 44 100 Hz: what the header says, corrected when the end has been met; None if nobody knows."""
        return self._length

    @property
    def message(self) -> str | None:
        """Why the file ended early, in one line; None while all is well."""
        return self._message

    @property
    def notes(self) -> list[str]:
        """What the user should know about the file; nothing wrong."""
        return self._reader.reader.notes

    def start(self, epoch: int, target: int) -> None:
        """Begin anew as `epoch` for a play head that will jump to sample `target`.

        Returns at once; the newest call wins.
        """
        with self._wake:
            self._request = (epoch, max(0, target))
            self._wake.notify()

    def close(self) -> None:
        """End the thread and close the file. May be called twice."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(timeout=5.0)
        self._reader.close()

    # -- the decoder's thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._wake:
                if self._request is None and not self._closing and not self._has_room():
                    self._wake.wait(WAIT_S)
                if self._closing:
                    return
                request, self._request = self._request, None
            if request is not None:
                self._restart(*request)
            elif self._has_room():
                self._fill()

    def _has_room(self) -> bool:
        if self._epoch < 0:
            return False
        end = self._ring.end
        if self._eof is not None and end >= self._eof + PADDING:
            return False
        head = self._deck.callback.read()
        position = head.position if head.epoch == self._epoch else self._start
        return end + BLOCK <= position - PAST + self._ring.capacity

    def _restart(self, epoch: int, target: int) -> None:
        self._epoch = epoch
        self._start = target // HOP * HOP
        self._eof = None
        begin = self._start - PREROLL
        self._ring.restart(epoch, begin, self._start)
        try:
            self._reader.seek(max(0, begin))
        except Exception as error:
            self._end(error)
        while self._ring.end < 0:  # the silence before the song
            self._ring.write(self._silence[:, : min(BLOCK, -self._ring.end)])

    def _fill(self) -> None:
        if self._eof is not None:
            self._ring.write(self._silence)
            return
        try:
            block = self._reader.read(BLOCK)
        except Exception as error:
            self._end(error)
            return
        if block.shape[1] < BLOCK:
            # The end is made known before END passes it, or silence would count as song.
            self._end(None, self._ring.end + block.shape[1])
        if block.shape[1] > 0:
            self._ring.write(block)

    def _end(self, error: Exception | None, position: int | None = None) -> None:
        """The song ends at `position`, by default where the ring ends, and perhaps not as it should."""
        self._eof = max(self._ring.end if position is None else position, 0)
        self._ring.finish(self._eof)
        self._length = self._eof
        if isinstance(error, RtsepError):
            self._message = str(error)
        elif error is not None:
            self._message = f"{self.path}: cannot be read any further ({error})"
        elif self._reader.reader.truncated:
            self._message = self._reader.reader.truncated
