"""The part of the `Ledger` contract that keeps jobs moving or ends them without a run; see `ledger`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import pytest

from runtime.messages import JobState, Outcome
from runtime.ports import Claim, Ledger, NotClaimed, Quota
from runtime.testing.ledger_samples import (
    GRACE,
    HOUR,
    LEASE,
    NOW,
    ask,
    claimed,
    ended,
    entry_of,
    ledger_job,
    outcome_of,
    overdue,
)
from sandbox.api import OutcomeKind


class LedgerUpkeepContract:
    """Cancelling, expiring, burying, quotas, overdue entries."""

    @pytest.fixture
    def ledger(self) -> Ledger:
        raise NotImplementedError

    @pytest.fixture
    def rivals(self, ledger: Ledger) -> Sequence[Ledger]:
        """The same ledger, as several programs would have it."""
        return [ledger] * 4

    # --- cancel, expire -------------------------------------------------------------------------

    async def test_queued_job_is_cancelled(self, ledger: Ledger) -> None:
        job = ledger_job()
        await ledger.accept(job, now_ms=NOW)
        entry = await ledger.cancel(job.job_id, "mp-1", now_ms=NOW + 1)
        assert entry is not None
        assert (entry.state, entry.ended_ms) == (JobState.CANCELLED, NOW + 1)
        assert await ask(ledger, job) is NotClaimed.OVER
        assert not await ledger.expire(job, now_ms=NOW)
        assert await ledger.cancel(job.job_id, "mp-1", now_ms=NOW + 2) == entry

    async def test_running_job_is_cancelled_and_its_worker_learns_it(self, ledger: Ledger) -> None:
        job = ledger_job()
        claim = await claimed(ledger, job)
        entry = await ledger.cancel(job.job_id, "mp-1", now_ms=NOW + 1)
        assert entry is not None
        assert entry.state is JobState.CANCELLED
        assert entry.leased_until_ms is None
        assert entry.attempts == (claim.attempt,)
        assert not await ledger.renew(claim, lease_ms=LEASE, now_ms=NOW + 2)
        ok = outcome_of(claim)
        assert not await ledger.finish(claim, JobState.SUCCEEDED, ok, now_ms=NOW + 2)
        assert await entry_of(ledger, job) == entry

    async def test_job_that_no_worker_saw_is_cancelled(self, ledger: Ledger) -> None:
        job = ledger_job()
        entry = await ledger.cancel(job.job_id, "mp-1", now_ms=NOW)
        assert entry is not None
        assert (entry.state, entry.job.job_id) == (JobState.CANCELLED, job.job_id)
        assert entry.job.space_id == "mp-1"
        assert await ledger.read(job.job_id) == entry
        assert await ask(ledger, job) is NotClaimed.OVER
        filled = await entry_of(ledger, job)
        assert (filled.job, filled.state) == (job, JobState.CANCELLED)

    async def test_jobs_of_other_spaces_are_not_cancelled(self, ledger: Ledger) -> None:
        job = ledger_job()
        await ledger.accept(job, now_ms=NOW)
        assert await ledger.cancel(job.job_id, "mp-2", now_ms=NOW) is None
        assert (await entry_of(ledger, job)).state is JobState.QUEUED

    async def test_cancel_and_claim_at_once_leave_a_cancelled_job(
        self, rivals: Sequence[Ledger]
    ) -> None:
        for _ in range(10):
            job = ledger_job()
            await asyncio.gather(
                ask(rivals[0], job), rivals[-1].cancel(job.job_id, "mp-1", now_ms=NOW)
            )
            assert (await entry_of(rivals[0], job)).state is JobState.CANCELLED

    async def test_expired_job_is_over(self, ledger: Ledger) -> None:
        unknown, queued = ledger_job(), ledger_job()
        await ledger.accept(queued, now_ms=NOW)
        for job in (unknown, queued):
            assert await ledger.expire(job, now_ms=NOW + HOUR)
            entry = await entry_of(ledger, job)
            assert (entry.state, entry.ended_ms) == (JobState.EXPIRED, NOW + HOUR)
            assert entry.job == job
            assert await ask(ledger, job, at_ms=NOW + HOUR) is NotClaimed.OVER
            assert not await ledger.expire(job, now_ms=NOW + HOUR)

    async def test_running_job_does_not_expire(self, ledger: Ledger) -> None:
        job = ledger_job()
        claim = await claimed(ledger, job)
        assert not await ledger.expire(job, now_ms=NOW + HOUR)
        assert await ledger.finish(claim, JobState.SUCCEEDED, outcome_of(claim), now_ms=NOW)

    # --- used up --------------------------------------------------------------------------------

    async def test_no_attempt_beyond_the_terms(self, ledger: Ledger) -> None:
        job = ledger_job(attempts_max=2)
        await claimed(ledger, job)
        last = await claimed(ledger, job, at_ms=NOW + LEASE)
        reason = outcome_of(last, OutcomeKind.WORKER_LOST)
        assert not await ledger.bury(job.job_id, reason, now_ms=NOW + LEASE)  # its lease holds
        at_ms = NOW + 2 * LEASE
        assert await ask(ledger, job, at_ms=at_ms) is NotClaimed.USED_UP
        assert await ledger.bury(job.job_id, reason, now_ms=at_ms)
        assert not await ledger.bury(job.job_id, reason, now_ms=at_ms)
        entry = await entry_of(ledger, job)
        assert (entry.state, entry.outcome) == (JobState.DEAD, reason)
        assert (entry.ended_ms, entry.leased_until_ms) == (at_ms, None)
        assert [attempt.kind for attempt in entry.attempts] == [None, None]
        assert await ask(ledger, job, at_ms=at_ms) is NotClaimed.OVER
        ok = outcome_of(last)
        assert not await ledger.finish(last, JobState.SUCCEEDED, ok, now_ms=at_ms)

    async def test_jobs_with_attempts_left_are_not_buried(self, ledger: Ledger) -> None:
        job = ledger_job(attempts_max=2)
        reason = Outcome(request_id="r", kind=OutcomeKind.WORKER_LOST)
        assert not await ledger.bury(job.job_id, reason, now_ms=NOW)
        await claimed(ledger, job)
        assert not await ledger.bury(job.job_id, reason, now_ms=NOW + LEASE)
        assert (await entry_of(ledger, job)).state is JobState.RUNNING

    async def test_a_claim_tells_of_the_attempt_that_never_told_its_end(
        self, ledger: Ledger
    ) -> None:
        job = ledger_job(attempts_max=4)
        first = await claimed(ledger, job)
        assert first.lost is None
        second = await claimed(ledger, job, at_ms=NOW + LEASE)
        assert second.lost == first.attempt
        ends = outcome_of(second, OutcomeKind.SANDBOX_LOST)
        await ledger.requeue(second, ends, not_before_ms=NOW + LEASE, now_ms=NOW + LEASE)
        third = await claimed(ledger, job, at_ms=NOW + LEASE)
        assert third.lost is None

    async def test_one_of_many_claims_tells_of_it(self, rivals: Sequence[Ledger]) -> None:
        for _ in range(5):
            job = ledger_job()
            lost = await claimed(rivals[0], job)
            answers = await asyncio.gather(*(ask(each, job, at_ms=NOW + LEASE) for each in rivals))
            told = [each.lost for each in answers if isinstance(each, Claim)]
            assert told == [lost.attempt]

    # --- quotas ---------------------------------------------------------------------------------

    async def test_quota_of_a_space(self, ledger: Ledger) -> None:
        quota = Quota(per_space=2, per_function=9)
        first = await claimed(ledger, ledger_job(function="a"))
        await claimed(ledger, ledger_job(function="b"), at_ms=NOW + 1)
        third = ledger_job(function="c")
        assert await ask(ledger, third, at_ms=NOW + 2, quota=quota) is NotClaimed.SPACE_QUOTA
        assert await ledger.read(third.job_id) is None
        other = ledger_job("mp-2")
        assert isinstance(await ask(ledger, other, quota=quota), Claim)
        await ledger.finish(first, JobState.SUCCEEDED, outcome_of(first), now_ms=NOW)
        assert isinstance(await ask(ledger, third, at_ms=NOW + 2, quota=quota), Claim)

    async def test_quota_of_a_function(self, ledger: Ledger) -> None:
        quota = Quota(per_space=9, per_function=1)
        await claimed(ledger, ledger_job(function="a"))
        second = ledger_job(function="a")
        await ledger.accept(second, now_ms=NOW)
        assert await ask(ledger, second, quota=quota) is NotClaimed.FUNCTION_QUOTA
        assert (await entry_of(ledger, second)).state is JobState.QUEUED
        assert isinstance(await ask(ledger, ledger_job(function="b"), quota=quota), Claim)

    async def test_ended_leases_count_for_no_quota(self, ledger: Ledger) -> None:
        quota = Quota(per_space=1, per_function=1)
        lost = ledger_job()
        await claimed(ledger, lost)
        assert isinstance(await ask(ledger, lost, at_ms=NOW + LEASE, quota=quota), Claim)

    async def test_what_is_over_or_runs_is_told_before_a_quota(self, ledger: Ledger) -> None:
        over, running = ledger_job(), ledger_job()
        await ended(ledger, over, JobState.SUCCEEDED, OutcomeKind.OK, NOW)
        await claimed(ledger, running)
        quota = Quota(per_space=1, per_function=1)
        assert await ask(ledger, over, quota=quota) is NotClaimed.OVER
        assert await ask(ledger, running, quota=quota) is NotClaimed.RUNNING

    # --- overdue --------------------------------------------------------------------------------

    async def test_overdue_are_ended_leases_and_what_waits_too_long(self, ledger: Ledger) -> None:
        leased, queued, again, done = (ledger_job() for _ in range(4))
        await claimed(ledger, leased)
        await ledger.accept(queued, now_ms=NOW)
        claim = await claimed(ledger, again)
        lost = outcome_of(claim, OutcomeKind.SANDBOX_LOST)
        await ledger.requeue(claim, lost, not_before_ms=NOW + 40_000, now_ms=NOW)
        await ended(ledger, done, JobState.SUCCEEDED, OutcomeKind.OK, NOW)
        assert await overdue(ledger, NOW + GRACE - 1) == set()
        assert await overdue(ledger, NOW + GRACE) == {queued.job_id}
        assert await overdue(ledger, NOW + GRACE) == set()  # somebody has it
        await ledger.cancel(queued.job_id, "mp-1", now_ms=NOW)
        assert await overdue(ledger, NOW + LEASE - 1) == set()
        entries = await ledger.overdue(now_ms=NOW + LEASE, grace_ms=GRACE, limit=9)
        assert entries == [await entry_of(ledger, leased)]
        assert await overdue(ledger, NOW + 40_000 + GRACE - 1) == {leased.job_id}
        assert await overdue(ledger, NOW + 40_000 + GRACE) == {again.job_id}

    async def test_overdue_entries_come_again_less_and_less_often(self, ledger: Ledger) -> None:
        job = ledger_job()
        await ledger.accept(job, now_ms=NOW)
        times = [
            at_ms
            for at_ms in range(NOW, NOW + 64 * GRACE, GRACE // 2)
            if await overdue(ledger, at_ms)
        ]
        gaps = [later - earlier for earlier, later in pairwise(times)]
        assert times[0] == NOW + GRACE
        assert gaps == [GRACE * 2**i for i in range(len(gaps))]
        assert len(gaps) == 5

    async def test_what_the_queue_confirmed_is_looked_at_later(self, ledger: Ledger) -> None:
        job = ledger_job()
        await ledger.accept(job, now_ms=NOW)
        await ledger.confirmed(job.job_id, attempts=1, look_ms=NOW + 2 * HOUR)  # of another attempt
        await ledger.confirmed(job.job_id, attempts=0, look_ms=NOW + HOUR)
        await ledger.confirmed(job.job_id, attempts=0, look_ms=NOW)
        assert await overdue(ledger, NOW + HOUR + GRACE - 1) == set()
        assert await overdue(ledger, NOW + HOUR + GRACE) == {job.job_id}
        claim = await claimed(ledger, job, at_ms=NOW + HOUR)
        await ledger.confirmed(job.job_id, attempts=1, look_ms=NOW + 9 * HOUR)
        assert await overdue(ledger, NOW + HOUR + LEASE) == {job.job_id}
        assert claim.attempt.number == 1

    async def test_ends_are_counted(self, ledger: Ledger) -> None:
        unseen, waiting, expired, buried = (ledger_job(attempts_max=1) for _ in range(4))
        await ledger.accept(waiting, now_ms=NOW)
        for job in unseen, waiting:
            for _ in range(2):
                await ledger.cancel(job.job_id, "mp-1", now_ms=NOW)
        for _ in range(2):
            await ledger.expire(expired, now_ms=NOW)
        claim = await claimed(ledger, buried)
        assert (await entry_of(ledger, buried)).ends == 0
        for _ in range(2):
            lost = outcome_of(claim, OutcomeKind.WORKER_LOST)
            await ledger.bury(buried.job_id, lost, now_ms=NOW + LEASE)
        for job in unseen, waiting, expired, buried:
            assert (await entry_of(ledger, job)).ends == 1

    async def test_changes_make_an_entry_due_anew(self, ledger: Ledger) -> None:
        job = ledger_job()
        await ledger.accept(job, now_ms=NOW)
        assert await overdue(ledger, NOW + GRACE) == {job.job_id}
        claim = await claimed(ledger, job, at_ms=NOW + GRACE)
        at_ms = NOW + GRACE + LEASE
        assert await ledger.renew(claim, lease_ms=LEASE, now_ms=at_ms - 1)
        assert await overdue(ledger, at_ms) == set()
        assert await overdue(ledger, at_ms + LEASE) == {job.job_id}

    async def test_overdue_is_bounded_and_the_oldest_come_first(self, ledger: Ledger) -> None:
        jobs = [ledger_job(at_ms=NOW + i) for i in range(6)]
        for job in reversed(jobs):
            await ledger.accept(job, now_ms=NOW)
        at_ms = NOW + HOUR
        assert await overdue(ledger, at_ms, limit=2) == {job.job_id for job in jobs[:2]}
        assert await overdue(ledger, at_ms, limit=9) == {job.job_id for job in jobs[2:]}
        assert await overdue(ledger, at_ms + HOUR, limit=0) == set()

    async def test_each_overdue_entry_goes_to_one_of_many(self, rivals: Sequence[Ledger]) -> None:
        jobs = [ledger_job() for _ in range(20)]
        for job in jobs:
            await rivals[0].accept(job, now_ms=NOW)
        given = await asyncio.gather(
            *(each.overdue(now_ms=NOW + HOUR, grace_ms=GRACE, limit=20) for each in rivals)
        )
        ids = [entry.job.job_id for entries in given for entry in entries]
        assert sorted(ids) == sorted(job.job_id for job in jobs)
