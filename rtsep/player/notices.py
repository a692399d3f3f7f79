"""What happens while sound plays, a line each, for whoever shows it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence

NOTICES_KEPT = 100


class Notices:
    """Lines in the order in which they came. The last hundred are kept, and all are counted.

    Who reads them remembers the count, so that none is missed because it reads like another, or told twice because
    older ones went. Any thread may append, and any number may read.
    """

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=NOTICES_KEPT)
        self._count = 0
        self._lock = threading.Lock()

    def append(self, line: str) -> None:
        """Add what has just happened."""
        self.extend([line])

    def extend(self, lines: Sequence[str]) -> None:
        """Add several, in their order."""
        with self._lock:
            self._lines.extend(lines)
            self._count += len(lines)

    def since(self, count: int) -> tuple[list[str], int]:
        """Those that came after the first `count`, as far as they are kept; and how many there have been by now."""
        with self._lock:
            new = min(self._count - count, len(self._lines))
            return list(self._lines)[len(self._lines) - new :], self._count

    def __iter__(self) -> Iterator[str]:
        return iter(self.since(0)[0])
