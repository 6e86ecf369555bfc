"""Refuses new jobs of shards that have too many accepted ones beside their queue.

Accepted jobs are never refused: those that are delayed or come back to a full shard lie in queues beside it
(`Topology.beside`). Without this, a space over its quota could fill its shard again and again. The gateway
that accepts jobs counts what is there every few seconds, so by so much more than the bound may be accepted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from runtime.backends.amqp.channel import Channel
from runtime.backends.amqp.connection import Connection
from runtime.backends.amqp.errors import AmqpError
from runtime.backends.rabbitmq.options import RabbitMqOptions
from runtime.backends.rabbitmq.publisher import QueueFullError
from runtime.backends.rabbitmq.topology import Topology
from runtime.ports import Clock

_LOOK_S = 2.0
_ASKED_S = 60.0
"""A shard is looked at as long as somebody asks for it so often."""


class Room:
    """One program's part. Its connection publishes nothing: the broker never stops reading it."""

    def __init__(self, options: RabbitMqOptions, topology: Topology, *, clock: Clock) -> None:
        self._options = options
        self._topology = topology
        self._clock = clock
        self._asked: dict[int, float] = {}
        """When, by shard; seconds, monotonic."""
        self._beside: dict[int, int] = {}
        """Jobs that the last look found, by shard."""
        self._channel: Channel | None = None

    def check(self, space_id: str) -> None:
        """Raises QueueFullError. Before the first look there is room."""
        number = self._topology.shard_number(space_id)
        self._asked[number] = self._clock.monotonic()
        beside, most = self._beside.get(number, 0), self._options.shard_max_jobs
        if beside > most:
            raise QueueFullError(
                f"{beside} jobs of shard {number} are delayed or came back to it, more than {most}"
                " (YUNHAN_QUEUE_SHARD_MAX_JOBS); try again later"
            )

    async def open(self, connection: Connection) -> Sequence[Channel]:
        """Of a new connection. Raises AmqpError."""
        channel = await connection.channel(confirms=False)
        await self._look(channel)
        self._channel = channel
        return [channel]

    def close(self) -> None:
        """The connection is gone: what is known stays."""
        self._channel = None

    async def run(self) -> None:
        """Look, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            if self._channel is not None:
                try:
                    await self._look(self._channel)
                except AmqpError:
                    continue  # its link tells, and makes it again

    async def _look(self, channel: Channel) -> None:
        since = self._clock.monotonic() - _ASKED_S
        self._asked = {number: at for number, at in self._asked.items() if at >= since}
        for number in list(self._asked):
            queues = map(self._topology.queue, self._topology.beside(number))
            self._beside[number] = sum([await channel.count(queue) for queue in queues])
        for number in self._beside.keys() - self._asked.keys():
            del self._beside[number]
