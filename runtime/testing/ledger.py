"""What every `Ledger` adapter must keep. Subclass it and give `ledger`. Time is only what is passed in."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from runtime.ids import new_job_id
from runtime.messages import AsyncTerms, JobState, LedgerEntry
from runtime.ports import Claim, Ledger, NotClaimed
from runtime.testing.ledger_questions import LedgerQuestionsContract
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
from runtime.testing.ledger_upkeep import LedgerUpkeepContract
from sandbox.api import OutcomeKind


class LedgerContract(LedgerUpkeepContract, LedgerQuestionsContract):
    """The rules of the port, as tests."""

    # --- acceptance -----------------------------------------------------------------------------

    async def test_accepted_job_is_queued_with_all_that_it_is(self, ledger: Ledger) -> None:
        job = ledger_job(idempotency_key="k", retry_function=True, replay_of="job-0")
        entry = await ledger.accept(job, now_ms=NOW + 5)
        assert entry == LedgerEntry(job=job, state=JobState.QUEUED, changed_ms=NOW + 5)
        assert await ledger.read(job.job_id) == entry
        assert await ledger.read(new_job_id()) is None

    async def test_accepting_again_changes_nothing(self, ledger: Ledger) -> None:
        job = ledger_job()
        first = await ledger.accept(job, now_ms=NOW)
        assert await ledger.accept(job, now_ms=NOW + 9) == first
        await ended(ledger, job, JobState.SUCCEEDED, OutcomeKind.OK, NOW)
        assert (await ledger.accept(job, now_ms=NOW)).state is JobState.SUCCEEDED

    async def test_idempotency_key_finds_the_first_job(self, ledger: Ledger) -> None:
        first, again = ledger_job(idempotency_key="k"), ledger_job(idempotency_key="k")
        assert await ledger.accepted(again, now_ms=NOW) is None
        await ledger.accept(first, now_ms=NOW)
        assert (await ledger.accept(again, now_ms=NOW)).job == first
        found = await ledger.accepted(again, now_ms=NOW)
        assert found is not None
        assert found.job == first
        assert await ledger.read(again.job_id) is None
        await ended(ledger, first, JobState.FAILED, OutcomeKind.FUNCTION_ERROR, NOW)
        assert (await ledger.accept(again, now_ms=NOW)).state is JobState.FAILED

    async def test_idempotency_key_is_of_one_function_of_one_space(self, ledger: Ledger) -> None:
        jobs = [
            ledger_job("mp-1", "a", idempotency_key="k"),
            ledger_job("mp-1", "b", idempotency_key="k"),
            ledger_job("mp-2", "a", idempotency_key="k"),
            ledger_job("mp-1", "a", idempotency_key="k2"),
            ledger_job("mp-1", "a", idempotency_key=""),
            ledger_job("mp-1", "a"),
            ledger_job("mp-1", "a"),
        ]
        for job in jobs:
            assert (await ledger.accept(job, now_ms=NOW)).job == job

    async def test_idempotency_key_is_free_after_a_day(self, ledger: Ledger) -> None:
        first, second, third = (ledger_job(idempotency_key="k") for _ in range(3))
        second = replace(second, terms=AsyncTerms(accepted_ms=NOW + 24 * HOUR, idempotency_key="k"))
        await ledger.accept(first, now_ms=NOW)
        last_moment = NOW + 24 * HOUR - 1
        assert (await ledger.accept(second, now_ms=last_moment)).job == first
        assert await ledger.accepted(second, now_ms=NOW + 24 * HOUR) is None
        assert (await ledger.accept(second, now_ms=NOW + 24 * HOUR)).job == second
        assert (await ledger.accept(third, now_ms=NOW + 24 * HOUR)).job == second
        assert (await entry_of(ledger, first)).state is JobState.QUEUED

    async def test_one_of_many_with_the_same_key_is_first(self, rivals: Sequence[Ledger]) -> None:
        for turn in range(10):
            jobs = [ledger_job(idempotency_key=f"k{turn}") for _ in range(12)]
            entries = await asyncio.gather(
                *(rivals[i % len(rivals)].accept(job, now_ms=NOW) for i, job in enumerate(jobs))
            )
            assert len({entry.job.job_id for entry in entries}) == 1

    async def test_synchronous_jobs_are_refused(self, ledger: Ledger) -> None:
        with pytest.raises(ValueError, match="synchronous"):
            await ledger.accept(replace(ledger_job(), terms=None), now_ms=NOW)

    # --- claims ---------------------------------------------------------------------------------

    async def test_claim_makes_the_entry(self, ledger: Ledger) -> None:
        job = ledger_job()
        claim = await claimed(ledger, job, at_ms=NOW + 7)
        assert claim.job_id == job.job_id
        assert (claim.attempt.number, claim.attempt.worker_id) == (1, "w1")
        assert await entry_of(ledger, job) == LedgerEntry(
            job=job,
            state=JobState.RUNNING,
            attempts=(claim.attempt,),
            leased_until_ms=NOW + 7 + LEASE,
            changed_ms=NOW + 7,
        )

    async def test_accepted_job_is_claimed_once(self, ledger: Ledger) -> None:
        job = ledger_job()
        await ledger.accept(job, now_ms=NOW)
        await claimed(ledger, job)
        assert await ask(ledger, job, worker="w2") is NotClaimed.RUNNING
        assert await ask(ledger, job, at_ms=NOW + LEASE - 1) is NotClaimed.RUNNING

    async def test_expired_lease_is_taken_over(self, ledger: Ledger) -> None:
        job = ledger_job()
        first = await claimed(ledger, job)
        second = await claimed(ledger, job, at_ms=NOW + LEASE, worker="w2")
        assert second.attempt.number == 2
        entry = await entry_of(ledger, job)
        assert entry.attempts == (first.attempt, second.attempt)
        assert entry.leased_until_ms == NOW + 2 * LEASE

    async def test_lost_claim_can_do_nothing(self, ledger: Ledger) -> None:
        job = ledger_job()
        lost = await claimed(ledger, job)
        await claimed(ledger, job, at_ms=NOW + LEASE)
        before = await entry_of(ledger, job)
        at_ms = NOW + LEASE + 1
        ok = outcome_of(lost)
        assert not await ledger.renew(lost, lease_ms=LEASE, now_ms=at_ms)
        assert not await ledger.finish(lost, JobState.SUCCEEDED, ok, now_ms=at_ms)
        assert not await ledger.requeue(lost, ok, not_before_ms=at_ms, now_ms=at_ms)
        assert await entry_of(ledger, job) == before

    async def test_claim_of_another_request_can_do_nothing(self, ledger: Ledger) -> None:
        job = ledger_job()
        claim = await claimed(ledger, job)
        other = replace(claim, attempt=replace(claim.attempt, request_id="other"))
        assert not await ledger.renew(other, lease_ms=LEASE, now_ms=NOW)
        ok = outcome_of(other)
        assert not await ledger.finish(other, JobState.SUCCEEDED, ok, now_ms=NOW)
        assert await ledger.finish(claim, JobState.SUCCEEDED, outcome_of(claim), now_ms=NOW)
        assert not await ledger.finish(other, JobState.SUCCEEDED, ok, now_ms=NOW)

    async def test_claim_whose_answer_was_lost_is_known_again(self, ledger: Ledger) -> None:
        job = ledger_job()
        lost = await claimed(ledger, job)
        claim = await ask(ledger, job, at_ms=NOW + LEASE, request_id="r2")
        assert isinstance(claim, Claim)
        assert claim.lost == lost.attempt
        later = NOW + 3 * LEASE  # nobody took it over meanwhile
        assert await ask(ledger, job, at_ms=later, request_id="r2") == claim
        entry = await entry_of(ledger, job)
        assert entry.attempts == (lost.attempt, claim.attempt)
        assert entry.leased_until_ms == later + LEASE
        refused = outcome_of(claim, OutcomeKind.REFUSED)
        assert await ledger.requeue(claim, refused, not_before_ms=later, now_ms=later)
        assert await ask(ledger, job, at_ms=later, request_id="r2") is NotClaimed.ID_USED
        assert (await claimed(ledger, job, at_ms=later)).attempt.number == 3

    async def test_first_claim_is_known_again_too(self, ledger: Ledger) -> None:
        for job in (ledger_job(), accepted := ledger_job()):
            if job is accepted:
                await ledger.accept(job, now_ms=NOW)
            claim = await ask(ledger, job, request_id=f"r {job.job_id}")
            assert await ask(ledger, job, request_id=f"r {job.job_id}") == claim
            assert len((await entry_of(ledger, job)).attempts) == 1

    async def test_renewed_lease_is_not_taken_over(self, ledger: Ledger) -> None:
        job = ledger_job()
        claim = await claimed(ledger, job)
        assert await ledger.renew(claim, lease_ms=LEASE, now_ms=NOW + 20_000)
        assert await ask(ledger, job, at_ms=NOW + LEASE) is NotClaimed.RUNNING
        assert (await entry_of(ledger, job)).leased_until_ms == NOW + 20_000 + LEASE

    async def test_late_renewal_holds_when_nobody_came_between(self, ledger: Ledger) -> None:
        job = ledger_job()
        claim = await claimed(ledger, job)
        assert await ledger.renew(claim, lease_ms=LEASE, now_ms=NOW + 10 * LEASE)
        assert await ask(ledger, job, at_ms=NOW + 10 * LEASE) is NotClaimed.RUNNING

    async def test_one_of_many_claims_wins(self, rivals: Sequence[Ledger]) -> None:
        for turn in range(10):
            job = ledger_job()
            if turn % 2:
                await rivals[0].accept(job, now_ms=NOW)
            for attempt in (1, 2):  # of a new job, of an expired lease
                answers = await asyncio.gather(
                    *(
                        ask(rivals[i % len(rivals)], job, at_ms=NOW + attempt * LEASE)
                        for i in range(12)
                    )
                )
                (winner,) = [answer for answer in answers if isinstance(answer, Claim)]
                assert winner.attempt.number == attempt
                assert answers.count(NotClaimed.RUNNING) == 11

    # --- ends -----------------------------------------------------------------------------------

    async def test_finish_is_the_end(self, ledger: Ledger) -> None:
        job = ledger_job()
        claim = await claimed(ledger, job)
        outcome = outcome_of(claim)
        assert await ledger.finish(claim, JobState.SUCCEEDED, outcome, now_ms=NOW + 50)
        attempt = replace(claim.attempt, ended_ms=NOW + 50, kind=OutcomeKind.OK)
        entry = LedgerEntry(
            job=job,
            state=JobState.SUCCEEDED,
            attempts=(attempt,),
            outcome=outcome,
            ended_ms=NOW + 50,
            ends=1,
            changed_ms=NOW + 50,
        )
        assert await entry_of(ledger, job) == entry
        assert await ask(ledger, job, at_ms=NOW + HOUR) is NotClaimed.OVER
        assert not await ledger.renew(claim, lease_ms=LEASE, now_ms=NOW)
        assert not await ledger.requeue(claim, outcome, not_before_ms=NOW, now_ms=NOW)
        assert not await ledger.expire(job, now_ms=NOW)
        assert await ledger.cancel(job.job_id, "mp-1", now_ms=NOW) == entry
        assert await entry_of(ledger, job) == entry

    async def test_finish_is_idempotent(self, ledger: Ledger) -> None:
        job = ledger_job()
        claim = await claimed(ledger, job)
        for at_ms in (NOW, NOW + 99):
            assert await ledger.finish(claim, JobState.SUCCEEDED, outcome_of(claim), now_ms=at_ms)
        assert (await entry_of(ledger, job)).ended_ms == NOW
        failed = outcome_of(claim, OutcomeKind.FUNCTION_ERROR)
        assert not await ledger.finish(claim, JobState.FAILED, failed, now_ms=NOW)

    async def test_requeued_job_waits_for_its_next_attempt(self, ledger: Ledger) -> None:
        job = ledger_job()
        claim = await claimed(ledger, job)
        lost = outcome_of(claim, OutcomeKind.SANDBOX_LOST)
        due_ms = NOW + 2000
        assert await ledger.requeue(claim, lost, not_before_ms=due_ms, now_ms=NOW + 10)
        assert await ledger.requeue(claim, lost, not_before_ms=due_ms + 1, now_ms=NOW + 11)
        attempt = replace(claim.attempt, ended_ms=NOW + 10, kind=OutcomeKind.SANDBOX_LOST)
        assert await entry_of(ledger, job) == LedgerEntry(
            job=job,
            state=JobState.QUEUED,
            attempts=(attempt,),
            not_before_ms=due_ms,
            outcome=lost,
            changed_ms=NOW + 10,
        )
        assert await ask(ledger, job, at_ms=NOW + 10) is NotClaimed.TOO_EARLY
        second = await claimed(ledger, job, at_ms=due_ms)
        assert second.attempt.number == 2
        entry = await entry_of(ledger, job)
        assert entry.attempts == (attempt, second.attempt)
        assert entry.not_before_ms is None
        assert entry.outcome == lost
        assert not await ledger.requeue(claim, lost, not_before_ms=due_ms, now_ms=due_ms)

    async def test_one_of_many_ends_wins(self, rivals: Sequence[Ledger]) -> None:
        states = (JobState.SUCCEEDED, JobState.FAILED, JobState.TIMED_OUT, JobState.DEAD)
        kinds = (
            OutcomeKind.OK,
            OutcomeKind.FUNCTION_ERROR,
            OutcomeKind.TIMEOUT,
            OutcomeKind.SANDBOX_LOST,
        )
        for _ in range(10):
            job = ledger_job()
            claim = await claimed(rivals[0], job)
            finishes = [
                rivals[i % len(rivals)].finish(
                    claim, states[i], outcome_of(claim, kinds[i]), now_ms=NOW
                )
                for i in range(4)
            ]
            cancel = rivals[-1].cancel(job.job_id, "mp-1", now_ms=NOW)
            entry, *done = await asyncio.gather(cancel, *finishes)
            last = await entry_of(rivals[0], job)
            assert entry == last
            wins = [state for state, won in zip(states, done, strict=True) if won]
            assert wins == ([] if last.state is JobState.CANCELLED else [last.state])
