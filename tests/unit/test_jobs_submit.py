from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest

from runtime.errors import (
    KeyReusedError,
    LineFullError,
    OursError,
    OverloadedError,
    UnavailableError,
)
from runtime.job_ids import JobIds
from runtime.jobs.fingerprints import fingerprint
from runtime.jobs.submit import Accepted, AsyncSubmitter, asynchronous
from runtime.jobs.sweeper import Swept
from runtime.messages import AsyncTerms, Job, JobState, Source
from runtime.ports import LedgerQuery
from runtime.testing.queue import sample_job
from tests.harness.async_jobs import AWAY, ListQueue, Stage, job_now, sweeper_of

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
    stage.fail("accept", AWAY)
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


class FullForOne(ListQueue):
    """The line of space mp-1 is full."""

    async def enqueue(self, job: Job, *, delay_s: float = 0.0) -> None:
        if job.space_id == "mp-1":
            raise LineFullError("full")
        await super().enqueue(job, delay_s=delay_s)


async def test_full_line_of_one_space_holds_off_no_other() -> None:
    stage = Stage()
    stage.queue = FullForOne()
    submitter = submitter_of(stage)
    await submitter.submit(job_now(stage.clock, idempotency_key="k"))
    with pytest.raises(OverloadedError):
        await submitter.submit(job_now(stage.clock, idempotency_key="k2"))
    other = job_now(stage.clock, "mp-2", idempotency_key="k")
    assert (await submitter.submit(other)).first
    assert stage.queue.jobs == [(other, 0.0)]


async def test_line_that_stays_full_gets_fewer_and_fewer_jobs() -> None:
    stage = Stage()
    stage.queue = FullForOne()
    submitter = submitter_of(stage)
    accepted = 0
    for second in range(64):
        with suppress(OverloadedError):
            await submitter.submit(job_now(stage.clock, idempotency_key=f"k{second}"))
            accepted += 1
        stage.clock.advance(1)
    assert accepted == 11  # after 1, 2, 4, then every 8 s


async def test_key_with_other_arguments_is_refused() -> None:
    stage = Stage()
    submitter, ids = submitter_of(stage), JobIds(b"k" * 32)
    terms = job_now(stage.clock, idempotency_key="k").terms
    assert terms is not None
    first = asynchronous(replace(sample_job("mp-1"), args=b"[1]"), ids, terms)
    await submitter.submit(first)
    same = asynchronous(replace(sample_job("mp-1"), args=b"[1]"), ids, terms)
    assert await submitter.submit(same) == Accepted(job_id=first.job_id, first=False)
    other = asynchronous(replace(sample_job("mp-1"), args=b"[2]"), ids, terms)
    with pytest.raises(KeyReusedError, match=first.job_id):
        await submitter.submit(other)
    assert len(stage.queue.jobs) == 1


def test_requests_to_a_trigger_are_the_same_whatever_their_headers_say() -> None:
    args = b'{"path":"/a","httpMethod":"POST","headers":{"date":"%s"},"body":"%s"}'
    prints = [
        fingerprint(replace(sample_job(), source=Source.HTTP, args=args % each))
        for each in ((b"1", b"x"), (b"2", b"x"), (b"1", b"y"))
    ]
    assert prints[0] == prints[1] != prints[2]


async def test_what_the_queue_confirmed_is_not_enqueued_again_soon() -> None:
    stage = Stage()
    await submitter_of(stage).submit(job_now(stage.clock, idempotency_key="k"))
    sweeper = sweeper_of(stage)
    for gone_s, enqueued in ((1799, 0), (31, 1), (1799, 0), (31, 1)):
        stage.clock.advance(gone_s)
        assert (await sweeper.sweep()).enqueued == enqueued


async def test_jobs_of_a_queue_that_keeps_none_are_enqueued_again_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage()
    monkeypatch.setattr(ListQueue, "keeps_jobs", False)
    await submitter_of(stage).submit(job_now(stage.clock, idempotency_key="k"))
    stage.clock.advance(30)
    assert (await sweeper_of(stage).sweep()).enqueued == 1
