"""Gateways learn that a worker died: each worker leaves a last will with the broker.

The will is a message in a queue of this worker alone, which keeps nothing that it cannot deliver at once
(time to live 0). The worker gets it and never acknowledges it. When its connection ends without a goodbye,
the broker puts the message back, finds nobody to give it to and sends it to every gateway by dead-lettering:
2 ms later (tried on 3.10). It is on the channel of the worker's jobs, so whatever gives those to others sends
it as well.

What it is good for: a worker need not say of every job that it takes it, before it runs (`CallDelivery`).
When the broker drops a job that nobody took in time, and no worker died since it was published, it never ran.
"""

from __future__ import annotations

import asyncio
import math
import uuid

import structlog
from pamqp.commands import Basic

from runtime.backends.amqp.channel import Channel, Message
from runtime.backends.amqp.errors import AmqpError
from runtime.backends.rabbitmq.topology import DEATHS, Topology

_log = structlog.get_logger(__name__)

_RENEW_S = 300.0
"""Well below RabbitMQ's consumer_timeout: a message that is held for longer ends the channel."""


class LastWill:
    """A worker's half."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._channel: Channel | None = None
        self._queue = ""
        self._message: Message | None = None

    @property
    def held(self) -> bool:
        """The broker tells the gateways when this worker dies now."""
        return self._message is not None

    async def open(self, channel: Channel) -> None:
        """Of a new connection. Raises AmqpError. The will is held a moment later."""
        self._queue = self._topology.will(uuid.uuid4().hex)
        await channel.declare(self._queue, durable=True, arguments=self._topology.will_arguments())
        await channel.prefetch(2)  # a new one comes before the old one goes
        await channel.consume(
            self._queue, self._on_message, tag="will", on_cancelled=self._on_cancelled
        )
        self._channel = channel
        await self._write(channel)

    def close(self) -> None:
        """The connection is gone."""
        self._channel, self._message = None, None

    async def run(self) -> None:
        """Renew it, until cancelled."""
        while True:
            await asyncio.sleep(_RENEW_S)
            if self._channel is not None:
                try:
                    await self._write(self._channel)
                except AmqpError as error:
                    _log.warning("last_will_not_renewed", reason=str(error))

    def withdraw(self) -> None:
        """The worker ends in order: nothing is sent. Idempotent."""
        message, self._message = self._message, None
        if message is not None and not message.channel.closed.done():
            message.channel.ack(message)

    async def _write(self, channel: Channel) -> None:
        await channel.send(
            b"", routing_key=self._queue, properties=Basic.Properties(delivery_mode=1)
        )

    def _on_message(self, message: Message) -> None:
        self.withdraw()
        self._message = message

    def _on_cancelled(self, _tag: str) -> None:
        """The queue was deleted, and the will with it. The next connection makes another one."""
        _log.warning("last_will_lost", queue=self._queue)
        self._message = None


class Deaths:
    """A gateway's half."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._last_s = -math.inf

    async def open(self, channel: Channel) -> None:
        """Of a new connection. Raises AmqpError."""
        queue = self._topology.queue(f"{DEATHS}.{uuid.uuid4().hex}")
        await channel.declare(queue, durable=False, exclusive=True, arguments={})
        await channel.bind(queue, exchange=self._topology.exchange, routing_key=DEATHS)
        await channel.consume(
            queue, self._on_death, tag=DEATHS, on_cancelled=self._on_cancelled, no_ack=True
        )
        self._last_s = asyncio.get_running_loop().time()  # somebody may have died before

    def since(self, moment_s: float) -> bool:
        """Whether a worker may have died after this moment; loop time."""
        return self._last_s >= moment_s

    def _on_death(self, _message: Message) -> None:
        self._last_s = asyncio.get_running_loop().time()

    def _on_cancelled(self, _tag: str) -> None:
        """The queue was deleted: nobody tells us any more, before the next connection."""
        _log.warning("deaths_not_told")
        self._last_s = math.inf
