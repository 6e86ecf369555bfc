"""Confirmations of a channel, and the order in which consumers start. No broker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest
from pamqp.commands import Basic

from runtime.backends.amqp.channel import Channel
from runtime.backends.amqp.errors import AmqpError, ProtocolError, RefusedError
from runtime.backends.rabbitmq.consumer import Consumer


class Nowhere:
    """A connection that takes everything."""

    frame_max = 131_072
    body_max = 1_000_000
    answer_timeout_s = 5.0

    def write(self, data: bytes) -> None: ...

    async def wait_writable(self) -> None: ...

    def fail(self, error: AmqpError) -> None:
        raise AssertionError(error)


async def published(channel: Channel, count: int) -> list[asyncio.Task[None]]:
    async def publish() -> None:
        await channel.publish(
            b"", exchange="e", routing_key="k", properties=Basic.Properties(message_id="m")
        )

    tasks = [asyncio.create_task(publish()) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


async def outcome(work: Awaitable[None]) -> str:
    try:
        await work
    except RefusedError:
        return "refused"
    return "taken"


async def test_one_confirmation_for_several_is_for_all_that_wait_up_to_it() -> None:
    channel = Channel(Nowhere(), 1)
    tasks = await published(channel, 6)
    channel.on_frame(Basic.Nack(delivery_tag=2))
    channel.on_frame(Basic.Ack(delivery_tag=4, multiple=True))
    assert [await outcome(task) for task in tasks[:4]] == ["taken", "refused", "taken", "taken"]
    assert not any(task.done() for task in tasks[4:])
    channel.on_frame(Basic.Ack(delivery_tag=4, multiple=True))
    channel.on_frame(Basic.Nack(delivery_tag=6, multiple=True))
    assert [await outcome(task) for task in tasks[4:]] == ["refused", "refused"]
    with pytest.raises(ProtocolError):
        channel.on_frame(Basic.Ack(delivery_tag=7, multiple=True))


@pytest.mark.timeout(20)
async def test_what_was_confirmed_one_by_one_costs_nothing_later() -> None:
    channel = Channel(Nowhere(), 1)
    channel._last_number = 10**10  # so many were sent and confirmed before
    [task] = await published(channel, 1)
    channel.on_frame(Basic.Ack(delivery_tag=10**10 + 1, multiple=True))
    assert await outcome(task) == "taken"


async def test_consumers_start_in_another_order_each_time() -> None:
    queues = dict.fromkeys((f"queue-{number}" for number in range(10)), 1)

    class Recorder:
        """Each start is followed by a stop, as when nobody takes."""

        closed = asyncio.get_running_loop().create_future()

        def __init__(self) -> None:
            self.order: list[str] = []

        async def prefetch(self, count: int) -> None: ...

        async def consume(self, queue: str, on_message: Any, *, tag: str, **_: Any) -> None:
            self.order.append(queue)

        async def cancel(self, tag: str) -> None: ...

    async def repair() -> None:
        raise AssertionError

    first: set[str] = set()
    recorder: Any = Recorder()
    consumer: Consumer[Any] = Consumer("c", queues, accept=lambda message: None, repair=repair)
    consumer.open(recorder)
    for _ in range(12):
        await consumer._adjust()
        assert sorted(recorder.order) == sorted(queues), "each of them, once"
        first.add(recorder.order[0])
        await consumer._cancel_consumers()
        recorder.order.clear()
    assert len(first) > 1
