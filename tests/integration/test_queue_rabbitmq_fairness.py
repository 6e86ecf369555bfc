"""Two spaces in one shard of a real broker: a backlog of one does not hide the other's job."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from runtime.backends.queue_rabbitmq import RabbitMqQueue
from runtime.backends.rabbitmq import consumer
from runtime.backends.rabbitmq.options import RabbitMqOptions
from runtime.testing.async_queue import async_job
from tests.harness.rabbitmq import RabbitMq
from tests.harness.rabbitmq_queue import installation, rabbitmq_queue

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

BACKLOG = 200


@pytest.fixture
async def options(
    rabbitmq: RabbitMq, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RabbitMqOptions]:
    monkeypatch.setattr(consumer, "_HOLD_S", 60.0)  # a busy worker looks ahead for so long
    async with installation(rabbitmq.url, shards=1) as options:
        yield options


async def until_set_aside(queue: RabbitMqQueue, count: int) -> None:
    while queue.counts["set_aside"] < count:
        await asyncio.sleep(0.01)  # the broker tells nobody


async def test_a_single_job_behind_a_backlog_begins_at_once(options: RabbitMqOptions) -> None:
    queue, another = rabbitmq_queue(options), rabbitmq_queue(options)
    busy = [async_job("mp-busy") for _ in range(BACKLOG)]
    silent = async_job("mp-silent")
    async with queue.open():
        await asyncio.gather(*(queue.enqueue(job) for job in busy))
        await queue.enqueue(silent)
        held = [await queue.take_async()]  # the worker is busy with it, and looks ahead
        await until_set_aside(queue, BACKLOG - 2)
        held += [await queue.take_async() for _ in range(4)]
        assert silent.job_id in {delivery.job.job_id for delivery in held}
        for delivery in held:
            await delivery.acknowledge()
    seen = {delivery.job.job_id for delivery in held}
    async with another.open():  # what was set aside is for every worker
        while len(seen) <= BACKLOG:
            delivery = await another.take_async()
            seen.add(delivery.job.job_id)
            await delivery.acknowledge()
    assert seen == {job.job_id for job in [*busy, silent]}


async def test_what_was_set_aside_goes_back_to_its_lane(options: RabbitMqOptions) -> None:
    queue = rabbitmq_queue(options)
    async with queue.open():
        for _ in range(4):
            await queue.enqueue(async_job("mp-busy"))
        first = await queue.take_async()
        await until_set_aside(queue, 2)
        second, third = await queue.take_async(), await queue.take_async()
        await third.hand_back()
        await first.acknowledge()
        await second.acknowledge()
        left = {(await queue.take_async()).job.job_id for _ in range(2)}
        assert third.job.job_id in left
        assert queue.counts["set_aside"] == 2, "a job is set aside at most once"
