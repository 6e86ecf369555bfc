from __future__ import annotations

import asyncio

import pytest

from runtime.errors import OursError, OverloadedError, UnavailableError
from runtime.job_ids import JobIds
from runtime.jobs.submit import AsyncSubmitter, asynchronous
from runtime.jobs.sweeper import Swept
from runtime.messages import AsyncTerms, JobState
from runtime.ports import LedgerQuery
from runtime.testing.queue import sample_job
from tests.harness.async_jobs import BrokenLedger, Stage, job_now, sweeper_of

REFUSALS = pytest.mark.parametrize("refusal", [OverloadedError("full"), UnavailableError("away")])


def submitter_of(stage: Stage) -> AsyncSubmitter:
    return AsyncSubmitter(ledger=stage.ledger, queue=stage.queue, clock=stage.clock)


def test_asynchronous_job_has_an_id_that_proves_itself() -> None:
    ids = JobIds(b"k" * 32)
    terms = AsyncTerms(accepted_ms=1)
    job = sample_job("mp-1")
    made = asynchronous(job, ids, terms)
    assert ids.valid(made.job_id, "mp-1")
    assert made.terms == terms
    assert made.request_id == job.request_id


async def test_without_a_key_the_queue_alone_decides() -> None:
    stage = Stage()
    job = job_now(stage.clock)
    accepted = await submitter_of(stage).submit(job)
    assert (accepted.job_id, accepted.first) == (job.job_id, True)
    assert stage.queue.jobs == [(job, 0.0)]
    assert await stage.ledger.read(job.job_id) is None


@REFUSALS
async def test_without_a_key_a_refusal_is_told(refusal: OursError) -> None:
    stage = Stage()
    stage.queue.refusal = refusal
    with pytest.raises(type(refusal)):
        await submitter_of(stage).submit(job_now(stage.clock))
    assert await stage.ledger.count(LedgerQuery()) == {}


async def test_repeated_key_returns_the_first_job() -> None:
    stage = Stage()
    submitter = submitter_of(stage)
    first, again = (job_now(stage.clock, idempotency_key="k") for _ in range(2))
    one, two = await submitter.submit(first), await submitter.submit(again)
    assert (one.job_id, one.first) == (first.job_id, True)
    assert (two.job_id, two.first) == (first.job_id, False)
    assert stage.queue.jobs == [(first, 0.0)]


@REFUSALS
async def test_with_a_key_the_entry_is_the_acceptance_and_the_sweeper_enqueues(
    refusal: OursError,
) -> None:
    stage = Stage()
    submitter = submitter_of(stage)
    stage.queue.refusal = refusal
    job = job_now(stage.clock, idempotency_key="k")
    assert (await submitter.submit(job)).first
    assert await stage.state(job) is JobState.QUEUED
    assert submitter.left_to_sweeper == 1
    stage.queue.refusal = None
    stage.clock.advance(30)
    assert await sweeper_of(stage).sweep() == Swept(enqueued=1)


@REFUSALS
async def test_while_the_queue_refuses_further_keys_are_refused_before_they_are_written(
    refusal: OursError,
) -> None:
    stage = Stage()
    submitter = submitter_of(stage)
    stage.queue.refusal = refusal
    job = job_now(stage.clock, idempotency_key="k")
    await submitter.submit(job)
    later = job_now(stage.clock, idempotency_key="k2")
    with pytest.raises(OverloadedError):
        await submitter.submit(later)
    assert await stage.ledger.read(later.job_id) is None
    # what was accepted is found all the same
    again = job_now(stage.clock, idempotency_key="k")
    assert (await submitter.submit(again)).job_id == job.job_id
    stage.queue.refusal = None
    stage.clock.advance(1.1)
    assert (await submitter.submit(later)).first
    assert stage.queue.jobs == [(later, 0.0)]


async def test_ledger_that_is_away_is_told_and_nothing_is_enqueued() -> None:
    stage = Stage()
    assert isinstance(stage.ledger, BrokenLedger)
    stage.ledger.failures["accept"] = [UnavailableError("away")]
    with pytest.raises(UnavailableError):
        await submitter_of(stage).submit(job_now(stage.clock, idempotency_key="k"))
    assert stage.queue.jobs == []


async def test_concurrent_calls_with_one_key_make_one_job() -> None:
    stage = Stage()
    submitters = [submitter_of(stage) for _ in range(5)]
    jobs = [job_now(stage.clock, idempotency_key="k") for _ in submitters]
    answers = await asyncio.gather(
        *(each.submit(job) for each, job in zip(submitters, jobs, strict=True))
    )
    assert [answer.first for answer in answers].count(True) == 1
    assert len({answer.job_id for answer in answers}) == 1
    assert len(stage.queue.jobs) == 1
