"""The queue contract over every adapter."""

import asyncio

import pytest

from runtime.backends.queue_memory import MemoryQueue
from runtime.ports import SystemClock
from runtime.testing.queue import QueueContract, QueueFactory, ok_outcome, sample_job


class TestMemoryQueue(QueueContract):
    @pytest.fixture
    def queue_factory(self) -> QueueFactory:
        return lambda max_jobs: MemoryQueue(max_jobs=max_jobs, clock=SystemClock())

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

    async def test_nothing_is_left_after_many_ends(self) -> None:
        queue = MemoryQueue(max_jobs=1000, clock=SystemClock())
        async with queue.open():
            calls = [asyncio.create_task(queue.call(sample_job(wait_ms=1))) for _ in range(200)]
            await asyncio.sleep(0)
            for call in calls[::2]:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            assert queue.waiting == 0
