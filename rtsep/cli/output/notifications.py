"""What a session tells its user while it runs: every line once for each time that it came true."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

from rtsep.player.notices import NOTICES_KEPT, Notices

GONE_S = 10.0
"""A condition that was gone for so long is told again when it is back. One that comes and goes, as where a machine is
just too slow, is told once."""


class Notifications:
    """Finds what is new, look by look.

    Args:
        notices: where whatever happens is noted.

    Attributes:
        told: the last hundred notices and conditions that were news, in their order.
    """

    def __init__(self, notices: Notices) -> None:
        self.told: deque[str] = deque(maxlen=NOTICES_KEPT)
        self._notices = notices
        self._count = 0
        self._messages: Counter[str] = Counter()
        self._last_true_s: dict[str, float] = {}

    def look(self, messages: Sequence[str], conditions: Sequence[str], now_s: float) -> list[str]:
        """The lines that are to be told now.

        Args:
            messages: what has failed for good until now; two of them may read the same.
            conditions: what is the matter at the moment.
            now_s: seconds, of a clock that never goes back.
        """
        failed, self._messages = Counter(messages) - self._messages, Counter(messages)
        happened, self._count = self._notices.since(self._count)
        news = [*(line for line in conditions if self._is_new(line, now_s)), *happened]
        self.told.extend(news)
        return [*failed.elements(), *news]

    def _is_new(self, condition: str, now_s: float) -> bool:
        last_s, self._last_true_s[condition] = self._last_true_s.get(condition), now_s
        return last_s is None or now_s - last_s > GONE_S
