"""Intake adapter over RabbitMQ: the public exchange, the queue behind it, and its dead letters.

    {prefix}.intake        direct exchange, public: producers may write here and nowhere else
    {prefix}.intake.v1     quorum queue of the routing key `v1`, full = the producer's publish is refused
    {prefix}.intake.dead   fanout exchange and quorum queue: what was refused, with the reason in headers;
                           bounded, the oldest go first

One connection, on the transport of the queue's adapter: it gives up neither on properties that are no AMQP
nor keeps the body of a message that is too large. Both can be sent by anybody who may send at all.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import structlog
from pamqp.commands import Basic

from runtime.backends.amqp_channel import Channel, Message
from runtime.backends.amqp_connection import Connection
from runtime.backends.amqp_errors import AmqpError
from runtime.backends.rabbitmq_connection import Link
from runtime.backends.rabbitmq_options import RabbitMqOptions
from runtime.backends.rabbitmq_publisher import Publisher
from runtime.backends.rabbitmq_topology import QueueSpec, Topology
from runtime.errors import UnavailableError
from runtime.intake.message import ENVELOPE_MAX_BYTES
from runtime.ports import Clock, Intake, IntakeDelivery, IntakeMessage
from runtime.settings import Settings

_log = structlog.get_logger(__name__)

ROUTING_KEY = "v1"
"""The version of the contract."""

_TAG = "intake"
_RENEW_S = 15.0
"""A consumer that got nothing for so long is made anew: RabbitMQ does not always tell that a queue was
deleted when somebody made it again at once."""
_REPAIR_AFTER_S = 0.5
"""RabbitMQ has to tell consumers first that their queue is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeOptions:
    """Beside what holds for every connection. Sizes in bytes."""

    message_max_bytes: int
    """Of a body; the body of a larger message is not kept, not even as a dead letter."""
    in_hand_max: int = 16
    max_messages: int = 100_000
    max_bytes: int = 512 * 1024 * 1024
    delivery_limit: int = 1000
    dead_max: int = 10_000
    dead_max_bytes: int = 128 * 1024 * 1024

    @classmethod
    def from_settings(cls, settings: Settings) -> IntakeOptions:
        """By the settings `intake_*`."""
        return cls(
            message_max_bytes=settings.args_max_bytes + ENVELOPE_MAX_BYTES,
            in_hand_max=settings.intake_in_hand_max,
            max_messages=settings.intake_max_messages,
            max_bytes=settings.intake_max_bytes,
            delivery_limit=settings.intake_delivery_limit,
            dead_max=settings.intake_dead_max,
            dead_max_bytes=settings.intake_dead_max_bytes,
        )


class IntakeTopology(Topology):
    """Names and arguments; `declare` as of the queue's."""

    def __init__(self, broker: RabbitMqOptions, options: IntakeOptions) -> None:
        super().__init__(broker)
        self.exchange = f"{broker.prefix}.intake"
        self.messages = f"{self.exchange}.{ROUTING_KEY}"
        self.dead = f"{self.exchange}.dead"
        self._intake = options

    def queues(self) -> Iterator[QueueSpec]:
        """The dead letters have an exchange of their own: producers cannot write there."""
        options = self._intake
        yield QueueSpec(
            self.dead,
            None,
            {
                "x-queue-type": "quorum",
                "x-overflow": "drop-head",
                "x-max-length": options.dead_max,
                "x-max-length-bytes": options.dead_max_bytes,
            },
        )
        yield QueueSpec(
            self.messages,
            ROUTING_KEY,
            {
                "x-queue-type": "quorum",
                "x-overflow": "reject-publish",
                "x-max-length": options.max_messages,
                "x-max-length-bytes": options.max_bytes,
                "x-delivery-limit": options.delivery_limit,
                "x-dead-letter-exchange": self.dead,
                "x-dead-letter-strategy": "at-least-once",
            },
        )


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
        self._received = False
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
                await channel.cancel(_TAG)
            except AmqpError as error:
                _log.warning("intake_stop_failed", reason=str(error))
        while not self._line.empty():
            await self._line.get_nowait().put_back()

    # --- the connection ------------------------------------------------------------------------

    async def _on_up(self, connection: Connection) -> Sequence[Channel]:
        if self._link.lost:  # whatever was the reason: what is missing is there again after this
            await self._repair()
        channel = await connection.channel(confirms=False)
        channel.on_cancelled = self._on_cancelled
        await channel.prefetch(self._options.in_hand_max)
        self._channel = channel
        if self._taking:
            await self._consume(channel)
        return [channel, await self._publisher.open(connection)]

    def _on_down(self) -> None:
        """What waits here comes again from the broker."""
        self._channel = None
        self._publisher.close()
        while not self._line.empty():
            self._line.get_nowait()

    async def _consume(self, channel: Channel) -> None:
        await channel.consume(self.topology.messages, self._on_message, tag=_TAG)

    def _on_message(self, message: Message) -> None:
        self._received = True
        self._line.put_nowait(_Delivery(message, self))

    def _on_cancelled(self, tag: str) -> None:
        """By the broker: the queue was deleted, or its node went away."""
        _log.warning("broker_consumer_cancelled", intake=tag, queue=self.topology.messages)
        self._give_up_connection()

    def _give_up_connection(self) -> None:
        """A queue is missing: the next connection makes it again."""
        if self._channel is not None:
            self._channel.abandon("a queue of the intake was deleted")

    async def _repair(self) -> None:
        await asyncio.sleep(_REPAIR_AFTER_S)
        await self.topology.declare()
        self.counts["repairs"] += 1

    async def _renew_consumer(self) -> None:
        while True:
            await asyncio.sleep(_RENEW_S)
            channel, quiet, self._received = self._channel, not self._received, False
            if channel is None or not quiet or not self._taking:
                continue
            try:
                await channel.cancel(_TAG)
                if self._taking:
                    await self._consume(channel)
            except AmqpError as error:  # the link makes a new connection
                _log.warning("intake_consume_failed", reason=str(error))
                channel.abandon("the consumer of the intake could not be made anew")

    # --- what becomes of a message ---------------------------------------------------------------

    async def bury(self, message: Message, reason: str, detail: str) -> None:
        """Raises OursError. The property `user_id` would be checked against our own user: it is a header."""
        properties = message.properties
        headers: dict[str, Any] = {
            "x-yunhan-reason": reason,
            "x-yunhan-detail": detail,
            "x-yunhan-size": message.size,
        }
        if properties.user_id:
            headers["x-yunhan-user"] = properties.user_id
        await self._publisher.publish(
            message.body or b"",
            exchange=self.topology.dead,
            routing_key=message.routing_key,
            properties=Basic.Properties(
                delivery_mode=2,
                content_type=properties.content_type,
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
    def __init__(self, message: Message, intake: RabbitMqIntake) -> None:
        properties = message.properties
        self.message = IntakeMessage(
            body=message.body,
            size=message.size,
            user_id=properties.user_id or None,
            message_id=properties.message_id or None,
            content_type=properties.content_type or None,
            content_encoding=properties.content_encoding or None,
        )
        self._message = message
        self._intake = intake

    async def accept(self) -> None:
        try:
            self._message.channel.ack(self._message)
        except AmqpError as error:
            self._intake.acknowledgement_lost(error)

    async def refuse(self, reason: str, detail: str) -> None:
        await self._intake.bury(self._message, reason, detail)
        await self.accept()

    async def put_back(self) -> None:
        try:
            self._message.channel.reject(self._message, requeue=True)
        except AmqpError as error:
            self._intake.acknowledgement_lost(error)
