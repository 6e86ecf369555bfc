"""The public intake on a real broker: who may send what, and what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aio_pika
import pytest
from aio_pika.exceptions import AMQPError, DeliveryError

from runtime.backends.rabbitmq.options import BrokerSetupError
from runtime.errors import NotFoundError, OverloadedError
from runtime.jobs.submit import Accepted
from runtime.messages import Source
from runtime.services.intake import IntakeLimits
from tests.harness.intake_broker import (
    BODY,
    MESSAGE_MAX_BYTES,
    IntakeStage,
    broker_options,
    message,
    producer,
    restricted_user,
    small_options,
)
from tests.harness.rabbitmq import RabbitMq

_SETTLED_S = 4
"""RabbitMQ 3.10, killed a second or two after a quorum queue elected its leader, seems to forget that,
and the queue has no leader after the restart. There is no event to wait for."""

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


class Calls:
    """Stands for `AsyncCalls`: one job of each key. `full`: it takes nothing."""

    def __init__(self) -> None:
        self.jobs: dict[str, int] = {}
        self.args: list[bytes] = []
        self.full = False
        self.full_space: str | None = None
        self.changed = asyncio.Event()

    async def submit(
        self,
        space_id: str,
        function: str,
        args: bytes,
        *,
        source: Source,
        request_id: str,
        idempotency_key: str | None = None,
    ) -> Accepted:
        self.changed.set()
        if self.full or space_id == self.full_space:
            raise OverloadedError("the queue is full")
        if function == "unknown":
            raise NotFoundError("FunctionNotFound", "there is no function unknown")
        key = idempotency_key or request_id
        self.args.append(args)
        self.jobs[key] = self.jobs.get(key, 0) + 1
        return Accepted(job_id=key, first=self.jobs[key] == 1)

    async def until(self, count: int) -> None:
        """So many jobs were made."""
        async with asyncio.timeout(60):
            while len(self.jobs) < count:
                self.changed.clear()
                await self.changed.wait()
                await asyncio.sleep(0)


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
async def stage(rabbitmq: RabbitMq, calls: Calls) -> AsyncIterator[IntakeStage]:
    stage = IntakeStage(broker_options(rabbitmq.url), calls, small_options())
    async with stage.intake.open():
        serving = asyncio.create_task(stage.service.run())
        try:
            yield stage
            assert not serving.done()
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
    await stage.delete()


async def send(stage: IntakeStage, *messages: aio_pika.Message, url: str = "") -> None:
    async with producer(url or stage.broker.url, stage.topology.exchange) as exchange:
        await asyncio.gather(*(exchange.publish(each, "v1") for each in messages))


async def settled(stage: IntakeStage) -> None:
    """Nothing is in the queue or in hand: a new consumer would get nothing."""
    async with asyncio.timeout(20):
        while await stage.waiting(stage.topology.messages):
            await asyncio.sleep(0.05)


async def test_a_message_becomes_a_job(stage: IntakeStage, calls: Calls) -> None:
    await send(stage, message())
    await calls.until(1)
    assert calls.args == [b'{"n":1}']


async def test_what_can_be_no_job_is_a_dead_letter_with_its_reason(
    stage: IntakeStage, calls: Calls
) -> None:
    """And what comes after it is served."""
    bad: dict[str, aio_pika.Message] = {
        "malformed": message(b"{"),
        "content_type": message(content_type="text/plain"),
        "version": message({**BODY, "version": 2}),
        "no_user": message(user_id=None),
        "too_large": message({**BODY, "args": "x" * MESSAGE_MAX_BYTES}),
        "unknown_function": message({**BODY, "function": "unknown"}),
    }
    await send(stage, *bad.values(), message())
    letters = {
        str(letter.headers["x-yunhan-reason"]): letter for letter in await stage.dead(len(bad))
    }
    assert set(letters) == set(bad)
    for reason, letter in letters.items():
        assert letter.message_id == bad[reason].message_id
        assert letter.headers["x-yunhan-detail"]
        assert letter.headers["x-yunhan-size"] == len(bad[reason].body)
        assert letter.body == (b"" if reason == "too_large" else bad[reason].body)
        assert letter.user_id is None
    assert letters["malformed"].headers["x-yunhan-user"] == "guest"
    await calls.until(1)
    assert len(calls.jobs) == 1


async def test_the_broker_vouches_for_the_user(
    rabbitmq: RabbitMq, stage: IntakeStage, calls: Calls
) -> None:
    """It refuses another's name; what a user may not do is refused here, or there by its permissions."""
    exchange = stage.topology.exchange
    name, url = await asyncio.to_thread(restricted_user, rabbitmq, exchange)
    try:
        with pytest.raises(AMQPError):
            await send(stage, message(user_id="guest"), url=url)
        await send(stage, message(user_id=name), url=url)  # not mapped to any space
        [letter] = await stage.dead(1)
        assert letter.headers["x-yunhan-reason"] == "forbidden"
        assert letter.headers["x-yunhan-user"] == name
        for other in ("", stage.topology.dead, f"{stage.broker.prefix}.internal"):
            with pytest.raises(AMQPError):
                async with producer(url, other) as forbidden:
                    await forbidden.publish(message(user_id=name), stage.topology.dead)
        connection = await aio_pika.connect(url)
        async with connection:
            channel = await connection.channel()
            queue = await channel.get_queue(stage.topology.messages, ensure=False)
            with pytest.raises(AMQPError):
                await queue.get(fail=False)
    finally:
        await asyncio.to_thread(rabbitmq.control, "delete_user", name)
    assert calls.jobs == {}


async def test_another_version_has_no_queue(stage: IntakeStage) -> None:
    async with producer(stage.broker.url, stage.topology.exchange) as exchange:
        with pytest.raises(DeliveryError):
            await exchange.publish(message(), "v2")


async def test_large_headers_end_nothing(stage: IntakeStage, calls: Calls) -> None:
    await send(stage, message(headers={"n": -(2**63), "long": "x" * 60_000}), message())
    await calls.until(2)


async def test_a_thousand_messages_are_a_thousand_jobs(stage: IntakeStage, calls: Calls) -> None:
    """Each is sent twice, as a producer does that was told nothing."""
    batch = [message({**BODY, "args": n}, message_id=f"m{n}") for n in range(1000)]
    await send(stage, *batch)
    await send(stage, *batch)
    await calls.until(1000)
    async with asyncio.timeout(30):
        while sum(calls.jobs.values()) < 2000:
            await asyncio.sleep(0.02)
    assert set(calls.jobs) == {f"amqp guest m{n}" for n in range(1000)}
    assert stage.service.counts["accepted"] == stage.service.counts["repeated"] == 1000
    await settled(stage)


async def test_a_full_queue_leaves_messages_with_the_broker(
    stage: IntakeStage, calls: Calls
) -> None:
    calls.full = True
    await send(stage, *(message() for _ in range(50)))
    await calls.changed.wait()
    async with asyncio.timeout(20):
        while not await stage.waiting(stage.topology.delay_queue):
            await asyncio.sleep(0.05)
    calls.full = False
    await calls.until(50)
    assert await stage.waiting(stage.topology.dead) == 0


async def test_a_full_space_does_not_stop_the_others(stage: IntakeStage, calls: Calls) -> None:
    """Its messages wait elsewhere, and come again, with their user, id and kind."""
    calls.full_space = "mp-full"
    full = [message({**BODY, "space": "mp-full"}, message_id=f"full-{n}") for n in range(100)]
    await send(stage, *full)
    await send(stage, *(message(message_id=f"m{n}") for n in range(100)))
    await calls.until(100)
    assert set(calls.jobs) == {f"amqp guest m{n}" for n in range(100)}
    calls.full_space = None
    await calls.until(200)
    assert set(calls.jobs.values()) == {1}
    assert await stage.waiting(stage.topology.dead) == 0


async def test_a_space_that_stays_full_leaves_dead_letters(
    rabbitmq: RabbitMq, calls: Calls
) -> None:
    limits = IntakeLimits(in_hand_max=8, try_s=0.1, tries_max=1)
    stage = IntakeStage(broker_options(rabbitmq.url), calls, small_options(), limits)
    calls.full = True
    async with stage.intake.open():
        serving = asyncio.create_task(stage.service.run())
        await send(stage, *(message(message_id=f"m{n}") for n in range(10)))
        letters = await stage.dead(10)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
    assert {letter.message_id for letter in letters} == {f"m{n}" for n in range(10)}
    for letter in letters:
        assert letter.headers["x-yunhan-reason"] == "overloaded"
        assert letter.headers["x-yunhan-user"] == "guest"
    assert stage.service.counts["delayed"] == 10
    await stage.delete()


async def test_nobody_can_say_in_a_header_who_he_is(stage: IntakeStage, calls: Calls) -> None:
    """Our own headers count only where producers cannot write."""
    ours = {"x-yunhan-user": "guest", "x-yunhan-rounds": 10**6, "x-yunhan-refusals": 10**6}
    calls.full = True
    await send(stage, message(user_id=None, headers=ours), message(headers=ours))
    [letter] = await stage.dead(1)
    assert letter.headers["x-yunhan-reason"] == "no_user"
    calls.full = False
    await calls.until(1)


async def test_a_message_that_can_be_delayed_nowhere_stays_in_hand(
    rabbitmq: RabbitMq, calls: Calls
) -> None:
    """Once nobody takes what was delayed, at most a few more than the bound are."""
    limits = IntakeLimits(in_hand_max=8, try_s=0.0, hold_s=1.0, pause_longest_s=0.1)
    options = small_options(max_messages=20, delay_s=3600)
    stage = IntakeStage(broker_options(rabbitmq.url), calls, options, limits)
    calls.full = True
    async with stage.intake.open():
        serving = asyncio.create_task(stage.service.run())
        refused = 0
        while refused < 5:
            try:
                await send(stage, message())
            except DeliveryError:
                refused += 1
        assert 20 <= await stage.waiting(stage.topology.delay_queue) <= 40
        assert await stage.waiting(stage.topology.dead) == 0
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
    await stage.delete()


async def test_a_program_that_stops_gives_everything_back(stage: IntakeStage, calls: Calls) -> None:
    calls.full = True
    await send(stage, *(message() for _ in range(20)))
    await calls.changed.wait()
    await stage.service.stop()
    topology = stage.topology
    places = (topology.messages, topology.delay_queue, topology.again)  # some were delayed before
    async with asyncio.timeout(20):
        while sum([await stage.waiting(place) for place in places]) < 20:
            await asyncio.sleep(0.05)
    assert calls.jobs == {}


async def test_deleted_queues_are_made_again(stage: IntakeStage, calls: Calls) -> None:
    connection = await aio_pika.connect(stage.broker.url)
    async with connection:
        channel = await connection.channel()
        await channel.queue_delete(stage.topology.messages)
        await channel.exchange_delete(stage.topology.dead)
        await channel.queue_delete(stage.topology.dead)
    async with asyncio.timeout(30):
        while not stage.intake.counts["repairs"] or stage.intake.problem:
            await asyncio.sleep(0.05)
    await send(stage, message(b"{"), message())
    await calls.until(1)
    assert len(await stage.dead(1)) == 1


async def test_a_queue_for_dead_letters_that_is_gone_is_made_again(
    stage: IntakeStage, calls: Calls
) -> None:
    connection = await aio_pika.connect(stage.broker.url)
    async with connection:
        await (await connection.channel()).queue_delete(stage.topology.dead)
    await send(stage, message(b"{"))
    async with asyncio.timeout(30):
        while not stage.intake.counts["repairs"]:
            await asyncio.sleep(0.05)
    assert (await stage.dead(1))[0].headers["x-yunhan-reason"] == "malformed"


async def test_queues_with_other_arguments_are_told_at_the_start(
    stage: IntakeStage, calls: Calls
) -> None:
    other = IntakeStage(stage.broker, calls, small_options(max_messages=7))
    with pytest.raises(BrokerSetupError, match=stage.topology.exchange):
        async with other.intake.open():
            pass


async def test_the_oldest_dead_letters_go_first(rabbitmq: RabbitMq, calls: Calls) -> None:
    stage = IntakeStage(broker_options(rabbitmq.url), calls, small_options(dead_max=3))
    async with stage.intake.open():
        await send(stage, *(message(b"{", message_id=f"m{n}") for n in range(6)))
        for _ in range(6):
            await stage.service.handle(await stage.intake.take())
        assert len(await stage.dead(3)) == 3
        assert await stage.waiting(stage.topology.dead) == 0
    await stage.delete()


async def test_a_full_intake_refuses_the_producer(rabbitmq: RabbitMq, calls: Calls) -> None:
    stage = IntakeStage(broker_options(rabbitmq.url), calls, small_options(max_messages=5))
    async with stage.intake.open():  # nobody takes
        refused = 0
        for _ in range(60):  # the limit is a soft one
            try:
                await send(stage, message())
            except DeliveryError:
                refused += 1
        assert refused >= 30
    await stage.delete()


async def test_what_was_confirmed_survives_kills_of_the_broker(
    tmp_path: Path, calls: Calls
) -> None:
    broker = RabbitMq(tmp_path / "broker")
    try:
        await asyncio.to_thread(broker.start)
        stage = IntakeStage(broker_options(broker.url), calls, small_options())
        confirmed: set[str] = set()
        async with stage.intake.open():
            serving = asyncio.create_task(stage.service.run())
            sending = asyncio.create_task(send_all(stage, 400, confirmed))
            for count in (50, 150):
                await calls.until(count)
                await asyncio.sleep(_SETTLED_S)
                await asyncio.to_thread(broker.restart)
            await sending
            await calls.until(400)
            assert {f"amqp guest {name}" for name in confirmed} == set(calls.jobs)
            assert not serving.done()
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
    finally:
        await asyncio.to_thread(broker.stop)


async def send_all(stage: IntakeStage, count: int, confirmed: set[str]) -> None:
    """As a careful producer: the same message until it is confirmed."""
    number = 0
    while number < count:
        try:
            async with asyncio.timeout(10):
                async with producer(stage.broker.url, stage.topology.exchange) as exchange:
                    while number < count:
                        await exchange.publish(message(message_id=f"m{number}"), "v1", timeout=5)
                        confirmed.add(f"m{number}")
                        number += 1
                        await asyncio.sleep(0.05)
        except (AMQPError, OSError, TimeoutError, RuntimeError, asyncio.CancelledError) as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and (task is None or task.cancelling()):
                raise
            await asyncio.sleep(0.1)
