"""Events during playback, a line each, for whatever displays them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence

NOTICES_KEPT = 100


class Notices:
    """Lines in the order in which they were appended. The last hundred are kept, and all are counted.

    A reader remembers the count, so that equal lines are distinct and none is shown twice. Any thread may append, and
    any number may read.
    """

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=NOTICES_KEPT)
        self._count = 0
        self._lock = threading.Lock()

    def append(self, line: str) -> None:
        """Append one line."""
        self.extend([line])

    def extend(self, lines: Sequence[str]) -> None:
        """Append several lines, in their order."""
        with self._lock:
            self._lines.extend(lines)
            self._count += len(lines)

    def since(self, count: int) -> tuple[list[str], int]:
        """Return the lines after the first `count`, as far as they are kept, and how many there have been so far."""
        with self._lock:
            new = min(self._count - count, len(self._lines))
            return list(self._lines)[len(self._lines) - new :], self._count

    def __iter__(self) -> Iterator[str]:
        return iter(self.since(0)[0])
