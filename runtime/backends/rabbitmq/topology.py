"""Which exchanges and queues there are, and their declaration.

    {prefix}.internal     direct exchange: everything of ours goes through it, nobody else publishes there
    {prefix}.calls        synchronous jobs; classic, transient messages with a time to live; what expires
                          goes to {prefix}.expired, where a gateway tells its caller
    {prefix}.jobs.N       asynchronous jobs of the spaces whose hash is N; quorum
    {prefix}.aside.N      those that made way for other spaces (`rabbitmq.aside`); quorum
    {prefix}.delay.N.S    jobs of shard N wait S seconds there and go on to {prefix}.due.N; quorum
    {prefix}.due.N        jobs that were accepted once and have no other place: those whose delay is over, and
                          those that found their own queue full when a worker gave them back; quorum
    {prefix}.lost         asynchronous jobs that were delivered too often and never acknowledged; quorum
    {prefix}.delay.lost   those for which the ledger did not answer wait there and go back; quorum
    {prefix}.dead         what is no job, with the reason, for people to look at; quorum
    {prefix}.wills        the last wills of workers (`rabbitmq.wills`); classic
    {prefix}.deaths.G     where a gateway gets the wills of those that died; its own

Nothing is lost between quorum queues: dead-lettering is at least once. It stops for a whole queue when one of
its messages is refused where it goes. So what jobs go back to (`due`, `lost`) refuses nothing and has no
bound in the broker; new jobs are refused for it (`rabbitmq.room`).
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import (
    AMQPError,
    AuthenticationError,
    ChannelPreconditionFailed,
    ProbableAuthenticationError,
)

from runtime.backends.rabbitmq.lanes import LANES
from runtime.backends.rabbitmq.options import BrokerSetupError, RabbitMqOptions
from runtime.errors import UnavailableError

CALLS = "calls"
EXPIRED = "expired"
LOST = "lost"
LOST_DELAY = "delay.lost"
DEAD = "dead"
WILLS = "wills"
DEATHS = "deaths"

_REPAIR_AFTER_S = 0.5
"""RabbitMQ has to tell the consumers of a deleted queue first, and does not when the queue is there again at
once."""
_EXPIRED_MAX = 10_000
_EXPIRED_TTL_MS = 60_000
"""Longer than any caller waits beyond its job's wait."""
_LOST_DELAY_MS = 5_000


@dataclass(frozen=True, slots=True)
class QueueSpec:
    """One queue. `key` is its routing key in the internal exchange; None = it has an exchange of its own."""

    name: str
    key: str | None
    arguments: dict[str, Any] = field(default_factory=dict)


class Topology:
    """Names and arguments, pure; `declare` makes them true."""

    def __init__(self, options: RabbitMqOptions) -> None:
        self._options = options
        self.exchange = f"{options.prefix}.internal"

    def queue(self, key: str) -> str:
        """The queue behind a routing key."""
        return f"{self._options.prefix}.{key}"

    def shard(self, space_id: str) -> str:
        """The routing key of a space's asynchronous jobs. The same in every program of an installation."""
        return f"jobs.{self.shard_number(space_id)}"

    def shard_number(self, space_id: str) -> int:
        """Which shard the space is of."""
        return zlib.crc32(space_id.encode()) % self._options.shards

    def due(self, space_id: str) -> str:
        """The routing key of where a space's accepted jobs always have a place."""
        return f"due.{self.shard_number(space_id)}"

    def shards(self) -> list[str]:
        """The routing keys of all shards."""
        return [f"jobs.{number}" for number in range(self._options.shards)]

    def dues(self) -> list[str]:
        """The routing keys of what comes back to them."""
        return [f"due.{number}" for number in range(self._options.shards)]

    def lanes(self) -> list[str]:
        """The routing keys of the lanes for jobs that were set aside."""
        return [f"aside.{lane}" for lane in range(LANES)]

    def delay(self, space_id: str, delay_s: float) -> tuple[str, float]:
        """The routing key that delays, and how long the message has to be delayed again after that, s."""
        steps = self._options.delays_s
        step = next((step for step in steps if step >= delay_s), steps[-1])
        return f"delay.{self.shard_number(space_id)}.{step}", max(0.0, delay_s - step)

    def beside(self, shard_number: int) -> list[str]:
        """The routing keys of a shard's jobs that are not in its queue, but for the lanes."""
        delays = (f"delay.{shard_number}.{step}" for step in self._options.delays_s)
        return [f"due.{shard_number}", *delays]

    def queues(self) -> Iterator[QueueSpec]:
        """All of them."""
        options = self._options
        yield QueueSpec(
            self.queue(CALLS),
            CALLS,
            {
                "x-queue-type": "classic",
                "x-max-length": options.calls_max,
                "x-max-length-bytes": options.calls_max_bytes,
                "x-overflow": "reject-publish",
                "x-dead-letter-exchange": self.exchange,
                "x-dead-letter-routing-key": EXPIRED,
            },
        )
        yield QueueSpec(
            self.queue(EXPIRED),
            EXPIRED,
            {
                "x-queue-type": "classic",
                "x-max-length": _EXPIRED_MAX,
                "x-message-ttl": _EXPIRED_TTL_MS,
            },
        )
        yield QueueSpec(
            self.queue(WILLS),
            WILLS,
            {
                "x-queue-type": "classic",
                "x-message-ttl": 0,
                "x-dead-letter-exchange": self.exchange,
                "x-dead-letter-routing-key": DEATHS,
            },
        )
        for key in (LOST, DEAD):
            yield QueueSpec(self.queue(key), key, {"x-queue-type": "quorum"})
        kept = {
            "x-queue-type": "quorum",
            "x-overflow": "reject-publish",
            "x-dead-letter-exchange": self.exchange,
            "x-dead-letter-strategy": "at-least-once",
        }
        given_up = {"x-dead-letter-routing-key": LOST, "x-delivery-limit": options.delivery_limit}
        for key in self.dues():
            yield QueueSpec(self.queue(key), key, {**kept, **given_up})
        rooms = dict.fromkeys(self.shards(), 1) | dict.fromkeys(self.lanes(), options.shards)
        for key, room in rooms.items():  # in shards: a lane takes what comes from all of them
            yield QueueSpec(
                self.queue(key),
                key,
                {
                    **kept,
                    **given_up,
                    "x-max-length": options.shard_max_jobs * room,
                    "x-max-length-bytes": options.shard_max_bytes * room,
                },
            )
        for number, due in enumerate(self.dues()):
            for step in options.delays_s:
                key = f"delay.{number}.{step}"
                yield QueueSpec(
                    self.queue(key),
                    key,
                    {
                        **kept,
                        "x-dead-letter-routing-key": due,
                        "x-message-ttl": step * 1000,
                        "x-max-length": options.shard_max_jobs,
                        "x-max-length-bytes": options.shard_max_bytes,
                    },
                )
        yield QueueSpec(
            self.queue(LOST_DELAY),
            LOST_DELAY,
            {**kept, "x-dead-letter-routing-key": LOST, "x-message-ttl": _LOST_DELAY_MS},
        )

    async def declare(self) -> None:
        """Idempotent. Raises BrokerSetupError when the broker has something else under one of the names or
        refuses us, UnavailableError when it does not answer."""
        options = self._options
        try:
            async with asyncio.timeout(options.connect_timeout_s * 2):
                connection = await aio_pika.connect(
                    options.link_url(),
                    ssl_context=options.tls(),
                    timeout=options.connect_timeout_s,
                    client_properties={"connection_name": f"{options.prefix} topology"},
                )
                async with connection:
                    channel = await connection.channel()
                    for spec in self.queues():
                        await self._declare(channel, spec)
        except (AuthenticationError, ProbableAuthenticationError):
            raise BrokerSetupError(
                f"RabbitMQ at {options.where} refuses the user or password of YUNHAN_QUEUE_URL"
            ) from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # aio-pika ends what waits on a lost connection so, too
            raise _no_answer(options, "connection lost") from None
        except (AMQPError, OSError, TimeoutError, RuntimeError) as error:
            raise _no_answer(options, type(error).__name__) from error

    async def repair(self) -> None:
        """`declare` what was deleted, after a pause. Raises as it."""
        await asyncio.sleep(_REPAIR_AFTER_S)
        await self.declare()

    async def _declare(self, channel: AbstractChannel, spec: QueueSpec) -> None:
        kind, name = "exchange", self.exchange
        try:
            if spec.key is None:
                name = spec.name
                await channel.declare_exchange(name, "fanout", durable=True)
            else:
                await channel.declare_exchange(name, "direct", durable=True)
            kind, name = "queue", spec.name
            queue = await channel.declare_queue(name, durable=True, arguments=spec.arguments)
            await queue.bind(spec.name if spec.key is None else self.exchange, spec.key or "")
        except ChannelPreconditionFailed as error:
            raise BrokerSetupError(
                f"the {kind} {name} exists on RabbitMQ at {self._options.where} with other arguments"
                f" ({error}); set the YUNHAN_QUEUE_* settings back, or let the queue run empty, delete it"
                f" (rabbitmqctl delete_queue {name}) and start again, or choose another"
                " YUNHAN_QUEUE_PREFIX"
            ) from None


def _no_answer(options: RabbitMqOptions, why: str) -> UnavailableError:
    return UnavailableError(
        f"RabbitMQ at {options.where} does not answer ({why}); check YUNHAN_QUEUE_URL and that it runs"
    )
