"""Last wills and who hears of them, without a broker (with one: test_queue_rabbitmq_faults.py)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from pamqp.commands import Basic

from runtime.backends.rabbitmq import wills
from runtime.backends.rabbitmq.options import RabbitMqOptions
from runtime.backends.rabbitmq.topology import DEATHS, WILLS, Topology
from runtime.backends.rabbitmq.wills import Deaths, LastWill
from runtime.errors import OverloadedError, UnavailableError
from tests.harness.polling import until

TOPOLOGY = Topology(RabbitMqOptions(url="amqp://nowhere"))
WILLS_QUEUE = TOPOLOGY.queue(WILLS)


class Broker:
    """Connection, channel and publisher in one. One consumer, which gets what is published unless it holds
    something already."""

    def __init__(self) -> None:
        self.closed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.consumer: Callable[[Any], None] | None = None
        self.cancel: Callable[[str], None] = lambda _: None
        self.bound: list[str] = []
        self.done: list[str] = []
        """What happened, in its order."""
        self.held: Any = None
        self.failure: Exception | None = None
        self.others_bound = False
        self.tag = 0

    async def channel(self, *, confirms: bool) -> Broker:
        return self

    async def declare(self, queue: str, **_: Any) -> None: ...

    async def bind(self, queue: str, *, exchange: str, routing_key: str) -> None:
        self.bound.append(routing_key)

    async def prefetch(self, count: int) -> None:
        assert count == 1, "a worker takes no other's will"
        self.done.append("prefetch")

    async def consume(self, queue: str, on_message: Any, *, on_cancelled: Any, **_: Any) -> None:
        self.consumer, self.cancel = on_message, on_cancelled
        self.done.append("consume")

    async def publish(
        self, body: bytes, *, exchange: str, routing_key: str, properties: Any
    ) -> None:
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        if exchange and routing_key not in self.bound:
            if self.others_bound:
                return  # confirmed: somebody has it
            raise UnavailableError("there is no queue for it")
        if self.held is not None or self.consumer is None:
            self.done.append("died")
            return
        self.tag += 1
        message = SimpleNamespace(channel=self, tag=self.tag, properties=properties)
        if routing_key == WILLS_QUEUE:
            self.held = message
        self.done.append(f"deliver {self.tag}")
        self.consumer(message)

    def ack(self, message: Any) -> None:
        assert message is self.held
        self.held = None
        self.done.append(f"ack {message.tag}")

    async def repair(self) -> None:
        self.done.append("repair")


@asynccontextmanager
async def written(broker: Any, *, renew_s: float = 3600.0) -> AsyncIterator[LastWill]:
    will = LastWill(TOPOLOGY, broker, renew_s=renew_s, taken_after_s=0.0, repair=broker.repair)
    running = asyncio.create_task(will.run())
    try:
        await will.open(broker)
        yield will
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wills, "_AGAIN_S", 0.001)
    monkeypatch.setattr(wills, "_TOLD_WITHIN_S", 0.001)


async def test_a_will_is_held_from_its_delivery_to_the_goodbye() -> None:
    broker = Broker()
    async with written(broker) as will:
        await until(lambda: will.held)
        assert broker.done == ["prefetch", "consume", "deliver 1"]
        will.withdraw()
        will.withdraw()
        assert broker.done[3:] == ["ack 1"]
        assert broker.held is None


async def test_a_will_is_renewed_and_never_is_one_of_ours_sent() -> None:
    broker = Broker()
    async with written(broker, renew_s=0.001) as will:
        await until(lambda: broker.tag >= 3 and will.held)
    steps = broker.done[2:8]
    assert steps == ["deliver 1", "ack 1", "prefetch", "deliver 2", "ack 2", "prefetch"]
    assert "died" not in broker.done


async def test_while_a_will_is_renewed_it_does_not_count() -> None:
    """Jobs that begin meanwhile are told; those that began before have time to be."""
    broker = Broker()
    seen: list[bool] = []
    async with written(broker, renew_s=0.001) as will:
        acknowledge = broker.ack

        def ack(message: Any) -> None:
            seen.append(will.held)
            acknowledge(message)

        broker.ack = ack  # type: ignore[method-assign]
        await until(lambda: len(seen) >= 2)
    assert not any(seen)


async def test_a_goodbye_in_the_middle_of_a_renewal_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wills, "_TOLD_WITHIN_S", 3600.0)
    broker = Broker()
    async with written(broker, renew_s=0.001) as will:
        await until(lambda: broker.held is not None and not will.held)
        will.withdraw()
        assert broker.held is None


async def test_what_cannot_be_written_is_tried_again() -> None:
    broker = Broker()
    broker.failure = OverloadedError("an alarm")
    async with written(broker) as will:
        await until(lambda: "consume" in broker.done)
        assert not will.held
        broker.failure = None
        await until(lambda: will.held)


async def test_a_deleted_queue_is_made_again() -> None:
    broker = Broker()
    async with written(broker) as will:
        await until(lambda: will.held)
        broker.held = None
        broker.cancel("will")
        assert not will.held
        await until(lambda: will.held)
    assert broker.done[2:] == ["deliver 1", "repair", "consume", "deliver 2"]


async def test_a_lost_connection_is_no_will_and_no_goodbye() -> None:
    broker = Broker()
    async with written(broker) as will:
        await until(lambda: will.held)
        broker.closed.set_result(None)
        assert not will.held
        will.withdraw()
        assert "ack 1" not in broker.done
        again = Broker()
        will._publisher = again  # type: ignore[assignment]
        await will.open(again)  # type: ignore[arg-type]
        await until(lambda: will.held)
        will.close()
        assert not will.held


async def heard(deaths: Deaths, moment_s: float) -> bool:
    return await deaths.since(moment_s)


async def later() -> float:
    """A moment after everything before; loop time."""
    now = asyncio.get_running_loop().time
    moment = now()
    while now() <= moment:
        await asyncio.sleep(0)
    return now()


async def test_deaths_are_known_from_the_moment_they_are_told() -> None:
    broker: Any = Broker()
    deaths = Deaths(TOPOLOGY, broker)
    before = await later()
    await deaths.open(broker)
    assert await heard(deaths, before), "somebody may have died before we could hear of it"
    after = await later()
    assert not await heard(deaths, after)
    await later()
    broker.consumer(SimpleNamespace(properties=Basic.Properties(message_id="a worker's")))
    assert await heard(deaths, after)


async def test_many_who_ask_at_once_share_one_proof() -> None:
    broker: Any = Broker()
    deaths = Deaths(TOPOLOGY, broker)
    await deaths.open(broker)
    after = await later()
    assert not any(await asyncio.gather(*(deaths.since(after) for _ in range(100))))
    assert broker.tag <= 2


@pytest.mark.parametrize("others", [False, True])
async def test_who_was_unbound_believes_in_deaths_and_is_bound_again(*, others: bool) -> None:
    """The broker does not tell when an exchange or a binding is deleted."""
    broker: Any = Broker()
    deaths = Deaths(TOPOLOGY, broker)
    await deaths.open(broker)
    after = await later()
    broker.bound.clear()
    broker.others_bound = others
    assert await heard(deaths, after)
    assert DEATHS in broker.bound
    assert await heard(deaths, after), "nobody told meanwhile"
    assert not await heard(deaths, await later())


async def test_who_cannot_hear_of_deaths_believes_in_them() -> None:
    broker: Any = Broker()
    deaths = Deaths(TOPOLOGY, broker)
    await deaths.open(broker)
    broker.cancel(DEATHS)
    assert await heard(deaths, asyncio.get_running_loop().time() + 3600)
    broker.failure = UnavailableError("no connection")
    assert await heard(deaths, asyncio.get_running_loop().time())


async def test_what_cannot_be_proved_now_is_doubted_and_nothing_else_is_asked() -> None:
    """During an alarm the connection is not read: a request there would get no answer and end it."""
    broker: Any = Broker()
    deaths = Deaths(TOPOLOGY, broker)
    await deaths.open(broker)
    broker.failure = OverloadedError("an alarm")
    asked = len(broker.bound)
    after = await later()
    assert await heard(deaths, after)
    assert len(broker.bound) == asked
    broker.failure = None
    assert not await heard(deaths, after), "nobody died: it was only not proved"


async def test_the_proofs_of_other_gateways_are_no_deaths() -> None:
    broker: Any = Broker()
    deaths = Deaths(TOPOLOGY, broker)
    await deaths.open(broker)
    after = await later()
    proof = Basic.Properties(message_type="proof", message_id="deaths.another/1")
    broker.consumer(SimpleNamespace(properties=proof))
    assert not await heard(deaths, after)
