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
from sandbox.pace import Pace

_SPACES_MAX = 10_000
"""Paces that are kept. The one that was not used for longest goes first, and comes back full."""


class AcceptRate:
    """`per_s` jobs of each space, and up to `burst` at once after a pause. `per_s` 0: no bound."""

    def __init__(
        self, *, per_s: float, burst: int, clock: Clock, spaces_max: int = _SPACES_MAX
    ) -> None:
        self._per_s = per_s
        self._burst = max(burst, 1)
        self._clock = clock
        self._spaces_max = spaces_max
        self._paces: OrderedDict[str, Pace] = OrderedDict()
        """By space, the one that was used last at the end."""
        self.refused = 0
        """Jobs, since the start; for metrics."""

    def take(self, space_id: str) -> None:
        """One job of the space. Raises RateExceededError when it has to wait."""
        if not self._per_s:
            return
        now = self._clock.monotonic()
        pace = self._paces.pop(space_id, None) or Pace(self._per_s, self._burst, now)
        self._paces[space_id] = pace
        if len(self._paces) > self._spaces_max:
            self._paces.popitem(last=False)
        wait_s = pace.admit(now)
        if wait_s > 0:
            self.refused += 1
            raise RateExceededError(
                f"space {space_id} asks for more than {self._per_s:g} asynchronous jobs a second"
                " (YUNHAN_ASYNC_ACCEPT_PER_SPACE_PER_S); try again in a moment",
                retry_after_s=ceil(wait_s),
            )
