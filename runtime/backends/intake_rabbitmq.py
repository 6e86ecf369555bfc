"""Intake adapter over RabbitMQ: takes messages of other producers, delays them, buries them.

One connection, on the transport of the queue's adapter: it gives up neither on properties that are no AMQP
nor keeps the body of a message that is too large. Both can be sent by anybody who may send at all.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import structlog
from pamqp.commands import Basic

from runtime.backends.amqp.channel import Channel, Message
from runtime.backends.amqp.connection import Connection
from runtime.backends.amqp.errors import AmqpError
from runtime.backends.rabbitmq.connection import Link
from runtime.backends.rabbitmq.consumer import RENEW_S
from runtime.backends.rabbitmq.intake_topology import IntakeOptions, IntakeTopology
from runtime.backends.rabbitmq.options import RabbitMqOptions
from runtime.backends.rabbitmq.publisher import Publisher
from runtime.errors import UnavailableError
from runtime.ports import Clock, Intake, IntakeDelivery, IntakeMessage

_log = structlog.get_logger(__name__)

_NEW, _AGAIN = "intake", "intake again"
"""Tags of the two consumers."""
_USER = "x-yunhan-user"
_ROUNDS = "x-yunhan-rounds"
_REFUSALS = "x-yunhan-refusals"


class RabbitMqIntake(Intake):
    """See `Intake` and the module."""

    def __init__(self, broker: RabbitMqOptions, options: IntakeOptions, *, clock: Clock) -> None:
        self.topology = IntakeTopology(broker, options)
        self.counts: Counter[str] = Counter()
        """`repairs`, `lost_acknowledgements`; for metrics."""
        self._broker = replace(broker, message_max_bytes=options.message_max_bytes)
        self._options = options
        self._clock = clock
        self._tasks: list[asyncio.Task[None]] = []
        self._build()

    def _build(self) -> None:
        """The parts of one opening."""
        self._publisher = Publisher(
            self._broker, blocked=lambda: self._link.blocked, missing=self._give_up_connection
        )
        self._link = Link(
            "intake",
            self._broker,
            on_up=self._on_up,
            on_down=self._on_down,
            on_blocked=self._publisher.refuse_waiting,
            repair=self._repair,
        )
        self._channel: Channel | None = None
        self._line: asyncio.Queue[_Delivery] = asyncio.Queue()
        """Bounded by the prefetch."""
        self._heard: set[str] = set()
        """Consumers that got something since they were looked at."""
        self._taking = True
        self._ended: asyncio.Future[None] | None = None
        """Done when a part ended that must not."""

    @property
    def problem(self) -> str | None:
        if not self._tasks:
            return "the intake is closed"
        return (
            None if self._link.up else f"no connection to RabbitMQ at {self._broker.where} (intake)"
        )

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Raises BrokerSetupError when the broker has something else under one of the names, UnavailableError
        when there is none."""
        await self.topology.declare()
        self._build()
        self._ended = asyncio.get_running_loop().create_future()
        self._start("connection", self._link.run())
        self._start("consumer", self._renew_consumer())
        try:
            yield
        finally:
            tasks, self._tasks = self._tasks, []
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._end()

    async def take(self) -> IntakeDelivery:
        if self._ended is None or self._ended.done():
            raise UnavailableError("the intake is closed")
        getting = asyncio.ensure_future(self._line.get())
        try:
            await asyncio.wait((getting, self._ended), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            if getting.done() and not getting.cancelled():
                self._line.put_nowait(getting.result())
            raise
        finally:
            getting.cancel()
        if not getting.done():
            raise UnavailableError("the intake was closed")
        return getting.result()

    async def stop_taking(self) -> None:
        self._taking = False
        channel = self._channel
        if channel is not None:
            try:
                for tag in (_NEW, _AGAIN):
                    await channel.cancel(tag)
            except AmqpError as error:
                _log.warning("intake_stop_failed", reason=str(error))
        while not self._line.empty():
            await self._line.get_nowait().put_back()

    # --- the connection ------------------------------------------------------------------------

    async def _on_up(self, connection: Connection) -> Sequence[Channel]:
        if self._link.lost:  # whatever was the reason: what is missing is there again after this
            await self._repair()
        channel = await connection.channel(confirms=False)
        await channel.prefetch(self._options.in_hand_max)
        self._channel = channel
        if self._taking:
            await self._consume(channel, _NEW)
            await self._consume(channel, _AGAIN)
        return [channel, await self._publisher.open(connection)]

    def _on_down(self) -> None:
        """What waits here comes again from the broker."""
        self._channel = None
        self._publisher.close()
        while not self._line.empty():
            self._line.get_nowait()

    async def _consume(self, channel: Channel, tag: str) -> None:
        def on_message(message: Message) -> None:
            self._heard.add(tag)
            self._line.put_nowait(_Delivery(message, self, again=tag == _AGAIN))

        await channel.consume(
            self._queue_of(tag), on_message, tag=tag, on_cancelled=self._on_cancelled
        )

    def _queue_of(self, tag: str) -> str:
        return self.topology.again if tag == _AGAIN else self.topology.messages

    def _on_cancelled(self, tag: str) -> None:
        """By the broker: the queue was deleted, or its node went away."""
        _log.warning("broker_consumer_cancelled", intake=tag, queue=self._queue_of(tag))
        self._give_up_connection()

    def _give_up_connection(self) -> None:
        """A queue is missing: the next connection makes it again."""
        if self._channel is not None:
            self._channel.abandon("a queue of the intake was deleted")

    async def _repair(self) -> None:
        await self.topology.repair()
        self.counts["repairs"] += 1

    async def _renew_consumer(self) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            channel = self._channel
            quiet = [tag for tag in (_NEW, _AGAIN) if tag not in self._heard]
            self._heard.clear()
            if channel is None or not self._taking:
                continue
            try:
                for tag in quiet:
                    await channel.cancel(tag)
                    if self._taking:
                        await self._consume(channel, tag)
            except AmqpError as error:  # the link makes a new connection
                _log.warning("intake_consume_failed", reason=str(error))
                channel.abandon("the consumer of the intake could not be made anew")

    # --- what becomes of a message ---------------------------------------------------------------

    async def bury(self, message: Message, user_id: str | None, reason: str, detail: str) -> None:
        """Raises OursError."""
        headers = {
            "x-yunhan-reason": reason,
            "x-yunhan-detail": detail,
            "x-yunhan-size": message.size,
        }
        await self._publish(message, user_id, headers, exchange=self.topology.dead)

    async def delay(
        self, message: Message, user_id: str | None, *, rounds: int, refusals: int
    ) -> None:
        """Raises OursError."""
        headers = {_ROUNDS: rounds, _REFUSALS: refusals}
        await self._publish(message, user_id, headers, exchange=self.topology.delay_queue)

    async def _publish(
        self, message: Message, user_id: str | None, headers: dict[str, Any], *, exchange: str
    ) -> None:
        """The property `user_id` would be checked against our own user: it is a header."""
        if user_id:
            headers[_USER] = user_id
        properties = message.properties
        await self._publisher.publish(
            message.body or b"",
            exchange=exchange,
            routing_key=message.routing_key,
            properties=Basic.Properties(
                delivery_mode=2,
                content_type=properties.content_type,
                content_encoding=properties.content_encoding,
                message_id=properties.message_id,
                timestamp=datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC),
                headers=headers,
            ),
        )

    def acknowledgement_lost(self, error: AmqpError) -> None:
        """The message comes again."""
        self.counts["lost_acknowledgements"] += 1
        _log.warning("intake_acknowledgement_lost", reason=str(error))

    # --- tasks -----------------------------------------------------------------------------------

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=f"rabbitmq intake {name}")
        self._tasks.append(task)
        task.add_done_callback(self._part_ended)

    def _part_ended(self, task: asyncio.Task[None]) -> None:
        """None of them ends by itself."""
        if self._tasks:
            error = None if task.cancelled() else task.exception()
            _log.error("rabbitmq_part_ended", part=task.get_name(), exc_info=error)
            self._end()

    def _end(self) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)


class _Delivery(IntakeDelivery):
    """`again`: it was delayed, and the headers are those that we gave it."""

    def __init__(self, message: Message, intake: RabbitMqIntake, *, again: bool) -> None:
        properties = message.properties
        ours: dict[str, Any] = dict(properties.headers or {}) if again else {}
        self.message = IntakeMessage(
            body=message.body,
            size=message.size,
            user_id=(ours.get(_USER) if again else properties.user_id) or None,
            message_id=properties.message_id or None,
            content_type=properties.content_type or None,
            content_encoding=properties.content_encoding or None,
            rounds=ours.get(_ROUNDS, 0),
            refusals=ours.get(_REFUSALS, 0),
        )
        self._message = message
        self._intake = intake

    async def accept(self) -> None:
        try:
            self._message.channel.ack(self._message)
        except AmqpError as error:
            self._intake.acknowledgement_lost(error)

    async def refuse(self, reason: str, detail: str) -> None:
        await self._intake.bury(self._message, self.message.user_id, reason, detail)
        await self.accept()

    async def delay(self, *, refused: bool) -> None:
        told = self.message
        await self._intake.delay(
            self._message,
            told.user_id,
            rounds=told.rounds + 1,
            refusals=told.refusals + refused,
        )
        await self.accept()

    async def put_back(self) -> None:
        try:
            self._message.channel.reject(self._message, requeue=True)
        except AmqpError as error:
            self._intake.acknowledgement_lost(error)
