"""What a worker holds of the broker: one synchronous or one asynchronous job.

A delivery of a connection that is gone cannot be answered any more. That is no error of the worker: the
broker gives a synchronous job to another worker, which tells its caller that this one was lost, and of an
asynchronous job the ledger knows who may run it. It is counted.

A job that goes back is published anew and then acknowledged. While the broker does not take it, that is tried
again behind the worker's back, until it is done or the connection is gone: no message is left unacknowledged
by somebody who has forgotten it. It is never rejected: that would count as a delivery, and a job that only
waited in busy workers' hands would be given up.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from runtime.backends.amqp.channel import Message
from runtime.backends.amqp.errors import AmqpError
from runtime.backends.rabbitmq.messages import (
    Kind,
    call_properties,
    job_properties,
    lost,
    number,
    reply,
    waited_ms,
)
from runtime.backends.rabbitmq.publisher import Publisher, QueueFullError, UnconfirmedError
from runtime.backends.rabbitmq.topology import CALLS, LOST, LOST_DELAY, Topology
from runtime.backends.rabbitmq.wills import LastWill
from runtime.errors import OursError
from runtime.job_codec import encode_job, encode_outcome
from runtime.jobs.endings import expired_call
from runtime.messages import Job, Outcome
from runtime.ports import AsyncDelivery, Clock, Delivery

_log = structlog.get_logger(__name__)

_AGAIN_FIRST_S = 0.5
_AGAIN_LONGEST_S = 5.0

InBackground = Callable[[Coroutine[Any, Any, None], str], None]
"""Does something that no worker waits for, about a message of the queue that is named."""


class Bench:
    """What deliveries share: where to publish, and what is counted."""

    def __init__(
        self,
        *,
        topology: Topology,
        publisher: Publisher,
        clock: Clock,
        counts: Counter[str],
        in_background: InBackground,
        will: LastWill,
        taken_after_s: float,
    ) -> None:
        """`taken_after_s`: a synchronous job that runs for longer is told to its caller."""
        self.will = will
        self.taken_after_s = taken_after_s
        self.topology = topology
        self.publisher = publisher
        self.clock = clock
        self.counts = counts
        self.in_background = in_background
        self.unsettled = 0
        """Synchronous jobs that were started here and not answered yet."""

    def lost(self, job: Job, error: AmqpError) -> None:
        """A delivery whose connection is gone was answered."""
        self.counts["lost_acknowledgements"] += 1
        _log.warning("acknowledgement_lost", job_id=job.job_id, reason=str(error))


class CallDelivery(Delivery):
    """A synchronous job."""

    rank = 0
    __slots__ = (
        "_arrived",
        "_bench",
        "_message",
        "_running",
        "_started",
        "_telling",
        "_told",
        "job",
        "space_id",
        "waited_ms",
    )

    def __init__(self, job: Job, message: Message, bench: Bench) -> None:
        self.job = job
        self.space_id = job.space_id
        self.waited_ms = 0.0
        self._message = message
        self._bench = bench
        self._arrived = bench.clock.monotonic()
        self._running = False
        self._started = False
        """And neither answered nor handed back so far: counted as unsettled."""
        self._told = False
        self._telling: asyncio.TimerHandle | None = None

    async def start(self) -> bool:
        """The caller is told when it takes long; at once, when it would not hear of our death.
        False: it must not be run, and its caller knows or is told.

        When this is cancelled, the delivery is still whole."""
        self._measure()
        if self.waited_ms >= self.job.wait_ms:
            await self.finish(expired_call(self.job))
            return False
        channel = self._message.channel
        if self._bench.will.held and not channel.closed.done():
            loop = asyncio.get_running_loop()
            self._telling = loop.call_later(self._bench.taken_after_s, self._tell_later)
        else:
            self._told = True
            try:
                await reply(self._message, Kind.TAKEN)
            except AmqpError as error:
                self._give_up(error)
                return False
        self._running = self._started = True
        self._bench.unsettled += 1
        return True  # what was told leaves at the end of this turn; the job begins in a later one

    def _tell_later(self) -> None:
        self._telling = None
        self._bench.in_background(self._tell_taken(), CALLS)

    async def _tell_taken(self) -> None:
        if self._running:
            self._told = True
            await reply(self._message, Kind.TAKEN)

    def _tell_no_more(self) -> None:
        self._running = False
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None

    async def finish(self, outcome: Outcome) -> None:
        self._tell_no_more()
        try:
            await reply(self._message, Kind.OUTCOME, encode_outcome(outcome))
            self._acknowledge()
        except AmqpError as error:
            self._give_up(error)

    async def hand_back(self) -> None:
        try:
            if not await self._put_back():
                self._bench.in_background(self._put_back_later(), CALLS)
        except asyncio.CancelledError:  # perhaps it is there already: at most one may run it
            self._bench.in_background(self.finish(self._unknown()), CALLS)
            raise

    async def _put_back_later(self) -> None:
        pause_s = _AGAIN_FIRST_S
        while True:
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _AGAIN_LONGEST_S)
            if await self._put_back():
                return

    async def _put_back(self) -> bool:
        """False: the broker did not take it; it is still ours."""
        self._tell_no_more()
        self._measure()
        remaining_ms = self.job.wait_ms - self.waited_ms
        if remaining_ms <= 0:
            await self.finish(expired_call(self.job))
            return True
        properties = self._message.properties
        try:
            if self._told:
                await reply(self._message, Kind.RETURNED)
                self._told = False
            await self._bench.publisher.publish(
                self._message.body or b"",
                exchange=self._bench.topology.exchange,
                routing_key=CALLS,
                properties=call_properties(
                    properties.correlation_id or "",
                    properties.reply_to or "",
                    remaining_ms=remaining_ms,
                    sent_ms=number(self._message, "sent_ms"),
                    waited_ms=int(self.waited_ms),
                ),
            )
            self._acknowledge()
        except UnconfirmedError:  # as for a cancellation
            await self.finish(self._unknown())
        except OursError as error:
            _log.warning("job_not_handed_back", job_id=self.job.job_id, reason=error.message)
            return False
        except AmqpError as error:
            self._give_up(error)
        return True

    def _acknowledge(self) -> None:
        self._message.channel.ack(self._message)
        self._settle()

    def _settle(self) -> None:
        """Nobody waits for a word of us any more."""
        if self._started:
            self._started = False
            self._bench.unsettled -= 1

    def _unknown(self) -> Outcome:
        return lost(self.job, "its worker stopped, and nobody knows whether another one has it")

    def _give_up(self, error: AmqpError) -> None:
        """Another worker tells the caller. A connection that is there but takes nothing is of no use."""
        self._settle()
        self._bench.lost(self.job, error)
        self._message.channel.abandon(str(error))

    def _measure(self) -> None:
        clock = self._bench.clock
        self.waited_ms = waited_ms(
            self._message,
            self.job.wait_ms,
            held_ms=(clock.monotonic() - self._arrived) * 1000,
            now_ms=clock.now_ms(),
        )


class JobDelivery(AsyncDelivery):
    """An asynchronous job. `key`: the routing key of where it goes back to."""

    __slots__ = ("_bench", "_message", "job", "key", "rank", "restarts", "space_id")

    def __init__(
        self,
        job: Job,
        message: Message,
        bench: Bench,
        key: str,
        *,
        rank: int = 0,
        restarts: int = 0,
    ) -> None:
        self.job = job
        self.space_id = job.space_id
        self.rank = rank
        self.restarts = restarts
        self.key = key
        self._message = message
        self._bench = bench

    async def acknowledge(self) -> None:
        try:
            self._message.channel.ack(self._message)
        except AmqpError as error:
            self._bench.lost(self.job, error)

    async def hand_back(self) -> None:
        await self.postpone(0.0)

    async def postpone(self, delay_s: float) -> None:
        try:
            if not await self._move(delay_s):
                self._bench.in_background(self.move_later(delay_s), self.key)
        except asyncio.CancelledError:  # twice in the queue does no harm
            self._bench.in_background(self.move_later(delay_s), self.key)
            raise

    async def move_later(self, delay_s: float) -> None:
        """Until the broker takes it, or gives it to somebody else because the connection is gone."""
        pause_s = 0.0
        while not self._message.channel.closed.done():
            await asyncio.sleep(pause_s)
            if await self._move(delay_s):
                return
            pause_s = min(max(pause_s * 2, _AGAIN_FIRST_S), _AGAIN_LONGEST_S)

    async def move_to(self, key: str) -> bool:
        """Into another queue, where it then belongs. False: the broker did not take it; it is still ours."""
        return await self._moved(self._publish(key))

    async def _move(self, delay_s: float) -> bool:
        """Into its queue, now or later. False as of `move_to`."""
        return await self._moved(self._put_back(delay_s))

    async def _moved(self, publishing: Coroutine[Any, Any, None]) -> bool:
        try:
            await publishing
        except OursError as error:
            _log.warning("job_not_moved", job_id=self.job.job_id, reason=error.message)
            return False
        await self.acknowledge()
        return True

    async def _put_back(self, delay_s: float) -> None:
        """Raises OursError. Full delay queues are waited for: they empty by themselves."""
        topology = self._bench.topology
        if delay_s > 0:
            key, left_s = topology.delay(self.space_id, delay_s)
            await self._publish(key, delay_s=left_s)
            return
        try:
            await self._publish(self.key)
        except QueueFullError:
            await self._publish(topology.due(self.space_id))

    async def _publish(self, key: str, *, delay_s: float = 0.0, restarts: int = 0) -> None:
        properties = job_properties(
            self.job.job_id, delay_s=delay_s, restarts=restarts or self.restarts
        )
        await self._bench.publisher.publish(
            self._message.body or b"",
            exchange=self._bench.topology.exchange,
            routing_key=key,
            properties=properties,
        )


class DeadDelivery(JobDelivery):
    """A job that the broker gave up. It goes back to where it was, or among the others again."""

    __slots__ = ()

    async def restart(self) -> None:
        try:
            await self._publish(self._bench.topology.due(self.space_id), restarts=self.restarts + 1)
        except OursError as error:
            _log.warning("job_not_restarted", job_id=self.job.job_id, reason=error.message)
            await self.postpone(0.0)
        else:
            await self.acknowledge()

    async def _put_back(self, delay_s: float) -> None:
        await self._publish(LOST_DELAY if delay_s > 0 else LOST)


async def enqueue(bench: Bench, job: Job, delay_s: float) -> None:
    """A new job, now or later. Raises as `Queue.enqueue`."""
    topology = bench.topology
    key, left_s = topology.shard(job.space_id), 0.0
    if delay_s > 0:
        key, left_s = topology.delay(job.space_id, delay_s)
    await bench.publisher.publish(
        encode_job(job),
        exchange=topology.exchange,
        routing_key=key,
        properties=job_properties(job.job_id, delay_s=left_s),
    )
