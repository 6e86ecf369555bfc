"""Queues of the RabbitMQ adapter on a test broker, each installation under a prefix of its own."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aio_pika

from runtime.backends.queue_rabbitmq import RabbitMqQueue
from runtime.backends.rabbitmq.options import RabbitMqOptions
from runtime.backends.rabbitmq.topology import Topology
from runtime.ports import SystemClock


def new_options(url: str, **changes: Any) -> RabbitMqOptions:
    """Few queues, a prefix that nobody has."""
    values: dict[str, Any] = {
        "url": url,
        "prefix": f"test-{uuid.uuid4().hex[:12]}",
        "shards": 2,
        "delays_s": (1, 2),
        **changes,
    }
    return RabbitMqOptions(**values)


@asynccontextmanager
async def installation(url: str, **changes: Any) -> AsyncIterator[RabbitMqOptions]:
    """`new_options`, whose queues go when it ends."""
    options = new_options(url, **changes)
    try:
        yield options
    finally:
        await delete_queues(options)


@asynccontextmanager
async def installations(url: str) -> AsyncIterator[Callable[..., RabbitMqQueue]]:
    """Makes queues of installations of their own with the given options; what they made goes with it."""
    async with AsyncExitStack() as stack:

        def make(**changes: Any) -> RabbitMqQueue:
            options = new_options(url, **changes)
            stack.push_async_callback(delete_queues, options)
            return rabbitmq_queue(options)

        yield make


def rabbitmq_queue(options: RabbitMqOptions) -> RabbitMqQueue:
    return RabbitMqQueue(options, clock=SystemClock())


async def waiting(queue: RabbitMqQueue, key: str) -> int:
    """Messages in the queue behind a routing key that nobody has."""
    connection = await aio_pika.connect(queue._options.url)
    async with connection:
        channel = await connection.channel()
        declared = await channel.declare_queue(queue.topology.queue(key), passive=True)
        return declared.declaration_result.message_count or 0


async def delete_queues(options: RabbitMqOptions) -> None:
    """Everything that `Topology.declare` made."""
    topology = Topology(options)
    connection = await aio_pika.connect(options.url)
    async with connection:
        channel = await connection.channel()
        for spec in topology.queues():
            await channel.queue_delete(spec.name)
            if spec.key is None:
                await channel.exchange_delete(spec.name)
        await channel.exchange_delete(topology.exchange)
