"""The clock of jobs goes with the database, whatever happens to the machine's own."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from pymongo.errors import ServerSelectionTimeoutError

from runtime.backends.ledger.clock import LedgerClock
from runtime.errors import UnavailableError
from tests.harness.clock import FakeClock

LEASE_S = 30.0
HOUR_MS = 3_600_000


class Database:
    """A database with a clock of its own, and an answer that takes `trips_s` there and back."""

    def __init__(self, machine: FakeClock) -> None:
        self.machine = machine
        self.real = FakeClock(1_800_000_000_000)
        self.trips_s: list[float] = []
        self.away = False
        self.admin = self

    async def command(self, name: str) -> dict[str, Any]:
        assert name == "hello"
        if self.away:
            raise ServerSelectionTimeoutError("no servers")
        trip_s = self.trips_s.pop(0) if self.trips_s else 0.0
        self.pass_time(trip_s / 2)
        now = datetime.fromtimestamp(self.real.now_ms() / 1000, UTC).replace(tzinfo=None)
        self.pass_time(trip_s / 2)
        return {"localTime": now}

    def pass_time(self, seconds: float) -> None:
        """For both machines."""
        self.machine.advance(seconds)
        self.real.advance(seconds)


async def started(machine: FakeClock) -> tuple[LedgerClock, Database]:
    database = Database(machine)
    clock = LedgerClock(database, machine, lease_s=LEASE_S)  # type: ignore[arg-type]
    await clock.start()
    return clock, database


@pytest.mark.parametrize("moved_ms", [-24 * HOUR_MS, 0, 7 * HOUR_MS])
async def test_the_time_is_the_databases_on_every_machine(moved_ms: int) -> None:
    clock, database = await started(FakeClock(1_800_000_000_000 + moved_ms))
    assert clock.now_ms() == database.real.now_ms()
    database.pass_time(100)
    assert clock.now_ms() == database.real.now_ms()


@pytest.mark.parametrize("moved_ms", [-HOUR_MS, HOUR_MS])
async def test_moving_the_machines_clock_changes_nothing(moved_ms: int) -> None:
    machine = FakeClock()
    clock, database = await started(machine)
    machine._now_ms += moved_ms
    database.pass_time(10)
    assert clock.now_ms() == database.real.now_ms()
    await clock.follow()
    assert clock.now_ms() == database.real.now_ms()


async def test_the_shortest_look_counts() -> None:
    machine = FakeClock()
    database = Database(machine)
    database.trips_s = [4.0, 0.0, 2.0]
    clock = LedgerClock(database, machine, lease_s=LEASE_S)  # type: ignore[arg-type]
    await clock.start()
    assert clock.now_ms() == database.real.now_ms()


async def test_a_moved_database_is_followed_in_steps_short_beside_a_lease() -> None:
    clock, database = await started(FakeClock())
    database.real._now_ms += 12_000
    steps = []
    for _ in range(4):
        before = clock.now_ms()
        await clock.follow()
        steps.append(clock.now_ms() - before)
    assert steps == [5000, 5000, 2000, 0]
    database.real._now_ms -= 6000
    await clock.follow()
    assert database.real.now_ms() - clock.now_ms() == -1000


async def test_slow_looks_are_ignored() -> None:
    clock, database = await started(FakeClock())
    database.real._now_ms += 1000
    database.trips_s = [1.5]
    before = clock.now_ms()
    await clock.follow()
    assert clock.now_ms() - before == 1500


async def test_a_database_that_is_away_stops_the_start_but_not_the_clock() -> None:
    clock, database = await started(FakeClock())
    database.away = True
    with pytest.raises(UnavailableError):
        await clock.start()
    looked = 0

    async def sleep(seconds: float) -> None:
        nonlocal looked
        assert seconds == 5.0
        looked += 1
        if looked > 3:
            raise asyncio.CancelledError
        database.pass_time(seconds)

    clock._sleep = sleep
    with pytest.raises(asyncio.CancelledError):
        await clock.run()
    assert clock.now_ms() == database.real.now_ms()
