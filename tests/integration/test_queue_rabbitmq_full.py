"""Shards that are full, on a real broker: accepted jobs are kept and run, and other spaces do not notice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from itertools import count

import pytest

from runtime.backends.queue_rabbitmq import RabbitMqQueue
from runtime.backends.rabbitmq import consumer, room
from runtime.backends.rabbitmq.publisher import QueueFullError
from runtime.backends.rabbitmq.topology import LOST
from runtime.testing.async_queue import async_job
from tests.harness.rabbitmq import RabbitMq
from tests.harness.rabbitmq_queue import installations, waiting

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]

HOLD_S = 0.05
Make = Callable[..., RabbitMqQueue]


@pytest.fixture
async def make(rabbitmq: RabbitMq, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Make]:
    """A queue of an installation of its own, in which workers look soon."""
    monkeypatch.setattr(consumer, "_HOLD_S", HOLD_S)
    monkeypatch.setattr(room, "_LOOK_S", 0.05)
    async with installations(rabbitmq.url) as make:
        yield make


def space_of(queue: RabbitMqQueue, shard: int) -> str:
    """One that lies in that shard."""
    names = (f"mp-{number}" for number in count())
    return next(name for name in names if queue.topology.shard_number(name) == shard)


async def fill(queue: RabbitMqQueue, space_id: str, *, delay_s: float = 0.0) -> set[str]:
    """Until it is refused. The jobs that were accepted."""
    accepted: set[str] = set()
    await why_refused(queue, space_id, accepted, delay_s=delay_s)
    return accepted


async def why_refused(
    queue: RabbitMqQueue, space_id: str, accepted: set[str], *, delay_s: float = 0.0
) -> str:
    while True:
        job = async_job(space_id)
        try:
            await queue.enqueue(job, delay_s=delay_s)
        except QueueFullError as error:
            return error.message
        accepted.add(job.job_id)


async def take_one(queue: RabbitMqQueue) -> str:
    delivery = await asyncio.wait_for(queue.take_async(), 10)
    await delivery.acknowledge()
    return delivery.job.job_id


async def until_waiting(queue: RabbitMqQueue, key: str, at_least: int) -> None:
    while await waiting(queue, key) < at_least:
        await asyncio.sleep(0.05)


async def test_what_busy_workers_only_held_is_never_given_up(make: Make) -> None:
    queue = make(shards=1, shard_max_jobs=4, delivery_limit=2)
    accepted, seen = set(), set()
    async with queue.open():
        for _ in range(8):
            accepted |= await fill(queue, "mp-1")
            seen.add(await take_one(queue))
            await asyncio.sleep(4 * HOLD_S)  # the job is longer than what it held ahead waits
        while seen != accepted:
            seen.add(await take_one(queue))
        assert await waiting(queue, LOST) == 0


async def test_a_job_goes_back_to_a_full_shard(make: Make) -> None:
    queue = make(shards=1, shard_max_jobs=2)
    async with queue.open():
        accepted = await fill(queue, "mp-1")
        delivery = await queue.take_async()
        accepted |= await fill(queue, "mp-1")
        await delivery.hand_back()
        seen = {await take_one(queue) for _ in accepted}
        assert seen == accepted


async def test_a_full_shard_does_not_stop_the_delayed_jobs_of_others(make: Make) -> None:
    queue = make(shards=2, shard_max_jobs=5)
    full, other = space_of(queue, 0), space_of(queue, 1)
    async with queue.open():
        accepted = await fill(queue, full)
        for _ in range(3):
            await queue.enqueue(job := async_job(full), delay_s=1)
            accepted.add(job.job_id)
        await until_waiting(queue, queue.topology.due(full), 3)
        await queue.enqueue(job := async_job(other), delay_s=1)
        accepted.add(job.job_id)
        await until_waiting(queue, queue.topology.due(other), 1)
        assert {await take_one(queue) for _ in accepted} == accepted


async def test_delayed_jobs_count_against_the_bound_of_their_shard(make: Make) -> None:
    queue = make(shards=2, shard_max_jobs=5)
    full, other = space_of(queue, 0), space_of(queue, 1)
    async with queue.open():
        accepted = await fill(queue, full, delay_s=1)  # by the broker, or by what was counted
        assert 5 <= len(accepted) <= 7
        await until_waiting(queue, queue.topology.due(full), 5)
        accepted |= await fill(queue, full, delay_s=2)
        while "YUNHAN_QUEUE_SHARD_MAX_JOBS" not in await why_refused(queue, full, accepted):
            await asyncio.sleep(0.05)  # the broker refused it: the queue is full, too
        await queue.enqueue(job := async_job(other))
        accepted.add(job.job_id)
        assert {await take_one(queue) for _ in accepted} == accepted
        while True:  # there is room again
            try:
                await queue.enqueue(async_job(full))
                break
            except QueueFullError:
                await asyncio.sleep(0.05)


async def test_a_full_delay_queue_keeps_what_is_postponed(make: Make) -> None:
    queue = make(shards=1, shard_max_jobs=2, delays_s=(1,))
    async with queue.open():
        await queue.enqueue(held := async_job("mp-1"))
        delivery = await queue.take_async()
        accepted = await fill(queue, "mp-1", delay_s=1)
        await delivery.postpone(1)
        accepted.add(held.job_id)
        assert {await take_one(queue) for _ in accepted} == accepted


async def test_no_shard_is_always_first(make: Make) -> None:
    """One slot, and jobs that are longer than the hold: each is the first that comes after a pause."""
    queue = make(shards=8)
    spaces = [space_of(queue, shard) for shard in (0, 7)]
    async with queue.open():
        for _ in range(16):
            for space_id in spaces:
                await queue.enqueue(async_job(space_id))
        taken: Counter[str] = Counter()
        for _ in range(16):
            delivery = await asyncio.wait_for(queue.take_async(), 10)
            await delivery.acknowledge()
            taken[delivery.job.space_id] += 1
            await asyncio.sleep(4 * HOLD_S)
        assert set(taken) == set(spaces)
