"""Which of several programs is the active one: a lease that no wrong clock can take or keep.

The holder renews three times in the lease's length. Who sees the mark unchanged for the whole length, by
its own monotonic clock, takes it. The holder stops before: its time counts from when it asked.
"""

from __future__ import annotations

from runtime.ports import Clock, LeaseMark, LeaseStore

_RENEWALS_PER_LEASE = 3


class SoleLease:
    """One program's view of one lease. Not for use by several tasks at once."""

    def __init__(
        self, store: LeaseStore, clock: Clock, *, name: str, holder: str, lease_s: float
    ) -> None:
        """`holder` is this program's own name; nobody else has it, and it is not empty."""
        self._store = store
        self._clock = clock
        self._name = name
        self._holder = holder
        self._lease_s = lease_s
        self._mine: LeaseMark | None = None
        self._asked = 0.0
        self._watched: LeaseMark | None = None
        self._watched_since = 0.0

    @property
    def holds(self) -> bool:
        """Nobody else can have it. For the moment: without `hold` it ends."""
        return self._mine is not None and self._age() < self._lease_s

    @property
    def renew_in_s(self) -> float:
        """When `hold` should be called again; 0 or less: now."""
        return self._lease_s / _RENEWALS_PER_LEASE - self._age() if self._mine else 0.0

    async def hold(self) -> bool:
        """Take or renew the lease if that is due and possible. Raises UnavailableError; what was held is
        then held on as long as its time lasts."""
        if self.holds and self.renew_in_s > 0:
            return True
        if self._mine is not None:
            if await self._change(self._mine):
                return True
            self._mine = None
        seen = await self._store.read(self._name)
        if seen is None or seen.holder in {"", self._holder}:
            # Our own name: the answer to an earlier change was lost.
            return await self._change(seen)
        now = self._clock.monotonic()
        if seen != self._watched:
            self._watched, self._watched_since = seen, now
            return False
        if now - self._watched_since < self._lease_s:
            return False
        return await self._change(seen)

    async def give_back(self) -> None:
        """Another program may take it at once. Raises UnavailableError: then it has to wait."""
        mine, self._mine = self._mine, None
        if mine is not None:
            await self._store.change(self._name, mine, "")

    async def _change(self, before: LeaseMark | None) -> bool:
        asked = self._clock.monotonic()
        mark = await self._store.change(self._name, before, self._holder)
        if mark is None:
            return False
        self._mine, self._asked, self._watched = mark, asked, None
        return True

    def _age(self) -> float:
        return self._clock.monotonic() - self._asked
