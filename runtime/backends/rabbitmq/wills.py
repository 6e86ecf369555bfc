"""Gateways learn that a worker died: each worker leaves a last will with the broker.

Wills are messages of one queue, which keeps nothing that it cannot deliver at once (time to live 0). Each
worker takes one, no more, and does not acknowledge it. When its connection ends without a goodbye, the broker
puts the will back, finds nobody to give it to and sends it to every gateway by dead-lettering: 2 ms later
(tried on 3.10). The connection is that of the worker's jobs: what gives those to others sends the will as
well. In a cluster the queue has to be on the node of the jobs' queue, where both lose a worker at the same
time: by default it is, because one program declares both.

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
from runtime.backends.rabbitmq.publisher import Publisher, UnconfirmedError
from runtime.backends.rabbitmq.topology import DEATHS, WILLS, Topology
from runtime.errors import OursError, OverloadedError

_log = structlog.get_logger(__name__)

_PROOF = "proof"
"""The message type of what a gateway sends itself."""
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
        self._renewing = False
        self._change = asyncio.Event()

    @property
    def held(self) -> bool:
        """The broker tells the gateways when this worker dies now."""
        message = self._message
        return message is not None and not self._renewing and not message.channel.closed.done()

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
        if self._message is not None:
            self._renewing = True
            try:
                await asyncio.sleep(self._quiet_s)  # what began under the old one is told or over
            finally:
                self._renewing = False
            self.withdraw()
            await channel.prefetch(
                1
            )  # answered: the broker knows that there is room for the new one
        if channel is not self._channel or channel.closed.done():
            return
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
        self._queue = ""
        self._last_s = -math.inf
        self._proofs = 0
        """Sent so far."""
        self._seen = 0
        """The last one that came back."""
        self._proof: tuple[float, bool] = (-math.inf, False)
        """When the last one was begun, and whether it came back."""
        self._proving = asyncio.Lock()

    async def open(self, channel: Channel) -> None:
        """Of a new connection. Raises AmqpError."""
        self._queue = self._topology.queue(f"{DEATHS}.{uuid.uuid4().hex}")
        await channel.declare(self._queue, durable=False, exclusive=True, arguments={})
        await self._bind(channel)
        await channel.consume(
            self._queue, self._on_message, tag=DEATHS, on_cancelled=self._on_cancelled, no_ack=True
        )
        self._channel = channel
        self._last_s = asyncio.get_running_loop().time()  # somebody may have died before

    async def since(self, moment_s: float) -> bool:
        """Whether a worker may have died after this moment (loop time). Never raises but for cancellation.

        The broker does not tell when somebody deletes a binding, so it is proved first that ours is there."""
        now = asyncio.get_running_loop().time
        asked_s = now()
        async with self._proving:
            if self._proof[0] < asked_s:  # else by somebody who asked at the same time
                self._proof = (now(), await self._prove())
        return not self._proof[1] or self._last_s >= moment_s

    async def _prove(self) -> bool:
        """Our own message under the key of deaths comes back before it is confirmed, and after every death
        that was told before."""
        self._proofs += 1
        try:
            await self._publisher.publish(
                b"",
                exchange=self._topology.exchange,
                routing_key=DEATHS,
                properties=Basic.Properties(
                    delivery_mode=1,
                    message_type=_PROOF,
                    message_id=f"{self._queue}/{self._proofs}",
                ),
            )
        except (OverloadedError, UnconfirmedError) as error:  # it may be bound well
            _log.warning("deaths_not_proved", reason=error.message)
            return False
        except OursError as error:
            _log.warning("deaths_not_told", reason=error.message)
        else:
            if self._seen == self._proofs:
                return True
            _log.warning("deaths_not_told", reason="the binding was deleted")
        await self._bind_again()
        return False

    async def _bind_again(self) -> None:
        if self._channel is None or self._channel.closed.done():
            return
        try:
            await self._bind(self._channel)
        except AmqpError as error:
            _log.warning("deaths_not_bound", reason=str(error))
        self._last_s = max(self._last_s, asyncio.get_running_loop().time())

    async def _bind(self, channel: Channel) -> None:
        await channel.bind(self._queue, exchange=self._topology.exchange, routing_key=DEATHS)

    def _on_message(self, message: Message) -> None:
        if message.properties.message_type != _PROOF:
            self._last_s = asyncio.get_running_loop().time()
        elif message.properties.message_id == f"{self._queue}/{self._proofs}":
            self._seen = self._proofs

    def _on_cancelled(self, _tag: str) -> None:
        """The queue was deleted: nobody tells us any more, before the next connection."""
        _log.warning("deaths_not_told", reason="the queue was deleted")
        self._last_s = math.inf
