"""The contract of the ledger over every adapter."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from runtime.backends.documents_mongodb import Document
from runtime.backends.ledger_memory import LedgerMemory
from runtime.backends.ledger_mongodb import LedgerMongodb
from runtime.errors import OursError
from runtime.messages import JobState, Outcome
from runtime.ports import Claim, Ledger, LedgerQuery, NotClaimed, Quota
from runtime.testing.ledger import LedgerContract
from runtime.testing.ledger_samples import GRACE, NOW, ask, claimed, ledger_job
from runtime.testing.ledger_walk import LedgerWalk
from sandbox.api import OutcomeKind

Database = AsyncDatabase[Document]


class TestLedgerMemory(LedgerContract):
    @pytest.fixture
    def ledger(self) -> Ledger:
        return LedgerMemory()


@pytest.mark.integration
class TestLedgerMongodb(LedgerContract):
    @pytest.fixture
    async def ledger(self, database: Database) -> Ledger:
        ledger = LedgerMongodb(database)
        await ledger.ensure_indexes()
        return ledger

    @pytest.fixture
    def rivals(self, ledger: Ledger, rival_databases: Sequence[Database]) -> Sequence[Ledger]:
        return [LedgerMongodb(each) for each in rival_databases]

    async def test_random_steps_do_what_the_model_does(
        self, ledger: Ledger, database: Database
    ) -> None:
        exact = LedgerMongodb(database, quota_age_ms=0)
        walk = LedgerWalk(exact, LedgerMemory(), random.Random(20_261_121))
        await walk.run(steps=400)

    async def test_quota_sees_other_workers_a_moment_later(self, rivals: Sequence[Ledger]) -> None:
        quota = Quota(per_space=2, per_function=2)
        jobs = [ledger_job() for _ in range(6)]
        await claimed(rivals[0], jobs[0])
        await claimed(rivals[1], jobs[1])
        assert isinstance(await ask(rivals[0], jobs[2], at_ms=NOW + 249, quota=quota), Claim)
        for each, job in zip(rivals, jobs[3:], strict=False):
            answer = await ask(each, job, at_ms=NOW + 250, quota=quota)
            assert answer is NotClaimed.SPACE_QUOTA

    async def test_making_indexes_again_changes_nothing(self, ledger: Ledger) -> None:
        assert isinstance(ledger, LedgerMongodb)
        await ledger.ensure_indexes()

    async def test_entry_that_cannot_be_read_does_not_stop_the_others(
        self, ledger: Ledger, database: Database
    ) -> None:
        jobs = [ledger_job(at_ms=NOW + i) for i in range(3)]
        for job in jobs:
            await ledger.accept(job, now_ms=NOW)
        newer = {"$set": {"b": b"YJ\xff of a newer version"}}
        await database["jobs"].update_one({"_id": jobs[1].job_id}, newer)
        page, total = await ledger.find(LedgerQuery(), offset=0, limit=9)
        assert ([entry.job for entry in page], total) == ([jobs[2], jobs[0]], 3)
        due = await ledger.overdue(now_ms=NOW + 10 * GRACE, grace_ms=GRACE, limit=9)
        assert [entry.job for entry in due] == [jobs[0], jobs[2]]

    async def test_outcome_that_cannot_be_stored_is_an_error_and_changes_nothing(
        self, ledger: Ledger
    ) -> None:
        job = ledger_job()
        claim = await claimed(ledger, job)
        huge = Outcome(
            request_id=claim.attempt.request_id, kind=OutcomeKind.OK, value=b"x" * (17 << 20)
        )
        with pytest.raises(OursError, match=f"finish job {job.job_id}"):
            await ledger.finish(claim, JobState.SUCCEEDED, huge, now_ms=NOW)
        entry = await ledger.read(job.job_id)
        assert entry is not None
        assert entry.state is JobState.RUNNING
