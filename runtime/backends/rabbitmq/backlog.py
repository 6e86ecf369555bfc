"""How many asynchronous jobs the broker has, in whatever queue."""

from __future__ import annotations

import asyncio

from runtime.backends.amqp.connection import connect
from runtime.backends.amqp.errors import AmqpError
from runtime.backends.rabbitmq.options import RabbitMqOptions
from runtime.backends.rabbitmq.topology import CALLS, DEAD, EXPIRED, WILLS, Topology
from runtime.errors import UnavailableError

_OTHERS = (CALLS, EXPIRED, DEAD, WILLS)
"""What is there is no asynchronous job."""


async def count_backlog(options: RabbitMqOptions, topology: Topology) -> int:
    """Those that no worker has in its hands. Raises UnavailableError."""
    others = {topology.queue(key) for key in _OTHERS}
    try:
        async with asyncio.timeout(options.connect_timeout_s * 2):
            connection = await connect(options.endpoint("backlog"))
            try:
                channel = await connection.channel(confirms=False)
                names = [spec.name for spec in topology.queues() if spec.name not in others]
                return sum([await channel.count(name) for name in names])
            finally:
                await connection.close()
    except (AmqpError, OSError, TimeoutError) as error:
        raise UnavailableError(
            f"RabbitMQ at {options.where} does not tell what waits ({type(error).__name__}); try again"
        ) from error
