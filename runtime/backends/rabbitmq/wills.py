"""Gateways learn that a worker died: each worker leaves a last will with the broker.

Wills are messages of one queue, which keeps nothing that it cannot deliver at once (time to live 0). Each
worker takes one, no more, and does not acknowledge it. When its connection ends without a goodbye, the broker
puts the will back, finds nobody to give it to and sends it to every gateway by dead-lettering: 2 ms later
(tried on 3.10). The connection is that of the worker's jobs: what gives those to others sends the will as
well. The queue is declared together with that of the jobs, so in a cluster both are on one node and lose the
worker at the same time; a policy that spreads classic queues over the nodes must not tear them apart.

What it is good for: a worker need not say of every job that it takes it, before it runs (`CallDelivery`).
When the broker drops a job that nobody took in time, and no worker died since it was published, it never ran.
"""

from __future__ import annotations

import asyncio
import math
import uuid
from collections.abc import Awaitable, Callable

import structlog
from pamqp.commands import Basic

from runtime.backends.amqp.channel import Channel, Message
from runtime.backends.amqp.connection import Connection
from runtime.backends.amqp.errors import AmqpError
from runtime.backends.rabbitmq.publisher import Publisher
from runtime.backends.rabbitmq.topology import DEATHS, WILLS, Topology
from runtime.errors import OursError

_log = structlog.get_logger(__name__)

_AGAIN_S = 5.0
"""A worker without a will tries again so often."""
_TOLD_WITHIN_S = 0.1
"""Longer than it takes to tell of a job that has to be told."""


class LastWill:
    """A worker's half. It is written over the connection that jobs are published on: an alarm of the broker
    stops such connections, and would stop that of a worker that only takes jobs."""

    def __init__(
        self,
        topology: Topology,
        publisher: Publisher,
        *,
        renew_s: float,
        taken_after_s: float,
        repair: Callable[[], Awaitable[None]],
    ) -> None:
        """`renew_s`: a will is not held for longer; the broker ends channels that hold a message for too
        long. `repair` makes a deleted queue again."""
        self._topology = topology
        self._publisher = publisher
        self._renew_s = renew_s
        self._quiet_s = taken_after_s + _TOLD_WITHIN_S
        self._repair = repair
        self._channel: Channel | None = None
        self._consuming = False
        self._message: Message | None = None
        self._change = asyncio.Event()

    @property
    def held(self) -> bool:
        """The broker tells the gateways when this worker dies now."""
        return self._message is not None

    async def open(self, connection: Connection) -> Channel:
        """Of a new connection. Raises AmqpError. The will is held a moment later."""
        channel = await connection.channel(confirms=False)
        await channel.prefetch(1)
        await self._consume(channel)
        self._channel = channel
        self._change.set()
        return channel

    def close(self) -> None:
        """The connection is gone."""
        self._channel, self._message = None, None

    async def run(self) -> None:
        """Write it and renew it, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(self._renew_s if self.held else _AGAIN_S):
                    await self._change.wait()
            except TimeoutError:
                pass
            self._change.clear()
            try:
                await self._renew()
            except (AmqpError, OursError) as error:
                _log.warning("last_will_not_written", reason=f"{type(error).__name__}: {error}")

    def withdraw(self) -> None:
        """The worker ends in order: nothing is sent. Idempotent."""
        message, self._message = self._message, None
        if message is not None and not message.channel.closed.done():
            message.channel.ack(message)

    async def _renew(self) -> None:
        channel = self._channel
        if channel is None:
            return
        if not self._consuming:
            await self._repair()
            await self._consume(channel)
        before, self._message = self._message, None
        if before is not None:
            await asyncio.sleep(self._quiet_s)  # what began under the old one is told or over
            channel.ack(before)
        await self._publisher.publish(
            b"",
            exchange="",
            routing_key=self._topology.queue(WILLS),
            properties=Basic.Properties(delivery_mode=1, message_id=uuid.uuid4().hex),
        )

    async def _consume(self, channel: Channel) -> None:
        self._consuming = True
        await channel.consume(
            self._topology.queue(WILLS),
            self._on_message,
            tag=f"will.{uuid.uuid4().hex}",
            on_cancelled=self._on_cancelled,
        )

    def _on_message(self, message: Message) -> None:
        self._message = message

    def _on_cancelled(self, _tag: str) -> None:
        """The queue was deleted, and the will with it."""
        _log.warning("last_will_lost")
        self._message, self._consuming = None, False
        self._change.set()


class Deaths:
    """A gateway's half."""

    def __init__(self, topology: Topology, publisher: Publisher) -> None:
        """The publisher's channel is that of `open`."""
        self._topology = topology
        self._publisher = publisher
        self._channel: Channel | None = None
        self._own_key = ""
        """Of our queue alone: for the proof that it is still bound."""
        self._last_s = -math.inf
        self._proved_s = -math.inf
        self._proving = asyncio.Lock()

    async def open(self, channel: Channel) -> None:
        """Of a new connection. Raises AmqpError."""
        self._own_key = f"{DEATHS}.{uuid.uuid4().hex}"
        queue = self._topology.queue(self._own_key)
        await channel.declare(queue, durable=False, exclusive=True, arguments={})
        await self._bind(channel)
        await channel.consume(
            queue, self._on_message, tag=DEATHS, on_cancelled=self._on_cancelled, no_ack=True
        )
        self._channel = channel
        self._last_s = asyncio.get_running_loop().time()  # somebody may have died before

    async def since(self, moment_s: float) -> bool:
        """Whether a worker may have died after this moment (loop time). Never raises but for cancellation.

        The broker does not tell when somebody deletes a binding, so it is proved first that ours is there."""
        now = asyncio.get_running_loop().time
        asked_s = now()
        async with self._proving:
            if self._proved_s < asked_s:  # else by somebody who asked at the same time
                began_s = now()
                if not await self._prove():
                    return True
                self._proved_s = began_s
        return self._last_s >= moment_s

    async def _prove(self) -> bool:
        """When it is confirmed that the message is in our queue, everything before it has come here."""
        try:
            await self._publisher.publish(
                b"",
                exchange=self._topology.exchange,
                routing_key=self._own_key,
                properties=Basic.Properties(delivery_mode=1, message_id=self._own_key),
            )
        except OursError as error:
            _log.warning("deaths_not_told", reason=error.message)
            await self._bind_again()
            return False
        return True

    async def _bind_again(self) -> None:
        if self._channel is None or self._channel.closed.done():
            return
        try:
            await self._bind(self._channel)
        except AmqpError as error:
            _log.warning("deaths_not_bound", reason=str(error))
        self._last_s = max(self._last_s, asyncio.get_running_loop().time())

    async def _bind(self, channel: Channel) -> None:
        queue = self._topology.queue(self._own_key)
        for key in (DEATHS, self._own_key):
            await channel.bind(queue, exchange=self._topology.exchange, routing_key=key)

    def _on_message(self, message: Message) -> None:
        if message.routing_key == DEATHS:
            self._last_s = asyncio.get_running_loop().time()

    def _on_cancelled(self, _tag: str) -> None:
        """The queue was deleted: nobody tells us any more, before the next connection."""
        _log.warning("deaths_not_told", reason="the queue was deleted")
        self._last_s = math.inf
