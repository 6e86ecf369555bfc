"""Queue adapter over RabbitMQ; the other `rabbitmq_*` modules are its parts.

    call     rabbitmq_calls, _publisher ──> queue calls  ──> rabbitmq_intake, _deliveries ──> take
    enqueue  rabbitmq_publisher         ──> queue jobs.N ──> rabbitmq_intake, _deliveries ──> take_async
                              delivered too often ──> queue lost ──> rabbitmq_intake, ... ──> take_dead

One connection for everything that is published (an alarm of the broker stops such a connection), and one for
each kind of job that is taken, made when it is taken for the first time. The `amqp_*` modules are the
transport; queues and exchanges are declared over aio-pika.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog

from runtime.backends.amqp_channel import Channel, Message
from runtime.backends.amqp_connection import Connection
from runtime.backends.amqp_errors import AmqpError
from runtime.backends.amqp_frames import UNREADABLE
from runtime.backends.rabbitmq_calls import Calls
from runtime.backends.rabbitmq_connection import Link
from runtime.backends.rabbitmq_deliveries import (
    Bench,
    CallDelivery,
    JobDelivery,
    dead_properties,
    enqueue,
)
from runtime.backends.rabbitmq_intake import Intake
from runtime.backends.rabbitmq_messages import lost, number
from runtime.backends.rabbitmq_options import RabbitMqOptions
from runtime.backends.rabbitmq_publisher import Publisher
from runtime.backends.rabbitmq_topology import CALLS, DEAD, EXPIRED, LOST, Topology
from runtime.errors import MalformedMessageError, OursError, UnavailableError
from runtime.job_codec import decode_job
from runtime.messages import Job, Outcome
from runtime.ports import AsyncDelivery, Clock, Delivery, Queue

_log = structlog.get_logger(__name__)

_REPAIR_AFTER_S = 0.5
"""A deleted queue is made again after this pause: RabbitMQ has to tell its consumers first, and does not when
the queue is there again at once."""
_BURY_AGAIN_S = 5.0
_END_S = 5.0
"""For giving back what nobody took, when the queue is closed."""


class RabbitMqQueue(Queue):
    """See `Queue`."""

    def __init__(self, options: RabbitMqOptions, *, clock: Clock) -> None:
        self.topology = Topology(options)
        self.counts: Counter[str] = Counter()
        """What happened beside the way of a job, by name; for metrics."""
        self._options = options
        self._clock = clock
        self._open = False
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._asides: set[asyncio.Task[None]] = set()
        self._repairing = asyncio.Lock()
        self._repair_wanted = asyncio.Event()
        self._build()

    def _build(self) -> None:
        """The parts of one opening."""
        options, topology = self._options, self.topology
        self._call_publisher = self._publisher()
        self._job_publisher = self._publisher()
        self._calls = Calls(
            options=options,
            topology=topology,
            publisher=self._call_publisher,
            clock=self._clock,
            counts=self.counts,
            on_cancelled=lambda channel: self._aside(self._consume_expired_again(channel), EXPIRED),
            aside=self._aside,
        )
        self._bench = Bench(
            topology=topology,
            publisher=self._job_publisher,
            clock=self._clock,
            counts=self.counts,
            aside=self._aside,
        )
        self._publish_link = Link(
            "publish",
            options,
            on_up=self._open_publishing,
            on_down=self._close_publishing,
            on_blocked=self._refuse_waiting,
            repair=self._repair,
        )
        self._links = [self._publish_link]
        self._call_intake: Intake[CallDelivery] = Intake(
            "calls",
            [topology.queue(CALLS)],
            prefetch=options.call_prefetch,
            accept=self._accept_call,
            repair=self._repair,
        )
        self._job_intake: Intake[JobDelivery] = Intake(
            "jobs",
            [topology.queue(key) for key in topology.shards()],
            prefetch=options.job_prefetch,
            accept=self._accept_job,
            repair=self._repair,
        )
        self._dead_intake: Intake[JobDelivery] = Intake(
            "dead",
            [topology.queue(LOST)],
            prefetch=options.job_prefetch,
            accept=self._accept_dead,
            repair=self._repair,
        )

    def _publisher(self) -> Publisher:
        return Publisher(
            self._options,
            blocked=lambda: self._publish_link.blocked,
            missing=self._repair_wanted.set,
        )

    @property
    def waiting(self) -> int:
        return self._calls.waiting

    @property
    def problem(self) -> str | None:
        where = self._options.where
        if not self._open:
            return "the queue is closed"
        down = [link.name for link in self._links if not link.up]
        if down:
            return f"no connection to RabbitMQ at {where} ({', '.join(down)})"
        if self._publish_link.blocked:
            return f"RabbitMQ at {where} takes nothing: it is out of memory or disk"
        return None

    async def stop_taking(self) -> None:
        await self._end_intakes()

    async def wait_empty(self) -> None:
        """Other workers take the jobs, too."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Raises BrokerSetupError when the broker has queues that do not fit, UnavailableError when there is
        none."""
        await self.topology.declare()
        self._build()
        self._open = True
        self._start("publish", self._publish_link.run())
        self._start("repair", self._repair_when_wanted())
        try:
            try:
                async with asyncio.timeout(self._options.connect_timeout_s):
                    await self._publish_link.wait_up()
            except TimeoutError:
                raise UnavailableError(
                    f"no connection to RabbitMQ at {self._options.where}"
                ) from None
            yield
        finally:
            self._open = False
            self._calls.end()
            await self._end_intakes()
            await self._stop_tasks()

    async def call(self, job: Job) -> Outcome:
        self._must_be_open()
        return await self._calls.call(job)

    async def enqueue(self, job: Job, *, delay_s: float = 0.0) -> None:
        if job.terms is None:
            raise ValueError(f"job {job.job_id} has no terms: it is a synchronous one")
        self._must_be_open()
        await enqueue(self._bench, job, delay_s, key=self.topology.shard(job.space_id))

    async def take(self) -> Delivery:
        self._must_be_open()
        self._consume("calls", self._call_intake)
        while True:
            delivery = await self._call_intake.take()
            try:
                if await delivery.start():
                    return delivery
            except asyncio.CancelledError:
                self._call_intake.put_back(delivery)
                raise

    async def take_async(self) -> AsyncDelivery:
        self._must_be_open()
        self._consume("jobs", self._job_intake)
        return await self._job_intake.take()

    async def take_dead(self) -> AsyncDelivery:
        self._must_be_open()
        self._consume("dead", self._dead_intake)
        return await self._dead_intake.take()

    def _must_be_open(self) -> None:
        if not self._open:
            raise UnavailableError("the queue is closed; try again")

    # --- connections ---------------------------------------------------------------------------

    async def _open_publishing(self, connection: Connection) -> Sequence[Channel]:
        return [
            await self._calls.open(connection),
            await self._job_publisher.open(connection),
        ]

    def _close_publishing(self) -> None:
        self._job_publisher.close()
        self._calls.close()

    def _refuse_waiting(self) -> None:
        self._call_publisher.refuse_waiting()
        self._job_publisher.refuse_waiting()

    def _consume(self, name: str, intake: Intake[Any]) -> None:
        """The connection for one kind of job."""
        if name in self._tasks:
            return

        async def on_up(connection: Connection) -> Sequence[Channel]:
            return [await intake.open(connection)]

        link = Link(name, self._options, on_up=on_up, on_down=intake.close, repair=self._repair)
        self._links.append(link)
        self._start(name, link.run())
        self._start(f"consume {name}", intake.run())

    async def _consume_expired_again(self, channel: Channel) -> None:
        """Callers that wait on this channel keep it; without the consumer it is of no use."""
        try:
            await self._repair()
            await self._calls.consume_expired(channel)
        except (AmqpError, OursError) as error:
            channel.abandon(f"the queue of expired calls is gone: {error}")
            raise

    async def _repair(self) -> None:
        """Declare everything again; once for all who want it at the same time."""
        if self._repairing.locked():
            async with self._repairing:
                return
        async with self._repairing:
            await asyncio.sleep(_REPAIR_AFTER_S)
            await self.topology.declare()
            self.counts["repairs"] += 1

    async def _repair_when_wanted(self) -> None:
        while True:
            await self._repair_wanted.wait()
            self._repair_wanted.clear()
            try:
                await self._repair()
            except OursError as error:
                _log.warning("broker_repair_failed", reason=error.message)
                await asyncio.sleep(1)

    # --- tasks -----------------------------------------------------------------------------------

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=f"rabbitmq {name}")
        self._tasks[name] = task
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """None of them ends by itself: without it nobody would be served, so nobody is told to wait."""
        if not self._open:
            return
        error = None if task.cancelled() else task.exception()
        _log.error("rabbitmq_part_ended", part=task.get_name(), exc_info=error)
        self._open = False
        self._calls.end()
        for intake in (self._call_intake, self._job_intake, self._dead_intake):
            intake.fail_takers()

    async def _end_intakes(self) -> None:
        try:
            async with asyncio.timeout(_END_S):
                await self._call_intake.end()
                await self._job_intake.end()
                await self._dead_intake.end()
        except TimeoutError:
            _log.warning("jobs_not_given_back", after_s=_END_S)

    async def _stop_tasks(self) -> None:
        tasks = [*self._tasks.values(), *self._asides]
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- what comes in ---------------------------------------------------------------------------

    def _accept_call(self, message: Message) -> CallDelivery | None:
        job = self._decode(message)
        if job is None:
            return None
        delivery = CallDelivery(job, message, self._bench)
        if not message.redelivered:
            return delivery
        self.counts["worker_lost"] += 1
        self._aside(delivery.finish(lost(job, "its worker was lost")), CALLS)
        return None

    def _accept_job(self, message: Message) -> JobDelivery | None:
        job = self._decode(message)
        if job is None:
            return None
        delivery = JobDelivery(job, message, self._bench, self.topology.shard(job.space_id))
        left_ms = number(message, "delay_ms")
        if not left_ms:
            return delivery
        self._aside(delivery.move_later(left_ms / 1000), message.routing_key)
        return None

    def _accept_dead(self, message: Message) -> JobDelivery | None:
        job = self._decode(message)
        if job is None:
            return None
        self.counts["gave_up"] += 1
        return JobDelivery(job, message, self._bench, LOST)

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
        self.counts["malformed"] += 1
        _log.warning("malformed_message", queue=message.routing_key, reason=why)
        self._aside(self._bury(message, why), message.routing_key)
        return None

    async def _bury(self, message: Message, why: str) -> None:
        """Until the broker takes it, or gives it to somebody else because the connection is gone."""
        while not message.channel.closed.done():
            try:
                await self._job_publisher.publish(
                    message.body or b"",
                    exchange=self.topology.exchange,
                    routing_key=DEAD,
                    properties=dead_properties(message, why),
                )
            except OursError as error:
                _log.warning("message_not_buried", queue=message.routing_key, reason=error.message)
                await asyncio.sleep(_BURY_AGAIN_S)
            else:
                message.channel.ack(message)
                return

    def _aside(self, work: Coroutine[Any, Any, None], queue: str) -> None:
        """What needs no worker. Bounded by the prefetch: its message is unacknowledged meanwhile."""
        task = asyncio.create_task(self._deal(work, queue), name="rabbitmq aside")
        self._asides.add(task)
        task.add_done_callback(self._asides.discard)

    async def _deal(self, work: Coroutine[Any, Any, None], queue: str) -> None:
        """When it fails the broker gives the message to somebody again after this connection."""
        try:
            await work
        except (AmqpError, OursError) as error:
            self.counts["lost_acknowledgements"] += 1
            _log.warning(
                "message_not_moved",
                queue=queue,
                reason=f"{type(error).__name__}: {error}",
            )


def counts_of(queue: Queue) -> Mapping[str, int]:
    """For metrics; empty for another adapter's queue."""
    return queue.counts if isinstance(queue, RabbitMqQueue) else {}
