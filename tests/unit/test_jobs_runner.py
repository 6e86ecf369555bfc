"""Deliveries of asynchronous jobs: claimed, run, retried, stopped."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from runtime.errors import OursError, OverloadedError
from runtime.jobs.attempt import RunStop
from runtime.messages import Job, JobState, Outcome
from runtime.ports import Quota
from runtime.slots import Slots
from sandbox.api import OutcomeKind
from tests.harness.async_jobs import (
    AWAY,
    Stage,
    ToldDelivery,
    ends,
    job_now,
    told,
)


async def test_job_is_claimed_acknowledged_run_and_finished() -> None:
    stage = Stage(told(OutcomeKind.OK))
    job = job_now(stage.clock)
    delivery = await stage.deliver(job)
    assert delivery.told == ["acknowledged"]
    entry = await stage.entry(job)
    assert (entry.state, entry.job) == (JobState.SUCCEEDED, job)
    (attempt,) = entry.attempts
    assert (attempt.number, attempt.worker_id, attempt.kind) == (1, "w1", OutcomeKind.OK)
    assert stage.executor.jobs == [replace(job, request_id=attempt.request_id)]
    assert attempt.request_id != job.request_id
    assert stage.queue.jobs == []


async def test_acknowledgement_comes_before_the_run() -> None:
    stage = Stage()
    delivery = ToldDelivery(job_now(stage.clock))

    async def run(job: Job, stop: RunStop) -> Outcome:
        assert delivery.told == ["acknowledged"]
        assert await stage.state(job) is JobState.RUNNING
        return ends(job, OutcomeKind.OK)

    stage.executor._run = run
    await stage.runner.run(delivery, await Slots(1).take())
    assert await stage.state(delivery.job) is JobState.SUCCEEDED


async def test_our_blame_is_requeued_after_a_backoff() -> None:
    stage = Stage(told(OutcomeKind.SANDBOX_LOST))
    job = job_now(stage.clock)
    await stage.deliver(job)
    entry = await stage.entry(job)
    assert entry.state is JobState.QUEUED
    ((queued, delay_s),) = stage.queue.jobs
    assert queued == job
    assert 1.6 <= delay_s <= 2.0
    assert entry.not_before_ms == stage.clock.now_ms() + round(delay_s * 1000)


async def test_third_failure_is_dead_with_its_reason() -> None:
    stage = Stage(told(OutcomeKind.SANDBOX_LOST))
    job = job_now(stage.clock)
    for _ in range(3):
        await stage.deliver(job)
        stage.clock.advance(300)
    entry = await stage.entry(job)
    assert entry.state is JobState.DEAD
    assert [each.number for each in entry.attempts] == [1, 2, 3]
    assert entry.outcome is not None
    assert entry.outcome.kind is OutcomeKind.SANDBOX_LOST
    assert entry.outcome.request_id == entry.attempts[-1].request_id
    assert len(stage.queue.jobs) == 2
    assert (await stage.deliver(job)).told == ["acknowledged"]
    assert len(stage.executor.jobs) == 3


async def test_failed_enqueue_leaves_the_next_attempt_to_the_sweeper() -> None:
    stage = Stage(told(OutcomeKind.REFUSED))
    stage.queue.refusal = OverloadedError("full")
    job = job_now(stage.clock)
    await stage.deliver(job)
    assert await stage.state(job) is JobState.QUEUED


async def test_second_delivery_of_a_running_job_is_forgotten() -> None:
    stage = Stage()
    job = job_now(stage.clock)
    first = asyncio.create_task(stage.deliver(job))
    await stage.until_running()
    second = await stage.deliver(job, stage.new_runner(worker_id="w2"))
    assert second.told == ["acknowledged"]
    assert len(stage.executor.jobs) == 1
    first.cancel()
    await asyncio.wait({first})


@pytest.mark.parametrize("per_space", [0, 9])
async def test_job_over_a_quota_is_postponed(per_space: int) -> None:
    stage = Stage(told(OutcomeKind.OK))
    runner = stage.new_runner(quota=Quota(per_space=per_space, per_function=0))
    delivery = await stage.deliver(job := job_now(stage.clock), runner)
    assert delivery.told == ["postponed"]
    assert delivery.delay_s == 5.0
    assert await stage.ledger.read(job.job_id) is None
    assert stage.executor.jobs == []


@pytest.mark.parametrize("error", [AWAY, OursError("InternalServerError", "unreadable entry")])
async def test_ledger_that_does_not_answer_postpones(error: OursError) -> None:
    stage = Stage(told(OutcomeKind.OK))
    begun = stage.clock.monotonic()
    stage.fail("claim", *[error] * 50)
    job = job_now(stage.clock)
    assert (await stage.deliver(job)).told == ["postponed"]
    assert stage.clock.monotonic() - begun <= 3
    stage.fail("claim")
    assert (await stage.deliver(job)).told == ["acknowledged"]
    assert len((await stage.entry(job)).attempts) == 1


async def test_failed_acknowledgement_does_not_stop_the_run() -> None:
    stage = Stage(told(OutcomeKind.OK))
    delivery = ToldDelivery(job_now(stage.clock), refusal=AWAY)
    await stage.runner.run(delivery, await Slots(1).take())
    assert await stage.state(delivery.job) is JobState.SUCCEEDED


async def test_job_that_waited_too_long_expires() -> None:
    stage = Stage(told(OutcomeKind.OK))
    job = job_now(stage.clock, keep_s=60.0)
    stage.clock.advance(61)
    assert (await stage.deliver(job)).told == ["acknowledged"]
    assert await stage.state(job) is JobState.EXPIRED
    assert stage.executor.jobs == []
    ((expired, outcome),) = stage.unstarted
    assert (expired, outcome.kind) == (job, OutcomeKind.EXPIRED)


async def test_lost_job_goes_on_however_old_it_is() -> None:
    """It did start in time: only what nobody could start expires."""
    stage = Stage()
    job = job_now(stage.clock, keep_s=60.0)
    stage.runner, dead = stage.new_runner(worker_id="w2"), stage.runner
    lost = asyncio.create_task(stage.deliver(job, dead))
    await stage.until_running()
    stage.fail("requeue", AWAY)
    lost.cancel()
    await asyncio.wait({lost})
    stage.clock.advance(100)
    stage.executor._run = told(OutcomeKind.OK)
    await stage.deliver(job)
    entry = await stage.entry(job)
    assert (entry.state, len(entry.attempts)) == (JobState.SUCCEEDED, 2)


async def test_used_up_job_is_buried_with_its_reason() -> None:
    stage = Stage()
    job = job_now(stage.clock, attempts_max=1)
    first = asyncio.create_task(stage.deliver(job))
    await stage.until_running()
    stage.fail("finish", AWAY)
    first.cancel()
    await asyncio.wait({first})
    stage.clock.advance(100)
    assert (await stage.deliver(job)).told == ["acknowledged"]
    entry = await stage.entry(job)
    assert entry.state is JobState.DEAD
    assert entry.outcome is not None
    assert entry.outcome.kind is OutcomeKind.WORKER_LOST
    assert len(stage.executor.jobs) == 1


# --- while it runs ----------------------------------------------------------------------------------


async def test_lease_is_renewed_while_the_job_runs() -> None:
    stage = Stage()

    async def run(job: Job, stop: RunStop) -> Outcome:
        while len(stage.slept) < 10:  # 100 s of a lease of 30 s
            await asyncio.sleep(0)
        assert await stage.state(job) is JobState.RUNNING
        return ends(job, OutcomeKind.OK)

    stage.executor._run = run
    job = job_now(stage.clock)
    await stage.deliver(job)
    assert await stage.state(job) is JobState.SUCCEEDED
    assert set(stage.slept) == {10.0}


async def test_cancelled_job_is_stopped() -> None:
    stage = Stage()
    job = job_now(stage.clock)
    running = asyncio.create_task(stage.deliver(job))
    await stage.until_running()
    await stage.ledger.cancel(job.job_id, "mp-1", now_ms=stage.clock.now_ms())
    assert (await running).told == ["acknowledged"]
    assert stage.executor.stopped == [OutcomeKind.CANCELLED]
    assert await stage.state(job) is JobState.CANCELLED
    assert stage.queue.jobs == []
    assert stage.runner.counts.stopped == 1


async def test_worker_that_was_overtaken_stops_and_records_nothing() -> None:
    stage = Stage()
    job = job_now(stage.clock)
    running = asyncio.create_task(stage.deliver(job))
    await stage.until_running()
    stage.clock.advance(31)  # frozen
    stage.executor._run = told(OutcomeKind.OK)
    await stage.deliver(job, stage.new_runner(worker_id="w2"))
    await running
    assert stage.executor.stopped == [OutcomeKind.WORKER_LOST]
    entry = await stage.entry(job)
    assert (entry.state, len(entry.attempts)) == (JobState.SUCCEEDED, 2)
    assert entry.outcome is not None
    assert entry.outcome.request_id == entry.attempts[1].request_id


async def test_ledger_that_is_away_for_a_while_does_not_stop_the_run() -> None:
    stage = Stage()
    stage.fail("renew", *[AWAY] * 5)

    async def run(job: Job, stop: RunStop) -> Outcome:
        while len(stage.slept) < 8:
            await asyncio.sleep(0)
        return ends(job, OutcomeKind.OK)

    stage.executor._run = run
    job = job_now(stage.clock)
    await stage.deliver(job)
    assert await stage.state(job) is JobState.SUCCEEDED
    assert stage.slept[:8] == [10.0, *[2.5] * 5, 10.0, 10.0]


async def test_executor_that_fails_is_our_blame() -> None:
    stage = Stage()

    async def run(job: Job, stop: RunStop) -> Outcome:
        raise RuntimeError("bug")

    stage.executor._run = run
    job = job_now(stage.clock)
    await stage.deliver(job)
    assert (await stage.entry(job)).attempts[0].kind is OutcomeKind.SANDBOX_LOST
    assert len(stage.queue.jobs) == 1
