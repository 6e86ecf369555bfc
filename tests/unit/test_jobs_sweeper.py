from __future__ import annotations

import asyncio

import pytest

from runtime.errors import LineFullError, OverloadedError, UnavailableError
from runtime.jobs.sweeper import Swept
from runtime.messages import Job, JobState
from runtime.ports import Claim
from runtime.testing.ledger_samples import WIDE
from sandbox.api import OutcomeKind
from tests.harness.async_jobs import AWAY, ListQueue, Stage, job_now, sweeper_of


async def lose(stage: Stage, job: Job) -> None:
    """An attempt whose worker dies."""
    claim = await stage.ledger.claim(
        job,
        worker_id="dead",
        request_id=f"r{stage.clock.now_ms()}",
        lease_ms=30_000,
        quota=WIDE,
        now_ms=stage.clock.now_ms(),
    )
    assert isinstance(claim, Claim)
    stage.clock.advance(30)


async def test_lost_jobs_are_enqueued_again() -> None:
    stage = Stage()
    job, done = job_now(stage.clock), job_now(stage.clock)
    await stage.ledger.cancel(done.job_id, "mp-1", now_ms=0)
    await lose(stage, job)
    sweeper = sweeper_of(stage)
    assert await sweeper.sweep() == Swept(enqueued=1)
    assert stage.queue.jobs == [(job, 0.0)]
    assert await sweeper.sweep() == Swept()


async def test_accepted_job_that_nobody_enqueued_is_enqueued() -> None:
    stage = Stage()
    job = job_now(stage.clock)
    await stage.ledger.accept(job, now_ms=stage.clock.now_ms())
    sweeper = sweeper_of(stage)
    assert await sweeper.sweep() == Swept()
    stage.clock.advance(30)
    assert await sweeper.sweep() == Swept(enqueued=1)


async def test_job_whose_last_worker_was_lost_is_dead() -> None:
    stage = Stage()
    job = job_now(stage.clock, attempts_max=2)
    await lose(stage, job)
    await lose(stage, job)
    assert await sweeper_of(stage).sweep() == Swept(buried=1)
    entry = await stage.entry(job)
    assert entry.state is JobState.DEAD
    assert entry.outcome is not None
    assert entry.outcome.kind is OutcomeKind.WORKER_LOST
    assert entry.outcome.fault is not None
    assert entry.attempts[-1].request_id in entry.outcome.fault.message
    assert stage.queue.jobs == []


async def test_queued_job_that_is_too_old_expires() -> None:
    stage = Stage()
    job = job_now(stage.clock, keep_s=60.0)
    await stage.ledger.accept(job, now_ms=stage.clock.now_ms())
    stage.clock.advance(61)
    assert await sweeper_of(stage).sweep() == Swept(expired=1)
    assert await stage.state(job) is JobState.EXPIRED
    assert [each for each, _ in stage.unstarted] == [job]


@pytest.mark.parametrize("refusal", [OverloadedError("full"), UnavailableError("away")])
async def test_queue_that_refuses_ends_the_batch_and_a_later_sweep_tries_again(
    refusal: OverloadedError | UnavailableError,
) -> None:
    stage = Stage()
    for _ in range(3):
        await stage.ledger.accept(job_now(stage.clock), now_ms=stage.clock.now_ms())
    stage.clock.advance(30)
    stage.queue.refusal = refusal
    sweeper = sweeper_of(stage)
    assert await sweeper.sweep() == Swept(left=3)
    stage.queue.refusal = None
    stage.clock.advance(30)
    assert await sweeper.sweep() == Swept(enqueued=3)


async def test_full_line_of_one_space_stops_the_recovery_of_no_other() -> None:
    class FullForOne(ListQueue):
        tries = 0

        async def enqueue(self, job: Job, *, delay_s: float = 0.0) -> None:
            if job.space_id == "mp-1":
                self.tries += 1
                raise LineFullError("full")
            await super().enqueue(job, delay_s=delay_s)

    stage = Stage()
    stage.queue = queue = FullForOne()
    for _ in range(3):
        await stage.ledger.accept(job_now(stage.clock), now_ms=stage.clock.now_ms())
    other = job_now(stage.clock, "mp-2")
    await stage.ledger.accept(other, now_ms=stage.clock.now_ms())
    stage.clock.advance(30)
    assert await sweeper_of(stage).sweep() == Swept(enqueued=1, left=3)
    assert (queue.jobs, queue.tries) == ([(other, 0.0)], 1)


async def test_batches_are_bounded() -> None:
    stage = Stage()
    for _ in range(5):
        await stage.ledger.accept(job_now(stage.clock), now_ms=stage.clock.now_ms())
    stage.clock.advance(30)
    sweeper = sweeper_of(stage, batch_max=2)
    assert [(await sweeper.sweep()).enqueued for _ in range(4)] == [2, 2, 1, 0]


async def test_sweeping_goes_on_when_the_ledger_was_away() -> None:
    stage = Stage()
    await stage.ledger.accept(job_now(stage.clock), now_ms=stage.clock.now_ms())
    stage.clock.advance(30)
    stage.fail("overdue", *[AWAY] * 3)
    sweeping = asyncio.create_task(sweeper_of(stage).run())
    while not stage.queue.jobs:
        await asyncio.sleep(0)
    assert not sweeping.done()
    sweeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sweeping
    assert set(stage.slept) == {5.0}


async def test_error_of_programming_ends_the_sweeper() -> None:
    stage = Stage()
    stage.clock.now_ms = None  # type: ignore[assignment, method-assign]
    with pytest.raises(TypeError):
        await sweeper_of(stage).run()


async def test_old_ends_are_pruned() -> None:
    stage = Stage()
    job = job_now(stage.clock)
    await stage.ledger.cancel(job.job_id, "mp-1", now_ms=stage.clock.now_ms())
    sweeper = sweeper_of(stage, keep_s=100.0)
    stage.clock.advance(100)
    assert await sweeper.prune() == 0
    stage.clock.advance(1)
    assert await sweeper.prune() == 1
    assert await stage.ledger.read(job.job_id) is None
