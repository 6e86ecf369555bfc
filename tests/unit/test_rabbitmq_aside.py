"""Spaces that share a shard: those with few jobs are not behind another's thousands."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runtime.backends.amqp.channel import Channel, Message
from runtime.backends.rabbitmq.aside import Aside
from runtime.backends.rabbitmq.consumer import Consumer
from runtime.backends.rabbitmq.deliveries import Bench, JobDelivery
from runtime.backends.rabbitmq.lanes import HALVED_AFTER_S, LANES, WIDTHS, LaneCounts
from runtime.backends.rabbitmq.options import RabbitMqOptions
from runtime.backends.rabbitmq.topology import Topology
from runtime.errors import OverloadedError
from runtime.messages import Job
from runtime.ports import SystemClock
from runtime.testing.async_queue import async_job

SHARD = "jobs.0"


def test_each_space_fills_the_lanes_by_itself() -> None:
    lanes = LaneCounts()
    busy = [lanes.enter("busy", 0.0) for _ in range(sum(WIDTHS) + 5)]
    assert busy == sorted(busy)
    assert [busy.count(lane) for lane in range(LANES)] == [*WIDTHS, 5]
    assert lanes.enter("silent", 0.0) == 0


def test_new_jobs_are_behind_the_old_ones_of_their_space() -> None:
    lanes = LaneCounts()
    for _ in range(sum(WIDTHS) + 5):
        lanes.enter("busy", 0.0)
    for _ in range(WIDTHS[0]):  # the first lane is empty
        lanes.leave("busy")
    assert lanes.enter("busy", 0.0) == 2
    for _ in range(sum(WIDTHS)):
        lanes.leave("busy")
    assert not lanes.has("busy", 0.0)
    assert lanes.enter("busy", 0.0) == 0


def test_wrong_counts_fade() -> None:
    lanes = LaneCounts()
    for _ in range(sum(WIDTHS)):
        lanes.enter("busy", 0.0)  # other workers got them
    lanes.leave("never seen")
    assert lanes.enter("busy", HALVED_AFTER_S - 1) == 3
    assert lanes.enter("busy", HALVED_AFTER_S) == 2
    assert lanes.enter("busy", 6 * HALVED_AFTER_S) == 1
    assert not lanes.has("busy", 20 * HALVED_AFTER_S)
    assert not lanes.has("never seen", 0.0)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 100))))
def test_counts_are_never_negative(steps: list[tuple[bool, int]]) -> None:
    lanes, now_s, inside = LaneCounts(), 0.0, 0
    for enters, later_s in steps:
        now_s += later_s
        if enters:
            assert 0 <= lanes.enter("a", now_s) < LANES
            inside += 1
        else:
            lanes.leave("a")
            inside = max(inside - 1, 0)
        assert inside or not lanes.has("a", now_s)


class Broker(Channel):
    """Queues in order, consumers with their prefetch, nothing else. It is channel and publisher in one."""

    def __init__(self, topology: Topology) -> None:
        self.closed = asyncio.get_running_loop().create_future()
        self.names = {topology.queue(key): key for key in [*topology.shards(), *topology.lanes()]}
        self.queues: dict[str, deque[Job]] = {key: deque() for key in self.names.values()}
        self.full: set[str] = set()
        self.published: Counter[str] = Counter()
        self._consumers: dict[str, Any] = {}
        self._tagged: dict[str, str] = {}
        self._seen: set[str] = set()
        self._room: Counter[str] = Counter()
        self._prefetch = 0
        self.delivered = 0
        self._out: dict[int, tuple[str, Job]] = {}

    def job_of(self, message: Message) -> Job:
        return self._out[message.tag][1]

    async def prefetch(self, count: int) -> None:
        self._prefetch = count

    async def consume(self, queue: str, on_message: Any, *, tag: str, **_: Any) -> None:
        assert tag not in self._seen, "a tag is never used again"
        self._seen.add(tag)
        self._tagged[tag] = self.names[queue]
        self._consumers[self.names[queue]] = on_message
        self._room[self.names[queue]] = self._prefetch
        self._push(self.names[queue])

    async def cancel(self, tag: str) -> None:
        del self._consumers[self._tagged.pop(tag)]

    def ack(self, message: Message) -> None:
        key, _ = self._out.pop(message.tag)
        self._room[key] += 1
        self._push(key)

    async def publish(
        self, body: bytes, *, exchange: str, routing_key: str, properties: Any
    ) -> None:
        await asyncio.sleep(0)
        if routing_key in self.full:
            raise OverloadedError("full")
        self.published[routing_key] += 1
        [job] = [job for _, job in self._out.values() if job.job_id == properties.message_id]
        self.put(routing_key, job)

    def put(self, key: str, job: Job) -> None:
        self.queues[key].append(job)
        self._push(key)

    def _push(self, key: str) -> None:
        while key in self._consumers and self._room[key] and self.queues[key]:
            self._room[key] -= 1
            self.delivered += 1
            job = self.queues[key].popleft()
            self._out[self.delivered] = (key, job)
            message = Message.__new__(Message)
            message.channel, message.tag, message.routing_key = self, self.delivered, key
            message.body = job.job_id.encode()
            asyncio.get_running_loop().call_soon(self._consumers[key], message)


class Worker:
    """The worker's half of the adapter over that broker."""

    def __init__(self) -> None:
        options = RabbitMqOptions(url="amqp://broker", shards=1)
        topology = Topology(options)
        self.broker = Broker(topology)
        self.tasks: set[asyncio.Task[None]] = set()
        no_will: Any = SimpleNamespace(held=False)
        bench = Bench(
            topology=topology,
            publisher=self.broker,  # type: ignore[arg-type]
            clock=SystemClock(),
            counts=Counter(),
            in_background=self._in_background,
            will=no_will,
            taken_after_s=options.taken_after_s,
        )
        self.counts = bench.counts
        aside = Aside(bench, keep=lambda job: self.intake.put_back(job))  # noqa: PLW0108 - made below

        def accept(message: Message) -> JobDelivery:
            job = self.broker.job_of(message)
            home, rank = aside.home(job, message.routing_key)
            return JobDelivery(job, message, bench, home, rank=rank)

        async def repair() -> None:
            raise AssertionError

        self.intake = Consumer(
            "jobs",
            {
                **{topology.queue(key): options.job_prefetch for key in topology.shards()},
                **{topology.queue(key): options.aside_prefetch for key in topology.lanes()},
            },
            accept=accept,
            repair=repair,
            set_aside=aside.set_aside,
        )

    def _in_background(self, work: Coroutine[Any, Any, None], _queue: str) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def starts(self, count: int) -> list[str]:
        """The spaces of the next jobs, each begun once the one before it is over and all is quiet."""
        self.intake.open(self.broker)
        running = asyncio.create_task(self.intake.run())
        spaces = []
        for _ in range(count):
            delivery = await self.intake.take()
            spaces.append(delivery.space_id)
            await self._all_quiet()
            await delivery.acknowledge()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await self.intake.end()
        return spaces

    async def _all_quiet(self) -> None:
        """What is on its way has arrived."""
        before = None
        while before != (now := (self.broker.published.total(), self.broker.delivered)):
            before = now
            for _ in range(10):
                await asyncio.sleep(0)

    async def channel(self, *, confirms: bool) -> Channel:
        return self.broker


def jobs(space_id: str, count: int) -> list[Job]:
    return [async_job(space_id) for _ in range(count)]


async def test_a_single_job_behind_ten_thousand_begins_at_once() -> None:
    worker = Worker()
    worker.broker.queues[SHARD].extend([*jobs("mp-busy", 10_000), *jobs("mp-silent", 1)])
    spaces = await worker.starts(3)
    assert spaces.count("mp-silent") == 1
    assert 9_990 <= worker.counts["set_aside"] <= 10_000  # once each


async def test_spaces_take_turns_whatever_each_has_waiting() -> None:
    worker = Worker()
    worker.broker.queues[SHARD].extend([*jobs("mp-busy", 3000), *jobs("mp-some", 40)])
    spaces = await worker.starts(400)
    assert spaces.count("mp-some") == 40
    begun = [at for at, space in enumerate(spaces, 1) if space == "mp-some"]
    assert all(at <= 12 * number + WIDTHS[0] for number, at in enumerate(begun, 1)), begun


async def test_jobs_of_one_space_alone_all_run_and_each_is_moved_once_at_most() -> None:
    worker = Worker()
    worker.broker.queues[SHARD].extend(jobs("mp-busy", 300))
    assert await worker.starts(300) == ["mp-busy"] * 300
    assert worker.broker.published.total() <= 300
    assert not any(worker.broker.queues.values())


async def test_a_full_lane_keeps_jobs_where_they_are() -> None:
    worker = Worker()
    worker.broker.full = set(worker.broker.queues) - {SHARD}
    worker.broker.queues[SHARD].extend(jobs("mp-busy", 100))
    assert await worker.starts(100) == ["mp-busy"] * 100
    assert worker.counts["set_aside"] == 0
