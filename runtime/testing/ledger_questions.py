"""The part of the `Ledger` contract about what can be asked and what is deleted; see `ledger`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runtime.errors import ConflictError
from runtime.messages import JobState, StoredBytes
from runtime.ports import Ledger, LedgerQuery, NotClaimed
from runtime.testing.ledger_samples import (
    HOUR,
    LEASE,
    NOW,
    ask,
    claimed,
    ended,
    entry_of,
    ledger_job,
    outcome_of,
)
from sandbox.api import OutcomeKind


class LedgerQuestionsContract:
    """Finding, counting, pages, deletion."""

    # --- questions ------------------------------------------------------------------------------

    async def test_find_pages_newest_first(self, ledger: Ledger) -> None:
        jobs = [ledger_job(at_ms=NOW + i) for i in range(5)]
        for job in jobs:
            await ledger.accept(job, now_ms=NOW)
        await ledger.accept(ledger_job("mp-2"), now_ms=NOW)
        query = LedgerQuery(space_id="mp-1")
        page, total = await ledger.find(query, offset=1, limit=2)
        assert ([entry.job for entry in page], total) == (jobs[3:1:-1], 5)
        assert await ledger.find(query, offset=9, limit=2) == ([], 5)
        assert await ledger.find(query, offset=0, limit=0) == ([], 5)
        assert (await ledger.find(LedgerQuery(), offset=0, limit=1))[1] == 6

    async def test_brief_entries_lack_arguments_environment_and_value_alone(
        self, ledger: Ledger
    ) -> None:
        waiting, done, failed = (ledger_job(at_ms=NOW + i) for i in range(3))
        await ledger.accept(waiting, now_ms=NOW)
        await ended(ledger, done, JobState.SUCCEEDED, OutcomeKind.OK, NOW)
        await ended(ledger, failed, JobState.FAILED, OutcomeKind.FUNCTION_ERROR, NOW)
        page, total = await ledger.find(LedgerQuery(), offset=0, limit=9, brief=True)
        whole, _ = await ledger.find(LedgerQuery(), offset=0, limit=9)
        assert total == 3
        assert [entry.job.args for entry in whole] == [waiting.args] * 3
        for entry, full in zip(page, whole, strict=True):
            assert entry.job == replace(full.job, args=b"", env_sealed=b"")
            outcome = full.outcome and replace(full.outcome, value=None)
            assert entry == replace(full, job=entry.job, outcome=outcome)

    async def test_known_are_those_with_an_entry(self, ledger: Ledger) -> None:
        waiting, done, dropped, never = (ledger_job() for _ in range(4))
        await ledger.accept(waiting, now_ms=NOW)
        for job in (done, dropped):
            await ended(ledger, job, JobState.SUCCEEDED, OutcomeKind.OK, NOW)
        await ledger.drop(dropped.job_id)
        ids = [job.job_id for job in (waiting, done, dropped, never)]
        assert await ledger.known(ids) == {waiting.job_id, done.job_id}
        assert await ledger.known([]) == frozenset()

    async def test_stored_bytes_are_kept_as_references(self, ledger: Ledger) -> None:
        where = StoredBytes(key="jobs/mp-1/x/args", size=9, digest="0" * 64)
        job = replace(ledger_job(), args=b"", args_stored=where)
        assert (await ledger.accept(job, now_ms=NOW)).job == job
        claim = await claimed(ledger, job)
        result = replace(outcome_of(claim), value=None, value_stored=where)
        assert await ledger.finish(claim, JobState.SUCCEEDED, result, now_ms=NOW)
        assert (await entry_of(ledger, job)).outcome == result
        page, _ = await ledger.find(LedgerQuery(), offset=0, limit=1, brief=True)
        assert page[0].job.args_stored == where

    async def test_find_and_count_by_everything(self, ledger: Ledger) -> None:
        dead, failed, queued = ledger_job(function="a"), ledger_job(function="b"), ledger_job()
        await ended(ledger, dead, JobState.DEAD, OutcomeKind.SANDBOX_LOST, NOW)
        await ended(ledger, failed, JobState.FAILED, OutcomeKind.FUNCTION_ERROR, NOW)
        await ledger.accept(queued, now_ms=NOW)
        later = ledger_job("mp-2", at_ms=NOW + HOUR)
        await ledger.accept(later, now_ms=NOW)

        async def found(query: LedgerQuery) -> set[str]:
            page, total = await ledger.find(query, offset=0, limit=99)
            assert total == len(page)
            assert sum((await ledger.count(query)).values()) == total
            return {entry.job.job_id for entry in page}

        over = frozenset({JobState.DEAD, JobState.FAILED})
        assert await found(LedgerQuery(states=frozenset({JobState.DEAD}))) == {dead.job_id}
        assert await found(LedgerQuery(states=over)) == {dead.job_id, failed.job_id}
        assert await found(LedgerQuery(states=over, function="b")) == {failed.job_id}
        assert await found(LedgerQuery(states=frozenset())) == set()
        assert await found(LedgerQuery(space_id="mp-2")) == {later.job_id}
        assert await found(LedgerQuery(from_ms=NOW + 1)) == {later.job_id}
        assert await found(LedgerQuery(to_ms=NOW)) == set()
        assert await found(LedgerQuery(from_ms=NOW, to_ms=NOW + HOUR, function="hello")) == {
            queued.job_id
        }
        assert await ledger.count(LedgerQuery(space_id="mp-1")) == {
            JobState.DEAD: 1,
            JobState.FAILED: 1,
            JobState.QUEUED: 1,
        }

    # --- deletion -------------------------------------------------------------------------------

    async def test_dropped_entry_is_gone_and_its_job_never_runs(self, ledger: Ledger) -> None:
        job, waiting = ledger_job(idempotency_key="k"), ledger_job()
        assert not await ledger.drop(job.job_id)
        await ledger.accept(job, now_ms=NOW)
        await ledger.accept(waiting, now_ms=NOW)
        assert not await ledger.drop(job.job_id)
        await ended(ledger, job, JobState.DEAD, OutcomeKind.SANDBOX_LOST, NOW)
        assert not await ledger.dropped(job.job_id)
        assert await ledger.drop(job.job_id)
        assert not await ledger.drop(job.job_id)
        assert await ledger.dropped(job.job_id)
        assert await ledger.read(job.job_id) is None
        assert await ledger.count(LedgerQuery()) == {JobState.QUEUED: 1}
        assert (await ledger.find(LedgerQuery(), offset=0, limit=9))[1] == 1
        assert await ask(ledger, job, at_ms=NOW + HOUR) is NotClaimed.OVER
        assert not await ledger.expire(job, now_ms=NOW)
        assert await ledger.cancel(job.job_id, "mp-1", now_ms=NOW) is None
        with pytest.raises(ConflictError):
            await ledger.accept(job, now_ms=NOW)
        again = ledger_job(idempotency_key="k")  # its key holds all the same
        for there in (
            await ledger.accept(again, now_ms=NOW),
            await ledger.accepted(again, now_ms=NOW),
        ):
            assert there is not None
            assert (there.job.job_id, there.job.args) == (job.job_id, b"{}")
        assert await ledger.read(again.job_id) is None
        assert await ledger.prune(before_ms=NOW + 1) == 1
        assert not await ledger.dropped(job.job_id)

    async def test_prune_deletes_what_ended_before(self, ledger: Ledger) -> None:
        old, kept, running, queued = (ledger_job() for _ in range(4))
        await ended(ledger, old, JobState.SUCCEEDED, OutcomeKind.OK, NOW)
        await ended(ledger, kept, JobState.SUCCEEDED, OutcomeKind.OK, NOW + 1)
        await claimed(ledger, running)
        await ledger.accept(queued, now_ms=NOW)
        assert await ledger.prune(before_ms=NOW) == 0
        assert await ledger.prune(before_ms=NOW + 1) == 1
        assert await ledger.read(old.job_id) is None
        assert sum((await ledger.count(LedgerQuery())).values()) == 3

    async def test_entries_of_a_space_are_deleted(self, ledger: Ledger) -> None:
        job, running, other = ledger_job(), ledger_job(), ledger_job("mp-2")
        await ended(ledger, job, JobState.SUCCEEDED, OutcomeKind.OK, NOW)
        claim = await claimed(ledger, running)
        await ledger.accept(other, now_ms=NOW)
        await ledger.delete_space("mp-1")
        await ledger.delete_space("mp-1")
        assert await ledger.count(LedgerQuery()) == {JobState.QUEUED: 1}
        assert not await ledger.renew(claim, lease_ms=LEASE, now_ms=NOW)
        ok = outcome_of(claim)
        assert not await ledger.finish(claim, JobState.SUCCEEDED, ok, now_ms=NOW)
