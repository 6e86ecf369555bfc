"""How many asynchronous jobs the broker has, in whatever queue."""

from __future__ import annotations

import asyncio

import aio_pika
from aio_pika.exceptions import AMQPError

from runtime.backends.rabbitmq.options import RabbitMqOptions
from runtime.backends.rabbitmq.topology import CALLS, DEAD, EXPIRED, Topology
from runtime.errors import UnavailableError

_OTHERS = (CALLS, EXPIRED, DEAD)
"""What is there is no asynchronous job."""


async def count_backlog(options: RabbitMqOptions, topology: Topology) -> int:
    """Those that no worker has in its hands. Raises UnavailableError."""
    others = {topology.queue(key) for key in _OTHERS}
    total = 0
    try:
        async with asyncio.timeout(options.connect_timeout_s * 2):
            connection = await aio_pika.connect(
                options.link_url(),
                ssl_context=options.tls(),
                timeout=options.connect_timeout_s,
                client_properties={"connection_name": f"{options.prefix} backlog"},
            )
            async with connection:
                channel = await connection.channel()
                for spec in topology.queues():
                    if spec.name not in others:
                        queue = await channel.declare_queue(spec.name, passive=True)
                        total += queue.declaration_result.message_count or 0
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # aio-pika ends what waits on a lost connection so, too
        raise _no_answer(options, "connection lost") from None
    except (AMQPError, OSError, TimeoutError, RuntimeError) as error:
        raise _no_answer(options, type(error).__name__) from error
    return total


def _no_answer(options: RabbitMqOptions, why: str) -> UnavailableError:
    return UnavailableError(
        f"RabbitMQ at {options.where} does not tell what waits ({why}); try again"
    )
