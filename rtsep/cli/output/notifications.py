"""What a session reports while it runs: every line once for each time that it came true."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

from rtsep.player.notices import NOTICES_KEPT, Notices

GONE_S = 10.0
"""A condition that was gone for this long is reported again when it is back. One that flickers, as on a machine that is
just too slow, is reported once."""


class Notifications:
    """Finds what is new, look by look.

    Args:
        notices: where events are noted.

    Attributes:
        reported: the last hundred notices and conditions that were new, in their order.
    """

    def __init__(self, notices: Notices) -> None:
        self.reported: deque[str] = deque(maxlen=NOTICES_KEPT)
        self._notices = notices
        self._count = 0
        self._messages: Counter[str] = Counter()
        self._last_true_s: dict[str, float] = {}

    def look(self, messages: Sequence[str], conditions: Sequence[str], now_s: float) -> list[str]:
        """Return the lines to report now.

        Args:
            messages: what has failed for good so far; two of them may be equal.
            conditions: what is wrong at the moment.
            now_s: seconds of a monotonic clock.
        """
        failed, self._messages = Counter(messages) - self._messages, Counter(messages)
        happened, self._count = self._notices.since(self._count)
        news = [*(line for line in conditions if self._is_new(line, now_s)), *happened]
        self.reported.extend(news)
        return [*failed.elements(), *news]

    def _is_new(self, condition: str, now_s: float) -> bool:
        last_s, self._last_true_s[condition] = self._last_true_s.get(condition), now_s
        return last_s is None or now_s - last_s > GONE_S
