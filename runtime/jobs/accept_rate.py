"""How many asynchronous jobs of one space this program accepts a second: a token bucket of each space.

The bounds of the queue say how many jobs may wait; this one says how fast they may come, so that one space
cannot take all that broker and database can write. Each program counts for itself: several gateways accept
several times as much.
"""

from __future__ import annotations

from collections import OrderedDict
from math import ceil

from runtime.errors import RateExceededError
from runtime.ports import Clock

_SPACES_MAX = 10_000
"""Buckets that are kept. The one that was not used for longest goes first, and comes back full."""


class AcceptRate:
    """`per_s` jobs of each space, and up to `burst` at once after a pause. `per_s` 0: no bound."""

    def __init__(
        self, *, per_s: float, burst: int, clock: Clock, spaces_max: int = _SPACES_MAX
    ) -> None:
        self._per_s = per_s
        self._burst = float(max(burst, 1))
        self._clock = clock
        self._spaces_max = spaces_max
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """By space: jobs that it may have, and when that was counted."""
        self.refused = 0
        """Jobs, since the start; for metrics."""

    def take(self, space_id: str) -> None:
        """One job of the space. Raises RateExceededError when it has to wait."""
        if not self._per_s:
            return
        now = self._clock.monotonic()
        left, counted = self._buckets.pop(space_id, (self._burst, now))
        left = min(self._burst, left + (now - counted) * self._per_s)
        may = left >= 1
        self._buckets[space_id] = (left - 1 if may else left, now)
        if len(self._buckets) > self._spaces_max:
            self._buckets.popitem(last=False)
        if not may:
            self.refused += 1
            raise RateExceededError(
                f"space {space_id} asks for more than {self._per_s:g} asynchronous jobs a second"
                " (YUNHAN_ASYNC_ACCEPT_PER_SPACE_PER_S); try again in a moment",
                retry_after_s=ceil((1 - left) / self._per_s),
            )
