"""Where encoders write that cannot pass a Python exception through."""

from __future__ import annotations

import os
from typing import Any, BinaryIO


class Sink:
    """A file for libsndfile or FFmpeg. An error cannot be passed through them: the first one is kept for `check`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._error: OSError | None = None
        self.tell = file.tell

    def write(self, data: Any) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self._error = self._error or error
            return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            return self._file.seek(offset, whence)  # which writes what is buffered
        except OSError as error:
            self._error = self._error or error
            return 0

    def read(self, count: int) -> bytes:
        return self._file.read(count)

    def check(self) -> None:
        if self._error is not None:
            raise self._error
