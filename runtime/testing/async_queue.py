"""What every `Queue` adapter must keep for asynchronous jobs. Subclass it and give `queue_factory`."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import ClassVar

import pytest

from runtime.errors import OverloadedError, UnavailableError
from runtime.messages import AsyncTerms, Job
from runtime.ports import Queue, SystemClock
from runtime.testing.queue import QueueFactory, ok_outcome, sample_job

DELAY_S = 1.0
"""The shortest delay that every adapter can keep."""


def async_job(space_id: str = "mp-space", function: str = "hello", **changes: object) -> Job:
    """A valid asynchronous job."""
    terms = AsyncTerms(accepted_ms=SystemClock().now_ms())
    return replace(sample_job(space_id, function, terms=terms), **changes)  # type: ignore[arg-type]


class AsyncQueueContract:
    """The rules of the port for `enqueue` and `take_async`, as tests.

    Nothing is said about the order of one space's jobs: a job can come again at any time."""

    spaces: ClassVar[tuple[str, str]] = ("mp-busy", "mp-quiet")
    """Two spaces that the adapter can tell apart when it is fair."""

    @pytest.fixture
    def queue_factory(self) -> QueueFactory:
        """Makes a queue that keeps so many asynchronous jobs. What is kept outlives `open`."""
        raise NotImplementedError

    async def test_a_job_reaches_a_worker_as_it_was(self, queue_factory: QueueFactory) -> None:
        queue = queue_factory(10)
        async with queue.open():
            job = async_job()
            await queue.enqueue(job)
            delivery = await queue.take_async()
            assert delivery.job == job
            await delivery.acknowledge()

    async def test_a_taker_that_waits_gets_the_next_job(self, queue_factory: QueueFactory) -> None:
        queue = queue_factory(10)
        async with queue.open():
            taker = asyncio.create_task(queue.take_async())
            await asyncio.sleep(0)
            job = async_job()
            await queue.enqueue(job)
            delivery = await taker
            assert delivery.job == job
            await delivery.acknowledge()

    async def test_an_acknowledged_job_does_not_come_again(
        self, queue_factory: QueueFactory
    ) -> None:
        queue = queue_factory(10)
        async with queue.open():
            await queue.enqueue(async_job(function="first"))
            await (await queue.take_async()).acknowledge()
        async with queue.open():
            await queue.enqueue(async_job(function="second"))
            delivery = await queue.take_async()
            assert delivery.job.function == "second"
            await delivery.acknowledge()

    async def test_a_job_of_a_worker_that_went_away_comes_again(
        self, queue_factory: QueueFactory
    ) -> None:
        queue = queue_factory(10)
        job = async_job()
        async with queue.open():
            await queue.enqueue(job)
            lost = await queue.take_async()
            assert lost.job == job
        async with queue.open():
            delivery = await queue.take_async()
            assert delivery.job == job
            await delivery.acknowledge()

    async def test_a_job_outlives_the_queue_that_accepted_it(
        self, queue_factory: QueueFactory
    ) -> None:
        queue = queue_factory(10)
        jobs = [async_job() for _ in range(3)]
        async with queue.open():
            for job in jobs:
                await queue.enqueue(job)
        async with queue.open():
            seen = set()
            for _ in jobs:
                delivery = await queue.take_async()
                seen.add(delivery.job.job_id)
                await delivery.acknowledge()
            assert seen == {job.job_id for job in jobs}

    async def test_a_handed_back_job_comes_again(self, queue_factory: QueueFactory) -> None:
        queue = queue_factory(10)
        async with queue.open():
            job = async_job()
            await queue.enqueue(job)
            await (await queue.take_async()).hand_back()
            delivery = await queue.take_async()
            assert delivery.job == job
            await delivery.acknowledge()

    async def test_a_delayed_job_comes_later(self, queue_factory: QueueFactory) -> None:
        queue = queue_factory(10)
        clock = SystemClock()
        async with queue.open():
            began = clock.monotonic()
            await queue.enqueue(async_job(function="later"), delay_s=DELAY_S)
            await queue.enqueue(async_job(function="now"))
            first = await queue.take_async()
            assert first.job.function == "now"
            await first.acknowledge()
            second = await queue.take_async()
            assert second.job.function == "later"
            assert clock.monotonic() - began >= DELAY_S
            await second.acknowledge()

    async def test_a_postponed_job_comes_later(self, queue_factory: QueueFactory) -> None:
        queue = queue_factory(10)
        clock = SystemClock()
        async with queue.open():
            job = async_job(function="over its quota")
            await queue.enqueue(job)
            delivery = await queue.take_async()
            began = clock.monotonic()
            await delivery.postpone(DELAY_S)
            await queue.enqueue(async_job(function="now"))
            first = await queue.take_async()
            assert first.job.function == "now"
            await first.acknowledge()
            second = await queue.take_async()
            assert second.job == job
            assert clock.monotonic() - began >= DELAY_S
            await second.acknowledge()

    async def test_a_cancelled_taker_loses_no_job(self, queue_factory: QueueFactory) -> None:
        queue = queue_factory(10)
        async with queue.open():
            taker = asyncio.create_task(queue.take_async())
            await asyncio.sleep(0)
            await queue.enqueue(async_job())
            taker.cancel()
            try:
                delivery = await taker
            except asyncio.CancelledError:
                delivery = await queue.take_async()
            await delivery.acknowledge()

    async def test_a_full_queue_refuses_and_keeps_what_it_has(
        self, queue_factory: QueueFactory
    ) -> None:
        """The bound may be a soft one: more may be let in."""
        queue = queue_factory(2)
        accepted = []
        async with queue.open():
            refused = 0
            for _ in range(5):
                job = async_job()
                try:
                    await queue.enqueue(job)
                except OverloadedError:
                    refused += 1
                else:
                    accepted.append(job.job_id)
            assert refused
            assert len(accepted) >= 2
            seen = []
            for _ in accepted:
                delivery = await queue.take_async()
                seen.append(delivery.job.job_id)
                await delivery.acknowledge()
            assert sorted(seen) == sorted(accepted)

    async def settled(self, queue: Queue) -> None:
        """Until what was just acknowledged makes way for the next ones; at once where nothing travels."""

    async def test_a_busy_space_does_not_keep_a_quiet_one_waiting(
        self, queue_factory: QueueFactory
    ) -> None:
        busy, quiet = self.spaces
        queue = queue_factory(100)
        async with queue.open():
            for _ in range(20):
                await queue.enqueue(async_job(busy))
            await queue.enqueue(async_job(quiet))
            order = []
            for _ in range(21):
                delivery = await queue.take_async()
                order.append(delivery.job.space_id)
                await delivery.acknowledge()
                await self.settled(queue)
            assert order.index(quiet) < 10, order

    async def test_the_two_kinds_of_jobs_do_not_mix(self, queue_factory: QueueFactory) -> None:
        queue = queue_factory(10)
        async with queue.open():
            await queue.enqueue(async_job(function="asynchronous"))
            call = asyncio.create_task(queue.call(sample_job(function="synchronous")))
            taken = await queue.take()
            assert taken.job.function == "synchronous"
            await taken.finish(ok_outcome(taken.job))
            delivery = await queue.take_async()
            assert delivery.job.function == "asynchronous"
            await delivery.acknowledge()
            assert (await call).ok

    async def test_a_job_without_terms_is_not_enqueued(self, queue_factory: QueueFactory) -> None:
        queue = queue_factory(10)
        async with queue.open():
            with pytest.raises(ValueError, match="terms"):
                await queue.enqueue(sample_job())

    async def test_a_closed_queue_accepts_nothing(self, queue_factory: QueueFactory) -> None:
        queue: Queue = queue_factory(10)
        with pytest.raises(UnavailableError):
            await queue.enqueue(async_job())
        async with queue.open():
            pass
        with pytest.raises(UnavailableError):
            await queue.enqueue(async_job())
