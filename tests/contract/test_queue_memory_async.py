"""The contract of asynchronous jobs over the queue inside one process, and what only it promises."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from runtime.backends.ledger_memory import LedgerMemory
from runtime.backends.queue_memory import MemoryQueue
from runtime.backends.queue_memory_async import AsyncLine, AsyncLineBounds
from runtime.errors import OverloadedError, UnavailableError
from runtime.messages import AsyncTerms, Job, JobState, LedgerEntry
from runtime.ports import Claim, Ledger, LedgerQuery, Quota, SystemClock
from runtime.testing.async_queue import AsyncQueueContract, async_job
from runtime.testing.queue import QueueFactory

QUOTA = Quota(per_space=99, per_function=99)


def queue_on(
    ledger: Ledger,
    *,
    max_jobs: int = 100,
    max_jobs_per_space: int = 100,
    max_bytes: int = 1 << 20,
) -> MemoryQueue:
    clock = SystemClock()
    bounds = AsyncLineBounds(
        max_jobs=max_jobs, max_jobs_per_space=max_jobs_per_space, max_bytes=max_bytes
    )
    return MemoryQueue(
        max_jobs=9,
        max_jobs_per_space=9,
        max_bytes=1 << 20,
        clock=clock,
        line=AsyncLine(ledger, bounds, clock),
    )


class TestMemoryQueueAsync(AsyncQueueContract):
    @pytest.fixture
    def queue_factory(self) -> QueueFactory:
        return lambda max_jobs: queue_on(LedgerMemory(), max_jobs=max_jobs)


class FailingLedger(LedgerMemory):
    """Does not answer `accept` as long as `away`."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def accept(self, job: Job, *, now_ms: int) -> LedgerEntry:
        await self.gate.wait()
        if self.away:
            raise UnavailableError("away")
        return await super().accept(job, now_ms=now_ms)


async def take_ids(queue: MemoryQueue, count: int) -> list[str]:
    ids = []
    for _ in range(count):
        delivery = await queue.take_async()
        ids.append(delivery.job.job_id)
        await delivery.acknowledge()
    return ids


async def claim(ledger: Ledger, job: Job, *, now_ms: int, lease_ms: int = 1) -> Claim:
    answer = await ledger.claim(
        job,
        worker_id="w",
        request_id=f"r{now_ms}",
        lease_ms=lease_ms,
        quota=QUOTA,
        now_ms=now_ms,
    )
    assert isinstance(answer, Claim)
    return answer


async def test_what_was_accepted_is_there_after_the_process_died() -> None:
    ledger = LedgerMemory()
    jobs = [async_job() for _ in range(5)]
    clock = SystemClock()
    died = queue_on(ledger)
    async with died.open():
        for job in jobs:
            await died.enqueue(job)
        await (await died.take_async()).acknowledge()
        running = await claim(ledger, jobs[0], now_ms=clock.now_ms() - 10)  # its lease is over
        done = await claim(ledger, jobs[1], now_ms=clock.now_ms(), lease_ms=30_000)
        await ledger.cancel(done.job_id, jobs[1].space_id, now_ms=clock.now_ms())
        async with (again := queue_on(ledger)).open():
            ids = await take_ids(again, 4)
            assert sorted(ids) == sorted([running.job_id] + [job.job_id for job in jobs[2:]])
            assert again.waiting == 0


async def test_running_job_comes_when_its_lease_ends() -> None:
    ledger = LedgerMemory()
    job = async_job()
    clock = SystemClock()
    await claim(ledger, job, now_ms=clock.now_ms(), lease_ms=100)
    async with (queue := queue_on(ledger)).open():
        assert queue.waiting == 1
        assert await take_ids(queue, 1) == [job.job_id]
        await claim(ledger, job, now_ms=clock.now_ms() + 1)


async def test_more_than_fits_is_left_to_the_sweeper() -> None:
    ledger = LedgerMemory()
    for _ in range(5):
        await ledger.accept(async_job(), now_ms=0)
    async with (queue := queue_on(ledger, max_jobs=3)).open():
        assert queue.waiting == 3


async def test_refused_job_is_not_in_the_ledger() -> None:
    ledger = LedgerMemory()
    async with (queue := queue_on(ledger, max_jobs_per_space=1)).open():
        await queue.enqueue(async_job("busy"))
        with pytest.raises(OverloadedError, match="space busy"):
            await queue.enqueue(async_job("busy"))
        await queue.enqueue(async_job("quiet"))
    assert await ledger.count(LedgerQuery()) == {JobState.QUEUED: 2}


async def test_bytes_are_bounded_and_come_free_again() -> None:
    ledger = LedgerMemory()
    async with (queue := queue_on(ledger, max_bytes=1000)).open():
        await queue.enqueue(async_job("busy", args=b"x" * 240))
        with pytest.raises(OverloadedError, match="QUEUE_MAX_BYTES"):
            await queue.enqueue(async_job("busy", args=b"x" * 11))
        await queue.enqueue(async_job("other", args=b"x" * 700))
        with pytest.raises(OverloadedError, match="QUEUE_MAX_BYTES"):
            await queue.enqueue(async_job("third", args=b"x" * 61))
        await take_ids(queue, 2)
        await queue.enqueue(async_job("busy", args=b"x" * 5000))  # alone it is never too large


async def test_concurrent_jobs_do_not_pass_the_bound_while_they_are_written() -> None:
    ledger = FailingLedger()
    async with (queue := queue_on(ledger, max_jobs=2)).open():
        ledger.gate.clear()
        calls = [asyncio.create_task(queue.enqueue(async_job())) for _ in range(5)]
        await asyncio.sleep(0)
        ledger.gate.set()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(answer) for answer in answers].count(OverloadedError) == 3
        assert queue.waiting == 2


async def test_ledger_that_is_away_refuses_and_takes_no_room() -> None:
    ledger = FailingLedger()
    async with (queue := queue_on(ledger, max_jobs=1)).open():
        ledger.away = True
        with pytest.raises(UnavailableError):
            await queue.enqueue(async_job())
        ledger.away = False
        await queue.enqueue(job := async_job())
        assert await take_ids(queue, 1) == [job.job_id]


async def test_cancelled_enqueue_takes_no_room() -> None:
    ledger = FailingLedger()
    async with (queue := queue_on(ledger, max_jobs=1)).open():
        ledger.gate.clear()
        call = asyncio.create_task(queue.enqueue(async_job()))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        ledger.gate.set()
        await queue.enqueue(async_job())


async def test_job_is_in_the_line_once() -> None:
    ledger = LedgerMemory()
    async with (queue := queue_on(ledger)).open():
        job = async_job()
        for _ in range(3):
            await queue.enqueue(job)
        assert queue.waiting == 1
        delivery = await queue.take_async()
        await queue.enqueue(job)
        assert queue.waiting == 0
        await delivery.acknowledge()
        await queue.enqueue(job)  # after an attempt
        assert queue.waiting == 1


async def test_second_call_for_a_job_does_not_return_before_it_is_kept() -> None:
    ledger = FailingLedger()
    async with (queue := queue_on(ledger)).open():
        ledger.gate.clear()
        job = async_job()
        calls = [asyncio.create_task(queue.enqueue(job)) for _ in range(2)]
        await asyncio.sleep(0)
        ledger.away = True
        ledger.gate.set()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(answer) for answer in answers] == [UnavailableError] * 2


async def test_job_that_is_over_does_not_come_again() -> None:
    ledger = LedgerMemory()
    async with (queue := queue_on(ledger)).open():
        over, dropped = async_job(), async_job()
        for job in (over, dropped):
            await ledger.cancel(job.job_id, job.space_id, now_ms=0)
        await ledger.drop(dropped.job_id)
        await queue.enqueue(over)
        await queue.enqueue(dropped)
        assert queue.waiting == 0


async def test_idempotency_key_puts_one_job_into_the_line() -> None:
    ledger = LedgerMemory()
    terms = AsyncTerms(accepted_ms=SystemClock().now_ms(), idempotency_key="k")
    first, again = (replace(async_job(), terms=terms) for _ in range(2))
    async with (queue := queue_on(ledger)).open():
        await queue.enqueue(first)
        await queue.enqueue(again)
        assert queue.waiting == 1


async def test_drain_does_not_wait_for_asynchronous_jobs() -> None:
    async with (queue := queue_on(LedgerMemory())).open():
        await queue.enqueue(async_job())
        await queue.wait_empty()


async def test_without_a_ledger_asynchronous_jobs_are_refused() -> None:
    queue = MemoryQueue(max_jobs=9, max_jobs_per_space=9, max_bytes=99, clock=SystemClock())
    async with queue.open():
        with pytest.raises(UnavailableError, match="ledger"):
            await queue.enqueue(async_job())
        with pytest.raises(UnavailableError, match="ledger"):
            await queue.take_async()
