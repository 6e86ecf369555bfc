"""What tests do with queues on a broker that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aio_pika

from runtime.backends.queue_rabbitmq import RabbitMqQueue
from runtime.errors import OursError
from runtime.messages import Outcome
from runtime.testing.queue import ok_outcome, sample_job

FAST: dict[str, Any] = {
    "heartbeat_s": 1,
    "publish_timeout_s": 2.0,
    "connect_timeout_s": 3.0,
    "reconnect_longest_s": 0.5,
}
"""Options with which a fault is noticed soon."""


async def finish_one(queue: RabbitMqQueue) -> None:
    delivery = await queue.take()
    await delivery.finish(ok_outcome(delivery.job))


async def finish_all(queue: RabbitMqQueue) -> None:
    """Also what callers were told nothing certain about."""
    while True:
        await finish_one(queue)


async def called(
    queue: RabbitMqQueue, worker: Callable[[RabbitMqQueue], Awaitable[None]] = finish_one
) -> Outcome:
    """One call through the queue. Raises OursError when it is refused."""
    working = asyncio.ensure_future(worker(queue))
    try:
        return await queue.call(sample_job())
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def answered(queue: RabbitMqQueue) -> Outcome:
    """One call through the queue, tried until the connections are back."""
    while True:
        try:
            return await called(queue, finish_all)
        except OursError:
            await asyncio.sleep(0.1)


async def until_taken(queue: RabbitMqQueue) -> None:
    """Until its callers know that a worker has their jobs."""
    while queue.waiting:
        await asyncio.sleep(0.01)


async def buried(queue: RabbitMqQueue, body: bytes, key: str) -> tuple[bytes, str]:
    """Publish what is no job. The body and the reason with which it is buried."""
    connection = await aio_pika.connect(queue._options.url)
    async with connection:
        channel = await connection.channel()
        exchange = await channel.get_exchange(queue.topology.exchange)
        await exchange.publish(aio_pika.Message(body), key)
        take = asyncio.create_task(queue.take() if key == "calls" else queue.take_async())
        dead = await channel.get_queue(queue.topology.queue("dead"))
        while (message := await dead.get(fail=False)) is None:
            await asyncio.sleep(0.05)
        await message.ack()
    take.cancel()
    await asyncio.gather(take, return_exceptions=True)
    return message.body, str(message.headers["why"])
