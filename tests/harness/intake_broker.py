"""Both sides of the public intake on a test broker: users, producers, what became of messages."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import aio_pika
from aio_pika.abc import AbstractExchange, AbstractIncomingMessage

from runtime.backends.intake_rabbitmq import RabbitMqIntake
from runtime.backends.rabbitmq.intake_topology import IntakeOptions, IntakeTopology
from runtime.backends.rabbitmq.options import RabbitMqOptions
from runtime.intake.users import read_users
from runtime.ports import SystemClock
from runtime.services.intake import IntakeLimits, IntakeService
from runtime.services.interfaces import AsyncInvoker
from tests.harness.rabbitmq import RabbitMq
from tests.harness.rabbitmq_queue import new_options

SPACE = "mp-1"
BODY = {"version": 1, "space": SPACE, "function": "hello", "args": {"n": 1}}
MESSAGE_MAX_BYTES = 20_000


def small_options(**changes: Any) -> IntakeOptions:
    return IntakeOptions(
        **{"message_max_bytes": MESSAGE_MAX_BYTES, "in_hand_max": 8, "delay_s": 1, **changes}
    )


def broker_options(url: str, **changes: Any) -> RabbitMqOptions:
    fast = {"heartbeat_s": 1, "publish_timeout_s": 2.0, "reconnect_longest_s": 0.5}
    return new_options(url, **{**fast, **changes})


class IntakeStage:
    """An intake of its own prefix and a service on it."""

    def __init__(
        self,
        broker: RabbitMqOptions,
        calls: AsyncInvoker,
        options: IntakeOptions,
        limits: IntakeLimits | None = None,
    ) -> None:
        self.broker = broker
        self.options = options
        self.intake = RabbitMqIntake(broker, options, clock=SystemClock())
        self.topology = IntakeTopology(broker, options)
        self.service = IntakeService(
            intake=self.intake,
            calls=calls,
            users=read_users(f"guest=*;shop={SPACE}"),
            clock=SystemClock(),
            limits=limits or IntakeLimits(in_hand_max=options.in_hand_max, pause_longest_s=0.5),
            random=lambda: 1.0,
        )

    async def dead(self, count: int) -> list[AbstractIncomingMessage]:
        """So many dead letters, as soon as they are there."""
        connection = await aio_pika.connect(self.broker.url)
        async with connection:
            queue = await (await connection.channel()).get_queue(self.topology.dead)
            letters: list[AbstractIncomingMessage] = []
            async with queue.iterator(timeout=20) as incoming:
                async for letter in incoming:
                    await letter.ack()
                    letters.append(letter)
                    if len(letters) == count:
                        return letters
        raise AssertionError

    async def waiting(self, name: str) -> int:
        """Messages of a queue that nobody has in hand."""
        connection = await aio_pika.connect(self.broker.url)
        async with connection:
            channel = await connection.channel()
            queue = await channel.declare_queue(name, passive=True)
            return queue.declaration_result.message_count or 0

    async def delete(self) -> None:
        connection = await aio_pika.connect(self.broker.url)
        async with connection:
            channel = await connection.channel()
            others = (self.topology.delay_queue, self.topology.again, self.topology.dead)
            for name in (self.topology.messages, *others):
                await channel.queue_delete(name)
            for name in (self.topology.exchange, *others):
                await channel.exchange_delete(name)


@asynccontextmanager
async def producer(url: str, exchange: str) -> AsyncIterator[AbstractExchange]:
    """Confirmed and mandatory, as the contract says."""
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel(on_return_raises=True)
        yield await channel.get_exchange(exchange, ensure=False)


def message(body: Any = BODY, **properties: Any) -> aio_pika.Message:
    """Of `guest`; `body` as JSON, or bytes as they are."""
    values = {
        "content_type": "application/json",
        "delivery_mode": 2,
        "user_id": "guest",
        "message_id": uuid.uuid4().hex,
        **properties,
    }
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return aio_pika.Message(text, **values)


def restricted_user(rabbitmq: RabbitMq, exchange: str) -> tuple[str, str]:
    """Name and URL of a new user that may write to that exchange and nothing else."""
    name, password = f"shop-{uuid.uuid4().hex[:8]}", "p/w"
    rabbitmq.control("add_user", name, password)
    pattern = "^" + exchange.replace(".", r"\.") + "$"
    rabbitmq.control("set_permissions", name, "^$", pattern, "^$")
    return name, f"amqp://{name}:{quote(password, safe='')}@127.0.0.1:{rabbitmq.port}/"
