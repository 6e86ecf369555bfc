"""Queue adapter over RabbitMQ; its parts are in `rabbitmq/`.

    call     calls, publisher ──> queue calls            ──> consumer, deliveries ──> take
    enqueue  publisher ──> queue jobs.N                  ──> consumer, deliveries ──> take_async
             aside: made way for other spaces, aside.L   ──> the same
             delayed, came back: delay.N.S, due.N        ──> the same
             delivered too often: lost                   ──> consumer, deliveries ──> take_dead

One connection for jobs that are published (an alarm of the broker stops such a connection), one for each kind
of job that is taken and what is answered there, one for `room`; the last ones are made when they are needed
for the first time. `amqp/` is the transport; queues and exchanges are declared over aio-pika.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog

from runtime.backends.amqp.channel import Channel
from runtime.backends.amqp.connection import Connection
from runtime.backends.amqp.errors import AmqpError
from runtime.backends.rabbitmq.arrivals import Arrivals
from runtime.backends.rabbitmq.aside import Aside
from runtime.backends.rabbitmq.backlog import count_backlog
from runtime.backends.rabbitmq.calls import Calls
from runtime.backends.rabbitmq.connection import Link
from runtime.backends.rabbitmq.consumer import Consumer
from runtime.backends.rabbitmq.deliveries import (
    Bench,
    CallDelivery,
    DeadDelivery,
    JobDelivery,
    enqueue,
)
from runtime.backends.rabbitmq.options import RabbitMqOptions
from runtime.backends.rabbitmq.publisher import Publisher
from runtime.backends.rabbitmq.room import Room
from runtime.backends.rabbitmq.topology import CALLS, EXPIRED, LOST, Topology
from runtime.backends.rabbitmq.wills import LastWill
from runtime.errors import OursError, UnavailableError
from runtime.messages import Job, Outcome
from runtime.ports import AsyncDelivery, Clock, Delivery, Queue

_log = structlog.get_logger(__name__)

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
        self._failure = ""
        self._failed = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._background: set[asyncio.Task[None]] = set()
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
            on_expired_cancelled=self._on_expired_cancelled,
            in_background=self._in_background,
        )
        self._will = LastWill(
            topology,
            self._job_publisher,
            renew_s=options.will_renew_s,
            taken_after_s=options.taken_after_s,
            repair=self._repair,
        )
        self._bench = Bench(
            topology=topology,
            publisher=self._job_publisher,
            clock=self._clock,
            counts=self.counts,
            in_background=self._in_background,
            will=self._will,
            taken_after_s=options.taken_after_s,
        )
        self._room = Room(options, topology, clock=self._clock)
        self._jobs_aside = Aside(
            self._bench,
            keep=lambda job: self._job_consumer.put_back(job),  # noqa: PLW0108 - made below
        )
        self._arrivals = Arrivals(self._bench, self._jobs_aside)
        self._publish_link = Link(
            "publish",
            options,
            on_up=self._open_publishing,
            on_down=self._close_publishing,
            on_blocked=self._refuse_waiting,
            repair=self._repair,
        )
        self._links = [self._publish_link]
        self._call_consumer: Consumer[CallDelivery] = Consumer(
            "calls",
            {topology.queue(CALLS): options.call_prefetch},
            accept=self._arrivals.call,
            repair=self._repair,
        )
        self._job_consumer: Consumer[JobDelivery] = Consumer(
            "jobs",
            {
                **{
                    topology.queue(key): options.job_prefetch
                    for key in [*topology.dues(), *topology.shards()]
                },
                **{topology.queue(key): options.aside_prefetch for key in topology.lanes()},
            },
            accept=self._arrivals.job,
            repair=self._repair,
            set_aside=self._jobs_aside.set_aside,
        )
        self._dead_consumer: Consumer[DeadDelivery] = Consumer(
            "dead",
            {topology.queue(LOST): options.aside_prefetch},
            accept=self._arrivals.dead,
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
        down = [f"{link.name}: {link.problem}" for link in self._links if link.problem]
        if down:
            return f"no connection to RabbitMQ at {where} ({'; '.join(down)})"
        if self._publish_link.blocked:
            return f"RabbitMQ at {where} takes nothing: it is out of memory or disk"
        return None

    async def stop_taking(self) -> None:
        await self._end_consumers()

    async def wait_failed(self) -> None:
        await self._failed.wait()
        raise UnavailableError(self._failure)

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
            await self._end_consumers()
            if not self._bench.unsettled:  # else their callers have to hear of our end
                self._will.withdraw()
            await self._stop_tasks()

    async def call(self, job: Job) -> Outcome:
        self._must_be_open()
        return await self._calls.call(job)

    async def enqueue(self, job: Job, *, delay_s: float = 0.0) -> None:
        if job.terms is None:
            raise ValueError(f"job {job.job_id} has no terms: it is a synchronous one")
        self._must_be_open()
        self._watch_room()
        self._room.check(job.space_id)
        await enqueue(self._bench, job, delay_s)

    async def take(self) -> Delivery:
        self._must_be_open()
        self._consume("calls", self._call_consumer, self._will)
        while True:
            delivery = await self._call_consumer.take()
            try:
                if await delivery.start():
                    return delivery
            except asyncio.CancelledError:
                self._call_consumer.put_back(delivery)
                raise

    async def take_async(self) -> AsyncDelivery:
        self._must_be_open()
        self._consume("jobs", self._job_consumer)
        return await self._job_consumer.take()

    async def take_dead(self) -> AsyncDelivery:
        self._must_be_open()
        self._consume("dead", self._dead_consumer)
        return await self._dead_consumer.take()

    async def async_backlog(self) -> int:
        self._must_be_open()
        return await count_backlog(self._options, self.topology)

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

    def _consume(self, name: str, consumer: Consumer[Any], will: LastWill | None = None) -> None:
        """The connection for one kind of job."""
        if name in self._tasks:
            return

        async def on_up(connection: Connection) -> Sequence[Channel]:
            channels = [] if will is None else [await will.open(connection)]
            channels.append(await connection.channel(confirms=False))
            consumer.open(channels[-1])
            return channels

        def on_down() -> None:
            consumer.close()
            if will is not None:
                will.close()

        link = Link(name, self._options, on_up=on_up, on_down=on_down, repair=self._repair)
        self._links.append(link)
        self._start(name, link.run())
        self._start(f"consume {name}", consumer.run())
        if will is not None:
            self._start("write the last will", will.run())

    def _watch_room(self) -> None:
        if "room" not in self._tasks:
            link = Link(
                "room",
                self._options,
                on_up=self._room.open,
                on_down=self._room.close,
                repair=self._repair,
            )
            self._start("room", link.run())
            self._start("count what is beside the shards", self._room.run())

    def _on_expired_cancelled(self, channel: Channel) -> None:
        self._in_background(self._consume_expired_again(channel), EXPIRED)

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
            await self.topology.repair()
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
        self._failure = f"the queue's part '{task.get_name()}' ended: {error!r}"
        self._failed.set()
        self._calls.end()
        for consumer in (self._call_consumer, self._job_consumer, self._dead_consumer):
            consumer.fail_takers()

    async def _end_consumers(self) -> None:
        try:
            async with asyncio.timeout(_END_S):
                await self._call_consumer.end()
                await self._job_consumer.end()
                await self._dead_consumer.end()
        except TimeoutError:
            _log.warning("jobs_not_given_back", after_s=_END_S)

    async def _stop_tasks(self) -> None:
        tasks = [*self._tasks.values(), *self._background]
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _in_background(self, work: Coroutine[Any, Any, None], queue: str) -> None:
        """What needs no worker. Bounded by the calls that wait and by the prefetch: messages that it is about
        are unacknowledged meanwhile."""
        task = asyncio.create_task(self._deal(work, queue), name="rabbitmq background")
        self._background.add(task)
        task.add_done_callback(self._background.discard)

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
