"""Workers on machines whose clocks are moved neither lose their jobs nor take those of others."""

from __future__ import annotations

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from runtime.backends.documents_mongodb import Document
from runtime.backends.ledger.clock import LedgerClock
from runtime.backends.ledger_mongodb import LedgerMongodb
from runtime.ports import Claim, Clock, Ledger, NotClaimed, SystemClock
from runtime.testing.ledger_samples import GRACE, HOUR, LEASE, ask, ledger_job

Database = AsyncDatabase[Document]


class Moved(SystemClock):
    """A machine whose wall clock is set wrong, and can be set again."""

    def __init__(self, by_ms: int) -> None:
        self.by_ms = by_ms

    def now_ms(self) -> int:
        return super().now_ms() + self.by_ms


@pytest.mark.integration
class TestMovedClocks:
    @pytest.fixture
    async def ledger(self, database: Database) -> Ledger:
        ledger = LedgerMongodb(database)
        await ledger.ensure_indexes()
        return ledger

    @pytest.fixture
    def machines(self) -> list[Moved]:
        return [Moved(0), Moved(HOUR), Moved(-HOUR)]

    @pytest.fixture
    async def clocks(self, database: Database, machines: list[Moved]) -> list[Clock]:
        clocks = [LedgerClock(database.client, each, lease_s=LEASE / 1000) for each in machines]
        for clock in clocks:
            await clock.start()
        return list(clocks)

    async def test_all_machines_have_one_time(self, clocks: list[Clock]) -> None:
        times = [clock.now_ms() for clock in clocks]
        assert max(times) - min(times) < LEASE / 10

    async def test_nobody_takes_a_leased_job(
        self, ledger: Ledger, clocks: list[Clock], machines: list[Moved]
    ) -> None:
        for owner in range(3):
            job = ledger_job(at_ms=clocks[owner].now_ms())
            claim = await ask(ledger, job, at_ms=clocks[owner].now_ms())
            assert isinstance(claim, Claim)
            for machine, by_ms in zip(machines, (-2 * HOUR, 0, 3 * HOUR), strict=True):
                machine.by_ms = by_ms  # set again, while the job runs
            for clock in clocks:
                now_ms = clock.now_ms()
                assert await ask(ledger, job, at_ms=now_ms) is NotClaimed.RUNNING
                assert not await ledger.overdue(now_ms=now_ms, grace_ms=GRACE, limit=9)
            assert await ledger.renew(claim, lease_ms=LEASE, now_ms=clocks[owner].now_ms())
            entry = await ledger.read(job.job_id)
            assert entry is not None
            assert entry.leased_until_ms is not None
            assert LEASE / 2 < entry.leased_until_ms - clocks[0].now_ms() < LEASE * 1.5
            await ledger.cancel(job.job_id, "mp-1", now_ms=clocks[owner].now_ms())
