"""Both kinds of jobs on one worker: asynchronous ones have their part of the slots, and nobody starves."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from runtime.jobs.attempt import RunStop
from runtime.messages import AsyncTerms, Job, JobState
from runtime.slots import Slots
from runtime.testing.queue import sample_job
from sandbox.api import OutcomeKind
from sandbox.spawners.memory import MemoryContext
from tests.harness.polling import until
from tests.harness.small_worker import SmallWorker


def async_job(number: int = 0, **changes: Any) -> Job:
    terms = AsyncTerms(accepted_ms=time.time_ns() // 1_000_000, backoff_first_s=0.0)
    return sample_job(job_id=f"job-a{number}", terms=terms, **changes)


async def state_of(small: SmallWorker, job: Job) -> JobState | None:
    entry = await small.ledger.read(job.job_id)
    return entry.state if entry else None


class Gate:
    """A function that waits until it is opened."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.inside = 0

    async def __call__(self, _ctx: MemoryContext) -> int:
        self.inside += 1
        try:
            await self.open.wait()
        finally:
            self.inside -= 1
        return 1


async def test_an_asynchronous_job_ends_in_the_ledger_and_in_the_records() -> None:
    small = SmallWorker(async_slots=1)
    small.spawner.functions["hello"] = lambda ctx: ctx.args
    async with small.open():
        job = async_job(args=b'{"a":1}')
        await small.queue.enqueue(job)
        await until(lambda: _is(small, job, JobState.SUCCEEDED))
    entry = await small.ledger.read(job.job_id)
    assert entry is not None
    assert entry.outcome is not None
    assert entry.outcome.value == b'{"a":1}'
    [record] = small.records
    assert (record.kind, record.request_id) == (OutcomeKind.OK, entry.attempts[0].request_id)


async def _is(small: SmallWorker, job: Job, state: JobState) -> bool:
    return await state_of(small, job) is state


async def test_asynchronous_jobs_never_have_more_than_their_slots() -> None:
    small, gate = SmallWorker(slots=4, async_slots=2), Gate()
    small.spawner.functions["hello"] = gate
    small.spawner.functions["quick"] = lambda _ctx: 2
    async with small.open():
        jobs = [async_job(number) for number in range(5)]
        for job in jobs:
            await small.queue.enqueue(job)
        await until(lambda: gate.inside == 2)
        assert (await small.queue.call(sample_job(function="quick"))).ok
        assert gate.inside == 2
        gate.open.set()
        for job in jobs:
            await until(lambda job=job: _is(small, job, JobState.SUCCEEDED))  # type: ignore[misc]


@pytest.mark.parametrize("slots", [1, 2])
async def test_both_kinds_run_where_slots_are_few(slots: int) -> None:
    small = SmallWorker(slots=slots, async_slots=1)
    small.spawner.functions["hello"] = lambda _ctx: 1
    async with small.open():
        for number in range(2):
            job = async_job(number)
            await small.queue.enqueue(job)
            assert (await small.queue.call(sample_job())).ok
            await until(lambda job=job: _is(small, job, JobState.SUCCEEDED))  # type: ignore[misc]


async def test_an_idle_loop_gives_its_slot_to_synchronous_calls() -> None:
    small, gate = SmallWorker(slots=2, async_slots=1), Gate()
    small.spawner.functions["hello"] = gate
    async with small.open():
        calls = [asyncio.create_task(small.queue.call(sample_job())) for _ in range(2)]
        await until(lambda: gate.inside == 2)
        gate.open.set()
        assert all(outcome.ok for outcome in await asyncio.gather(*calls))


async def test_drain_waits_for_asynchronous_jobs_and_takes_no_more() -> None:
    small, gate = SmallWorker(async_slots=1), Gate()
    small.spawner.functions["hello"] = gate
    async with small.open():
        running, waiting = async_job(0), async_job(1)
        await small.queue.enqueue(running)
        await until(lambda: gate.inside == 1)
        await small.queue.enqueue(waiting)
        drain = asyncio.create_task(small.worker.drain())
        await asyncio.sleep(0)
        gate.open.set()
        await drain
        assert await state_of(small, running) is JobState.SUCCEEDED
        assert await state_of(small, waiting) is JobState.QUEUED


async def test_a_worker_that_ends_leaves_the_next_attempt_to_others() -> None:
    small, gate = SmallWorker(async_slots=1), Gate()
    small.spawner.functions["hello"] = gate
    job = async_job()
    await small.spawner.start()
    async with small.queue.open(), small.pool.open():
        running = asyncio.create_task(small.worker.run())
        await small.queue.enqueue(job)
        await until(lambda: gate.inside == 1)
        running.cancel()
        await asyncio.wait({running})
        entry = await small.ledger.read(job.job_id)
    assert entry is not None
    assert (entry.state, entry.attempts[0].kind) == (JobState.QUEUED, OutcomeKind.WORKER_LOST)
    assert [record.kind for record in small.records] == [OutcomeKind.WORKER_LOST]


@pytest.mark.parametrize("kind", [OutcomeKind.WORKER_LOST, OutcomeKind.CANCELLED])
async def test_a_stopped_run_is_recorded_as_what_stopped_it(kind: OutcomeKind) -> None:
    small, gate, stop = SmallWorker(), Gate(), RunStop()
    small.spawner.functions["hello"] = gate
    async with small.open():
        slot = await small.slots.take()
        run = asyncio.create_task(small.executor.run(sample_job(), slot, queue_ms=0.0, stop=stop))
        await until(lambda: gate.inside == 1)
        stop.kind = kind
        run.cancel()
        await asyncio.wait({run})
        slot.release()
    assert run.cancelled()
    assert [record.kind for record in small.records] == [kind]


async def test_slots_tell_when_somebody_waits() -> None:
    slots = Slots(1)
    held = await slots.take()
    wanted = asyncio.create_task(slots.wait_wanted())
    await asyncio.sleep(0)
    assert not wanted.done()
    waiter = asyncio.create_task(slots.take())
    await wanted
    held.release()
    (await waiter).release()
    again = asyncio.create_task(slots.wait_wanted())
    await asyncio.sleep(0)
    assert not again.done(), "whoever has a slot waits no more"
    again.cancel()
