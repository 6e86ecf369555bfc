"""Ends of asynchronous jobs that cannot be recorded, and workers that are cancelled."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from runtime.errors import OursError
from runtime.messages import Job, JobState
from runtime.ports import Claim, NotClaimed
from runtime.slots import Slots
from sandbox.api import OutcomeKind
from tests.harness.async_jobs import (
    AWAY,
    BrokenLedger,
    Stage,
    ToldDelivery,
    forever,
    job_now,
    told,
)

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
    stage.fail(method, *[AWAY] * 4)
    job = job_now(stage.clock)
    await stage.deliver(job)
    assert await stage.state(job) is state
    assert [each for each in stage.slept if each < 2] == [0.1, 0.2, 0.4, 0.8]


async def test_end_is_kept_while_the_ledger_is_away_far_beyond_the_lease() -> None:
    stage = Stage(told(OutcomeKind.OK))
    stage.fail("finish", *[AWAY] * 60)
    stage.fail("renew", *[AWAY] * 10)
    job = job_now(stage.clock)
    begun = stage.clock.monotonic()
    await stage.deliver(job)
    assert stage.clock.monotonic() - begun > 100
    assert (await stage.state(job), stage.runner.counts.given_up) == (JobState.SUCCEEDED, 0)


async def test_end_is_dropped_when_another_attempt_began_meanwhile() -> None:
    stage = Stage(told(OutcomeKind.OK))
    stage.fail("finish", *[AWAY] * 100_000)
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
    stage.fail("finish", *[AWAY] * 100_000)
    job = job_now(stage.clock)
    begun = stage.clock.monotonic()
    await stage.deliver(job)
    assert stage.runner.counts.given_up == 1
    assert 3500 <= stage.clock.monotonic() - begun <= 3700
    assert await stage.state(job) is JobState.RUNNING  # the sweeper sees to it


async def test_outcome_that_cannot_be_stored_ends_the_job_all_the_same() -> None:
    stage = Stage(told(OutcomeKind.OK))
    stage.fail("finish", OursError("InternalServerError", "document too large"))
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
    stage.fail("requeue", AWAY)
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
    stage.fail("finish", AWAY)
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
