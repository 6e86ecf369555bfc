"""The queue contract over every adapter."""

import asyncio
from dataclasses import replace

import pytest

from runtime.backends.queue_memory import MemoryQueue
from runtime.errors import OverloadedError
from runtime.messages import Job
from runtime.ports import SystemClock
from runtime.testing.queue import QueueContract, QueueFactory, ok_outcome, sample_job


def memory_queue(
    max_jobs: int, max_jobs_per_space: int = 1000, max_bytes: int = 1 << 20
) -> MemoryQueue:
    return MemoryQueue(
        max_jobs=max_jobs,
        max_jobs_per_space=max_jobs_per_space,
        max_bytes=max_bytes,
        clock=SystemClock(),
    )


class TestMemoryQueue(QueueContract):
    @pytest.fixture
    def queue_factory(self) -> QueueFactory:
        return memory_queue

    async def test_spaces_take_turns(self, queue_factory: QueueFactory) -> None:
        queue = queue_factory(10)
        async with queue.open():
            spaces = ["busy", "busy", "busy", "quiet"]
            calls = [asyncio.create_task(queue.call(sample_job(space_id=s))) for s in spaces]
            await asyncio.sleep(0)
            order = []
            for _ in calls:
                delivery = await queue.take()
                order.append(delivery.job.space_id)
                await delivery.finish(ok_outcome(delivery.job))
            assert order == ["busy", "quiet", "busy", "busy"]
            await asyncio.gather(*calls)

    async def test_a_busy_space_is_refused_before_it_keeps_the_others_out(self) -> None:
        queue = memory_queue(10, max_jobs_per_space=2)
        async with queue.open():
            calls = [asyncio.create_task(queue.call(sample_job("busy"))) for _ in range(2)]
            await asyncio.sleep(0)
            with pytest.raises(OverloadedError, match="space busy"):
                await queue.call(sample_job("busy"))
            calls.append(asyncio.create_task(queue.call(sample_job("quiet"))))
            for _ in calls:
                delivery = await queue.take()
                await delivery.finish(ok_outcome(delivery.job))
            assert all(outcome.ok for outcome in await asyncio.gather(*calls))

    async def test_waiting_arguments_are_bounded_in_bytes(self) -> None:
        """One space may have a quarter; what waits alone is never too large."""
        queue = memory_queue(1000, max_bytes=1000)

        def job(space_id: str, size: int) -> Job:
            return replace(sample_job(space_id), args=b"x" * size)

        async with queue.open():
            calls = []
            for space_id in ("busy", "busy"):
                calls.append(asyncio.create_task(queue.call(job(space_id, 125))))
                await asyncio.sleep(0)
            with pytest.raises(OverloadedError, match="YUNHAN_QUEUE_MAX_BYTES"):
                await queue.call(job("busy", 1))
            calls.append(asyncio.create_task(queue.call(job("other", 250))))
            calls.append(asyncio.create_task(queue.call(job("more", 250))))
            calls.append(asyncio.create_task(queue.call(job("most", 250))))
            await asyncio.sleep(0)
            with pytest.raises(OverloadedError, match="YUNHAN_QUEUE_MAX_BYTES"):
                await queue.call(job("third", 1))
            for _ in calls:
                await (delivery := await queue.take()).finish(ok_outcome(delivery.job))
            calls.append(asyncio.create_task(queue.call(job("large", 5000))))
            await (delivery := await queue.take()).finish(ok_outcome(delivery.job))
            assert all(outcome.ok for outcome in await asyncio.gather(*calls))

    async def test_nothing_is_left_after_many_ends(self) -> None:
        queue = memory_queue(1000)
        async with queue.open():
            calls = [asyncio.create_task(queue.call(sample_job(wait_ms=1))) for _ in range(200)]
            await asyncio.sleep(0)
            for call in calls[::2]:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            assert queue.waiting == 0
