from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from runtime.errors import OursError, OverloadedError, UnavailableError
from runtime.jobs.attempt import RunStop
from runtime.messages import Job, JobState, Outcome
from runtime.ports import Claim, NotClaimed, Quota
from runtime.slots import Slots
from sandbox.api import OutcomeKind
from tests.harness.async_jobs import (
    BrokenLedger,
    Stage,
    ToldDelivery,
    ends,
    forever,
    job_now,
    told,
)

AWAY = UnavailableError("the ledger is away")


def failures(stage: Stage, method: str, *errors: OursError) -> None:
    assert isinstance(stage.ledger, BrokenLedger)
    stage.ledger.failures[method] = list(errors)


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
    while not stage.executor.jobs:
        await asyncio.sleep(0)
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
    failures(stage, "claim", *[error] * 50)
    job = job_now(stage.clock)
    assert (await stage.deliver(job)).told == ["postponed"]
    assert stage.clock.monotonic() - begun <= 3
    failures(stage, "claim")
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
    while not stage.executor.jobs:
        await asyncio.sleep(0)
    failures(stage, "requeue", AWAY)
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
    while not stage.executor.jobs:
        await asyncio.sleep(0)
    failures(stage, "finish", AWAY)
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
    while not stage.executor.jobs:
        await asyncio.sleep(0)
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
    while not stage.executor.jobs:
        await asyncio.sleep(0)
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
    failures(stage, "renew", *[AWAY] * 5)

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


# --- when the end cannot be recorded ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "method", "state"),
    [
        (OutcomeKind.OK, "finish", JobState.SUCCEEDED),
        (OutcomeKind.SANDBOX_LOST, "requeue", JobState.QUEUED),
    ],
)
async def test_end_is_recorded_when_the_ledger_comes_back(
    kind: OutcomeKind, method: str, state: JobState
) -> None:
    stage = Stage(told(kind))
    failures(stage, method, *[AWAY] * 4)
    job = job_now(stage.clock)
    await stage.deliver(job)
    assert await stage.state(job) is state
    assert [each for each in stage.slept if each < 2] == [0.1, 0.2, 0.4, 0.8]


async def test_end_is_kept_while_the_ledger_is_away_far_beyond_the_lease() -> None:
    stage = Stage(told(OutcomeKind.OK))
    failures(stage, "finish", *[AWAY] * 60)
    failures(stage, "renew", *[AWAY] * 10)
    job = job_now(stage.clock)
    begun = stage.clock.monotonic()
    await stage.deliver(job)
    assert stage.clock.monotonic() - begun > 100
    assert (await stage.state(job), stage.runner.counts.given_up) == (JobState.SUCCEEDED, 0)


async def test_end_is_dropped_when_another_attempt_began_meanwhile() -> None:
    stage = Stage(told(OutcomeKind.OK))
    failures(stage, "finish", *[AWAY] * 100_000)
    job = job_now(stage.clock)

    async def renew(*_: object, **__: object) -> bool:
        return False

    stage.ledger.renew = renew  # type: ignore[method-assign]
    await stage.deliver(job)
    assert (stage.runner.counts.too_late, stage.runner.counts.given_up) == (1, 0)


async def test_duplicate_of_a_job_that_waits_for_its_next_attempt_skips_no_backoff() -> None:
    stage = Stage(told(OutcomeKind.SANDBOX_LOST))
    job = job_now(stage.clock)
    await stage.deliver(job)
    duplicate = await stage.deliver(job)
    assert (duplicate.told, duplicate.delay_s) == (["postponed"], stage.queue.jobs[0][1])
    assert (len(stage.executor.jobs), stage.runner.counts.too_early) == (1, 1)


async def test_claim_whose_answer_was_lost_spends_no_attempt() -> None:
    class LosingLedger(BrokenLedger):
        lost = 0

        async def claim(self, job: Job, **terms: Any) -> Claim | NotClaimed:
            answer = await super().claim(job, **terms)
            if self.lost < 3:
                self.lost += 1
                raise AWAY
            return answer

    stage = Stage(told(OutcomeKind.OK), LosingLedger())
    job = job_now(stage.clock, attempts_max=1)
    assert (await stage.deliver(job)).told == ["acknowledged"]
    entry = await stage.entry(job)
    assert (entry.state, len(entry.attempts)) == (JobState.SUCCEEDED, 1)


async def test_claim_that_stayed_unknown_is_known_to_the_next_delivery() -> None:
    stage = Stage(told(OutcomeKind.OK))
    job = job_now(stage.clock, attempts_max=1)
    claim = stage.ledger.claim

    async def lose(job: Job, **terms: Any) -> Claim | NotClaimed:
        await claim(job, **terms)
        raise AWAY

    stage.ledger.claim = lose  # type: ignore[method-assign]
    assert (await stage.deliver(job)).told == ["postponed"]
    stage.ledger.claim = claim  # type: ignore[method-assign]
    assert (await stage.deliver(job)).told == ["acknowledged"]
    entry = await stage.entry(job)
    assert (entry.state, len(entry.attempts)) == (JobState.SUCCEEDED, 1)


async def test_end_is_given_up_at_last() -> None:
    stage = Stage(told(OutcomeKind.OK))
    failures(stage, "finish", *[AWAY] * 100_000)
    job = job_now(stage.clock)
    begun = stage.clock.monotonic()
    await stage.deliver(job)
    assert stage.runner.counts.given_up == 1
    assert 3500 <= stage.clock.monotonic() - begun <= 3700
    assert await stage.state(job) is JobState.RUNNING  # the sweeper sees to it


async def test_outcome_that_cannot_be_stored_ends_the_job_all_the_same() -> None:
    stage = Stage(told(OutcomeKind.OK))
    failures(stage, "finish", OursError("InternalServerError", "document too large"))
    job = job_now(stage.clock)
    await stage.deliver(job)
    entry = await stage.entry(job)
    assert entry.state is JobState.FAILED
    assert entry.outcome is not None
    assert entry.outcome.fault is not None
    assert "too large" in entry.outcome.fault.message


# --- when the worker is cancelled -------------------------------------------------------------------


async def cancelled_while_running(stage: Stage, job: Job) -> ToldDelivery:
    delivery = ToldDelivery(job)
    running = asyncio.create_task(stage.runner.run(delivery, await Slots(1).take()))
    before = len(stage.executor.jobs)
    while len(stage.executor.jobs) == before:
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    return delivery


async def test_cancelled_worker_leaves_its_job_to_others_at_once() -> None:
    stage = Stage()
    job = job_now(stage.clock)
    await cancelled_while_running(stage, job)
    assert stage.executor.stopped == [OutcomeKind.WORKER_LOST]
    entry = await stage.entry(job)
    assert entry.state is JobState.QUEUED
    assert entry.attempts[0].kind is OutcomeKind.WORKER_LOST
    assert stage.queue.jobs == [(job, 0.0)]


async def test_cancelled_worker_spends_the_last_attempt() -> None:
    stage = Stage()
    job = job_now(stage.clock, attempts_max=1)
    await cancelled_while_running(stage, job)
    assert await stage.state(job) is JobState.DEAD


async def test_cancelled_worker_without_ledger_leaves_the_lease_to_end() -> None:
    stage = Stage()
    failures(stage, "requeue", AWAY)
    job = job_now(stage.clock)
    await cancelled_while_running(stage, job)
    assert await stage.state(job) is JobState.RUNNING
    assert stage.runner.counts.given_up == 1


async def test_worker_cancelled_before_its_claim_hands_back() -> None:
    stage = Stage(forever)
    gate = asyncio.Event()

    class SlowLedger(BrokenLedger):
        async def claim(self, *args: object, **settings: object) -> object:  # type: ignore[override]
            await gate.wait()
            raise AssertionError

    stage.ledger = SlowLedger()
    stage.runner = stage.new_runner()
    delivery = ToldDelivery(job_now(stage.clock))
    running = asyncio.create_task(stage.runner.run(delivery, await Slots(1).take()))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert delivery.told == ["handed back"]


async def test_worker_cancelled_after_the_run_records_its_outcome() -> None:
    stage = Stage(told(OutcomeKind.OK))
    failures(stage, "finish", AWAY)
    waits = asyncio.Event()

    async def sleep(seconds: float) -> None:
        waits.set()
        await asyncio.Event().wait()

    stage.sleep = sleep  # type: ignore[method-assign]
    stage.runner = stage.new_runner()
    job = job_now(stage.clock)
    running = asyncio.create_task(stage.deliver(job))
    while stage.runner.counts.ledger_failures == 0:
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await stage.state(job) is JobState.SUCCEEDED


async def test_nothing_is_left_running() -> None:
    stage = Stage()
    before = asyncio.all_tasks()
    await cancelled_while_running(stage, job_now(stage.clock))
    assert asyncio.all_tasks() == before
