"""The caller's half of synchronous jobs: publishes a job and waits for what comes back.

A caller is told `expired` only when it is certain that the job never ran: by the worker that held it, or
because the broker dropped it, no worker said `taken` and none died meanwhile (`rabbitmq.wills`): it might
have had the job in its hands. Where nothing is certain the outcome is `worker_lost`, which says that
the job may have run.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from runtime.backends.amqp.channel import Channel, Message
from runtime.backends.amqp.connection import Connection
from runtime.backends.rabbitmq.deliveries import InBackground
from runtime.backends.rabbitmq.messages import (
    REPLY_TO,
    Kind,
    call_properties,
    lost,
    reply,
)
from runtime.backends.rabbitmq.options import RabbitMqOptions
from runtime.backends.rabbitmq.publisher import Publisher
from runtime.backends.rabbitmq.topology import CALLS, EXPIRED, Topology
from runtime.backends.rabbitmq.wills import Deaths
from runtime.errors import MalformedMessageError, OverloadedError, UnavailableError
from runtime.job_codec import decode_outcome, encode_job
from runtime.jobs.endings import expired_call
from runtime.messages import Job, Outcome
from runtime.ports import Clock

_NOTICE_GRACE_S = 2.0
"""After a job's wait: for the broker's word that it dropped the job. Without it, nobody knows."""
_DEATH_GRACE_S = 0.5
"""After the broker dropped a job: for its word that the job's worker had just died."""
_EXPIRED_PREFETCH = 64


class _Caller:
    """One caller that waits."""

    __slots__ = ("answer", "began_s", "dropped", "job", "taken", "timer")

    def __init__(self, job: Job, answer: asyncio.Future[Outcome], began_s: float) -> None:
        """`began_s`: loop time."""
        self.job = job
        self.answer = answer
        self.began_s = began_s
        self.taken = False
        self.dropped = False
        """By the broker, as far as we know."""
        self.timer: asyncio.TimerHandle | None = None

    def settle(self, outcome: Outcome) -> None:
        if not self.answer.done():
            self.answer.set_result(outcome)

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class Calls:
    """All callers of this process."""

    def __init__(
        self,
        *,
        options: RabbitMqOptions,
        topology: Topology,
        publisher: Publisher,
        clock: Clock,
        counts: Counter[str],
        on_expired_cancelled: Callable[[Channel], None],
        in_background: InBackground,
    ) -> None:
        """`on_expired_cancelled`: the queue of expired jobs was deleted; `consume_expired` goes on."""
        self._on_expired_cancelled = on_expired_cancelled
        self._in_background = in_background
        self._options = options
        self._topology = topology
        self._publisher = publisher
        self._deaths = Deaths(topology, publisher)
        self._clock = clock
        self._counts = counts
        self._callers: dict[str, _Caller] = {}
        self._waiting: Counter[str] = Counter()
        """Jobs of each space that nobody has taken yet."""
        self._next_id = 0

    @property
    def waiting(self) -> int:
        """Jobs that nobody has taken yet."""
        return self._waiting.total()

    async def open(self, connection: Connection) -> Channel:
        """Of a new connection: direct reply-to wants publisher and consumer on one channel."""
        channel = await self._publisher.open(connection)
        await channel.consume(REPLY_TO, self._on_reply, tag="replies", no_ack=True)
        await self._deaths.open(channel)
        await channel.prefetch(_EXPIRED_PREFETCH)
        await self.consume_expired(channel)
        return channel

    async def consume_expired(self, channel: Channel) -> None:
        """What the broker drops, of any gateway."""
        await channel.consume(
            self._topology.queue(EXPIRED),
            lambda message: self._in_background(self._tell_expired(message), EXPIRED),
            tag=EXPIRED,
            on_cancelled=lambda _: self._on_expired_cancelled(channel),
        )

    def close(self) -> None:
        """The connection is gone, and with it the address of all replies."""
        self._publisher.close()
        for caller in list(self._callers.values()):
            if caller.taken:
                caller.settle(lost(caller.job, "the connection to RabbitMQ was lost meanwhile"))
            else:
                caller.fail(
                    UnavailableError(
                        "the connection to RabbitMQ was lost; the call may still be run"
                    )
                )

    def end(self) -> None:
        """The queue is closed."""
        for caller in list(self._callers.values()):
            caller.fail(UnavailableError("the queue was closed; try again"))

    async def call(self, job: Job) -> Outcome:
        """See `Queue.call`. The bound for a space counts what waits in this process."""
        if self._waiting[job.space_id] >= self._options.calls_max_per_space:
            raise OverloadedError(
                f"{self._waiting[job.space_id]} calls of {job.space_id} wait already"
                " (YUNHAN_QUEUE_MAX_JOBS_PER_SPACE); try again later"
            )
        if len(self._callers) >= self._options.in_flight_max:
            raise OverloadedError(
                f"{len(self._callers)} calls wait for their outcome already"
                " (YUNHAN_QUEUE_IN_FLIGHT_MAX); try again later"
            )
        loop = asyncio.get_running_loop()
        caller = _Caller(job, loop.create_future(), loop.time())
        self._next_id += 1
        correlation_id = str(self._next_id)
        self._callers[correlation_id] = caller
        self._waiting[job.space_id] += 1
        self._wait(caller, job.wait_ms / 1000 + _NOTICE_GRACE_S, _no_word)
        try:
            try:
                await self._publisher.publish(
                    encode_job(job),
                    exchange=self._topology.exchange,
                    routing_key=CALLS,
                    properties=call_properties(
                        correlation_id,
                        REPLY_TO,
                        remaining_ms=job.wait_ms,
                        sent_ms=self._clock.now_ms(),
                    ),
                )
            except UnavailableError:
                if not caller.answer.done():  # what came back says more than what did not
                    raise
            return await caller.answer
        finally:
            del self._callers[correlation_id]
            if not caller.taken:
                self._forget(caller)
            if caller.timer is not None:
                caller.timer.cancel()
            if caller.answer.done() and not caller.answer.cancelled():
                caller.answer.exception()  # seen, also when the publish failed first

    def _wait(self, caller: _Caller, seconds: float, end: Callable[[_Caller], None]) -> None:
        if caller.timer is not None:
            caller.timer.cancel()
        caller.timer = asyncio.get_running_loop().call_later(seconds, end, caller)

    def _forget(self, caller: _Caller) -> None:
        """It waits no longer."""
        space_id = caller.job.space_id
        self._waiting[space_id] -= 1
        if not self._waiting[space_id]:
            del self._waiting[space_id]

    def _on_reply(self, message: Message) -> None:
        properties = message.properties
        caller = self._callers.get(properties.correlation_id or "")
        if caller is None or caller.answer.done():
            if properties.message_type == Kind.OUTCOME:
                self._counts["late_outcomes"] += 1
            return
        match properties.message_type:
            case Kind.OUTCOME:
                self._settle(caller, message.body)
            case Kind.TAKEN:
                if not caller.taken:
                    caller.taken = True
                    self._forget(caller)
                caller.dropped = False
                self._wait(
                    caller,
                    caller.job.limits.timeout_s + self._options.outcome_grace_s,
                    _no_outcome,
                )
            case Kind.RETURNED:
                caller.dropped = False
                if caller.taken:
                    caller.taken = False
                    self._waiting[caller.job.space_id] += 1
                self._wait(caller, caller.job.wait_ms / 1000 + _NOTICE_GRACE_S, _no_word)
            case Kind.EXPIRED if caller.taken:
                caller.settle(lost(caller.job, "its worker was lost"))
            case Kind.EXPIRED:
                caller.dropped = True
                self._wait(caller, _DEATH_GRACE_S, self._dropped)
            case _:
                self._counts["malformed"] += 1

    def _settle(self, caller: _Caller, body: bytes | None) -> None:
        try:
            outcome = decode_outcome(b"" if body is None else body)
        except MalformedMessageError as error:
            self._counts["malformed"] += 1
            caller.fail(UnavailableError(f"the outcome cannot be read: {error.message}"))
        else:
            caller.settle(outcome)

    def _dropped(self, caller: _Caller) -> None:
        self._wait(caller, self._options.publish_timeout_s + _NOTICE_GRACE_S, _no_word)
        self._in_background(self._judge(caller), EXPIRED)

    async def _judge(self, caller: _Caller) -> None:
        """The broker dropped its job, and no worker said that it had it."""
        doubtful = await self._deaths.since(caller.began_s)
        if caller.answer.done() or not caller.dropped:  # there was word of it meanwhile
            return
        if doubtful:
            self._counts["doubted"] += 1
            caller.settle(lost(caller.job, "a worker was lost while it waited"))
        else:
            caller.settle(expired_call(caller.job))

    async def _tell_expired(self, message: Message) -> None:
        """The broker dropped a job, of whichever gateway; its caller is told by direct reply-to. Raises
        AmqpError: another gateway gets the message."""
        self._counts["expired"] += 1
        await reply(message, Kind.EXPIRED)
        message.channel.ack(message)


def _no_word(caller: _Caller) -> None:
    caller.settle(
        lost(caller.job, f"there was no word of it {caller.job.wait_ms} ms after it was queued")
    )


def _no_outcome(caller: _Caller) -> None:
    caller.settle(lost(caller.job, "its worker gave no outcome in time"))
