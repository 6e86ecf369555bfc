"""When jobs over a quota come back to a worker. Pure.

To look at a job again costs about as much as to begin one. So of thousands that wait for a quota, a few come
back each second, not all of them each time: each comes back when about half of those before it have had their
turn, judged by how fast its space (or function) gets on. A job is so looked at a few times, however long it
waits, and there are always more than the quota lets begin.

Every worker knows only its own part: what it postponed and what it began.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict, deque

_LOOKS_PER_S = 20.0
"""At least so many come back, so that a quota which was raised, or jobs that became shorter, are noticed."""
_AHEAD = 2.0
"""How many times faster they come back than they began lately."""
_BEGUN_KEPT = 50
_WAITING_MAX = 50_000
"""More are not counted: the longest delay holds by far."""
_LINES_MAX = 1000


class _Line:
    """Of one space or function."""

    def __init__(self) -> None:
        self.due: list[float] = []
        """A heap: when those that wait come back."""
        self.begun: deque[float] = deque(maxlen=_BEGUN_KEPT)

    def looks_per_s(self, now_s: float) -> float:
        if len(self.begun) < 2:
            return _LOOKS_PER_S
        return max(_LOOKS_PER_S, _AHEAD * len(self.begun) / max(now_s - self.begun[0], 0.1))


class QuotaTurns:
    """Keys are what the quota is of. Times: seconds, monotonic."""

    def __init__(self, *, first_s: float, longest_s: float) -> None:
        """No job comes back sooner than after `first_s`, or later than after `longest_s`."""
        self._first_s = first_s
        self._longest_s = longest_s
        self._lines: OrderedDict[tuple[str, ...], _Line] = OrderedDict()

    def began(self, key: tuple[str, ...], now_s: float) -> None:
        """A job began; of keys without a job that waits nothing is kept."""
        if line := self._lines.get(key):
            line.begun.append(now_s)

    def delay_s(self, key: tuple[str, ...], now_s: float) -> float:
        """Of one more that has to wait."""
        line = self._lines.setdefault(key, _Line())
        self._lines.move_to_end(key)
        if len(self._lines) > _LINES_MAX:
            self._lines.popitem(last=False)
        while line.due and line.due[0] <= now_s:
            heapq.heappop(line.due)
        turn_s = len(line.due) / line.looks_per_s(now_s)
        delay_s = min(max(turn_s, self._first_s), self._longest_s)
        if len(line.due) < _WAITING_MAX:
            heapq.heappush(line.due, now_s + delay_s)
        return delay_s
