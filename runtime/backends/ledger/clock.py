"""The clock of asynchronous jobs: the document database's, so that all programs compare leases by one.

Between two looks at the database's clock it goes on with this machine's monotonic clock. So a machine whose
clock is moved neither loses its jobs nor takes those of others: its wall clock is never asked. What remains
is half the time of one round trip, and what two machines' oscillators differ by in between.

When the database's own clock moves (set by hand, another primary, a machine that slept), this clock follows
in steps that are short beside a lease, so that whoever is alive renews its leases on the way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC

import structlog

from runtime.backends.documents_mongodb import Client, translated
from runtime.errors import OursError
from runtime.ports import Clock

_log = structlog.get_logger(__name__)

_SAMPLES = 3
_TRIP_MAX_S = 1.0
"""A look that took longer says too little, but for the first one."""
_FOLLOW_MIN_S = 1.0
_STEPS_PER_LEASE = 6


class LedgerClock(Clock):
    """See the module. `start` it before use, keep `run` running."""

    def __init__(
        self,
        client: Client,
        machine: Clock,
        *,
        lease_s: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._client = client
        self._machine = machine
        self._sleep = sleep
        self._step_max_ms = lease_s * 1000 / _STEPS_PER_LEASE
        self._every_s = max(_FOLLOW_MIN_S, lease_s / _STEPS_PER_LEASE)
        self._ahead_ms = 0.0
        """Of the monotonic clock."""

    def now_ms(self) -> int:
        return round(self._machine.monotonic() * 1000 + self._ahead_ms)

    def monotonic(self) -> float:
        return self._machine.monotonic()

    async def start(self) -> None:
        """Take the database's time. Raises UnavailableError."""
        looks = [await self._look() for _ in range(_SAMPLES)]
        _, self._ahead_ms = min(looks)

    async def run(self) -> None:
        """Follow it for ever. A database that does not answer is asked again; the clock goes on meanwhile."""
        while True:
            await self._sleep(self._every_s)
            try:
                await self.follow()
            except OursError as error:
                _log.warning("database_clock_not_read", error=str(error))

    async def follow(self) -> None:
        """One step towards it. Raises UnavailableError."""
        trip_s, ahead_ms = await self._look()
        if trip_s > _TRIP_MAX_S:
            return
        missing_ms = ahead_ms - self._ahead_ms
        if abs(missing_ms) > self._step_max_ms:
            _log.warning("database_clock_moved", seconds=round(missing_ms / 1000))
        self._ahead_ms += max(-self._step_max_ms, min(missing_ms, self._step_max_ms))

    async def _look(self) -> tuple[float, float]:
        """How long it took, and how far the database is ahead of the monotonic clock, in ms."""
        before = self._machine.monotonic()
        with translated("read the database's clock"):
            answer = await self._client.admin.command("hello")
        after = self._machine.monotonic()
        told = answer["localTime"].replace(tzinfo=UTC).timestamp()
        return after - before, (told - (before + after) / 2) * 1000
