"""Last wills and who hears of them, without a broker (with one: test_queue_rabbitmq_faults.py)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from runtime.backends.rabbitmq import wills
from runtime.backends.rabbitmq.options import RabbitMqOptions
from runtime.backends.rabbitmq.topology import Topology
from runtime.backends.rabbitmq.wills import Deaths, LastWill


class Broker:
    """One channel. What is sent to a queue comes at once."""

    def __init__(self) -> None:
        self.closed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.consumers: dict[str, tuple[Callable[[Any], None], Callable[[str], None]]] = {}
        self.acknowledged: list[int] = []
        self.sent = asyncio.Queue[int]()
        self.tag = 0

    async def declare(self, queue: str, **_: Any) -> None: ...

    async def bind(self, queue: str, **_: Any) -> None: ...

    async def prefetch(self, count: int) -> None: ...

    async def consume(self, queue: str, on_message: Any, *, on_cancelled: Any, **_: Any) -> None:
        self.consumers[queue] = (on_message, on_cancelled)

    async def send(self, body: bytes, *, routing_key: str, properties: Any) -> None:
        self.tag += 1
        self.consumers[routing_key][0](SimpleNamespace(channel=self, tag=self.tag))
        self.sent.put_nowait(self.tag)

    def ack(self, message: Any) -> None:
        self.acknowledged.append(message.tag)

    @property
    def only(self) -> tuple[Callable[[Any], None], Callable[[str], None]]:
        [consumer] = self.consumers.values()
        return consumer


@pytest.fixture
def topology() -> Topology:
    return Topology(RabbitMqOptions(url="amqp://nowhere"))


def is_held(will: LastWill) -> bool:
    return will.held


async def test_a_will_is_held_from_its_delivery_to_the_goodbye(topology: Topology) -> None:
    broker: Any = Broker()
    will = LastWill(topology)
    assert not is_held(will)
    await will.open(broker)
    assert is_held(will)
    assert broker.acknowledged == []
    will.withdraw()
    will.withdraw()
    assert not is_held(will)
    assert broker.acknowledged == [1]


async def test_a_will_is_renewed_and_the_old_one_goes_after_the_new_one_came(
    topology: Topology, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wills, "_RENEW_S", 0.0)
    broker: Any = Broker()
    will = LastWill(topology)
    await will.open(broker)
    renewing = asyncio.create_task(will.run())
    while await broker.sent.get() < 3:
        pass
    renewing.cancel()
    await asyncio.gather(renewing, return_exceptions=True)
    assert is_held(will)
    assert broker.acknowledged == list(range(1, broker.tag))


async def test_without_its_queue_or_connection_there_is_no_will(topology: Topology) -> None:
    broker: Any = Broker()
    will = LastWill(topology)
    await will.open(broker)
    broker.only[1]("will")
    assert not is_held(will)
    again: Any = Broker()
    await will.open(again)
    assert is_held(will)
    will.close()
    assert not is_held(will)


async def test_a_goodbye_on_a_lost_channel_is_no_error(topology: Topology) -> None:
    broker: Any = Broker()
    will = LastWill(topology)
    await will.open(broker)
    broker.closed.set_result(None)
    will.withdraw()
    assert broker.acknowledged == []


async def test_deaths_are_known_from_the_moment_they_are_told(topology: Topology) -> None:
    now = asyncio.get_running_loop().time
    broker: Any = Broker()
    deaths = Deaths(topology)
    before = now()
    assert not deaths.since(before)
    await deaths.open(broker)
    assert deaths.since(before), "somebody may have died before we could hear of it"
    later = now() + 0.001
    assert not deaths.since(later)
    while now() <= later:
        await asyncio.sleep(0)
    broker.only[0](None)
    assert deaths.since(later)


async def test_who_cannot_hear_of_deaths_believes_in_them(topology: Topology) -> None:
    broker: Any = Broker()
    deaths = Deaths(topology)
    await deaths.open(broker)
    broker.only[1]("deaths")
    assert deaths.since(asyncio.get_running_loop().time() + 3600)
