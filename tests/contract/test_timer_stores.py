"""The contracts of leases and of timers' states over every adapter."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from runtime.backends.documents_mongodb import Document
from runtime.backends.lease_memory import LeasesMemory
from runtime.backends.lease_mongodb import LeasesMongodb
from runtime.backends.timers_memory import TimersMemory
from runtime.backends.timers_mongodb import TimersMongodb
from runtime.ports import LeaseStore, TimerStore
from runtime.testing.lease_store import LeaseStoreContract
from runtime.testing.timer_store import KEY, STATE, TimerStoreContract

Database = AsyncDatabase[Document]


class TestLeasesMemory(LeaseStoreContract):
    @pytest.fixture
    def leases(self) -> LeaseStore:
        return LeasesMemory()


class TestTimersMemory(TimerStoreContract):
    @pytest.fixture
    def timers(self) -> TimerStore:
        return TimersMemory()


@pytest.mark.integration
class TestLeasesMongodb(LeaseStoreContract):
    @pytest.fixture
    def leases(self, database: Database) -> LeaseStore:
        return LeasesMongodb(database)

    @pytest.fixture
    def rivals(self, rival_databases: Sequence[Database]) -> Sequence[LeaseStore]:
        return [LeasesMongodb(each) for each in rival_databases]


@pytest.mark.integration
class TestTimersMongodb(TimerStoreContract):
    @pytest.fixture
    async def timers(self, database: Database) -> TimerStore:
        timers = TimersMongodb(database)
        await timers.ensure_indexes()
        return timers

    @pytest.fixture
    def rivals(
        self, timers: TimerStore, rival_databases: Sequence[Database]
    ) -> Sequence[TimerStore]:
        return [TimersMongodb(each) for each in rival_databases]

    async def test_fields_of_a_newer_version_are_ignored(
        self, timers: TimerStore, database: Database
    ) -> None:
        assert await timers.replace(KEY, None, STATE)
        await database["timers"].update_many({}, {"$set": {"mood": "good"}})
        assert await timers.states() == {KEY: STATE}
