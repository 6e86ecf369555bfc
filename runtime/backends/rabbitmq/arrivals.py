"""Makes deliveries of messages, and buries what is no job."""

from __future__ import annotations

import asyncio

import structlog

from runtime.backends.amqp.channel import Message
from runtime.backends.amqp.frames import UNREADABLE
from runtime.backends.rabbitmq.aside import Aside
from runtime.backends.rabbitmq.deliveries import (
    Bench,
    CallDelivery,
    DeadDelivery,
    JobDelivery,
)
from runtime.backends.rabbitmq.messages import dead_properties, lost, number
from runtime.backends.rabbitmq.topology import CALLS, DEAD, LOST
from runtime.errors import MalformedMessageError, OursError
from runtime.job_codec import decode_job
from runtime.messages import Job

_log = structlog.get_logger(__name__)

_BURY_AGAIN_S = 5.0


class Arrivals:
    """For `Consumer`. None: the message is dealt with."""

    def __init__(self, bench: Bench, jobs_aside: Aside) -> None:
        self._bench = bench
        self._jobs_aside = jobs_aside

    def call(self, message: Message) -> CallDelivery | None:
        """A synchronous job; one that somebody else had before may have run."""
        job = self._decode(message)
        if job is None:
            return None
        delivery = CallDelivery(job, message, self._bench)
        if not message.redelivered:
            return delivery
        self._bench.counts["worker_lost"] += 1
        self._bench.in_background(delivery.finish(lost(job, "its worker was lost")), CALLS)
        return None

    def job(self, message: Message) -> JobDelivery | None:
        """An asynchronous job; one whose delay is longer than a queue delays goes on waiting."""
        job = self._decode(message)
        if job is None:
            return None
        home, rank = self._jobs_aside.home(job, message.routing_key)
        restarts = number(message, "restarts")
        delivery = JobDelivery(job, message, self._bench, home, rank=rank, restarts=restarts)
        left_ms = number(message, "delay_ms")
        if not left_ms:
            return delivery
        self._bench.in_background(delivery.move_later(left_ms / 1000), message.routing_key)
        return None

    def dead(self, message: Message) -> DeadDelivery | None:
        """A job that the broker gave up."""
        job = self._decode(message)
        if job is None:
            return None
        self._bench.counts["gave_up"] += 1
        restarts = number(message, "restarts")
        return DeadDelivery(job, message, self._bench, LOST, restarts=restarts)

    def _decode(self, message: Message) -> Job | None:
        """None: it is no job and lies with the dead letters now."""
        if message.body is None:
            why = f"{message.size} bytes are more than a job may have"
        elif message.properties is UNREADABLE:
            why = "its properties cannot be read"
        else:
            try:
                return decode_job(message.body)
            except MalformedMessageError as error:
                why = error.message
        self._bench.counts["malformed"] += 1
        _log.warning("malformed_message", queue=message.routing_key, reason=why)
        self._bench.in_background(self._bury(message, why), message.routing_key)
        return None

    async def _bury(self, message: Message, why: str) -> None:
        """Until the broker takes it, or gives it to somebody else because the connection is gone."""
        bench = self._bench
        while not message.channel.closed.done():
            try:
                await bench.publisher.publish(
                    message.body or b"",
                    exchange=bench.topology.exchange,
                    routing_key=DEAD,
                    properties=dead_properties(message, why),
                )
            except OursError as error:
                _log.warning("message_not_buried", queue=message.routing_key, reason=error.message)
                await asyncio.sleep(_BURY_AGAIN_S)
            else:
                message.channel.ack(message)
                return
