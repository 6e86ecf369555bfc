"""What callers, workers and jobs go through when the broker or a worker fails."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import aio_pika
import pytest

from runtime.backends.queue_rabbitmq import RabbitMqQueue
from runtime.backends.rabbitmq.options import BrokerSetupError, RabbitMqOptions
from runtime.errors import OursError, OverloadedError, UnavailableError
from runtime.testing.async_queue import async_job
from runtime.testing.queue import ok_outcome, sample_job
from sandbox.api import OutcomeKind
from tests.harness.polling import until
from tests.harness.rabbitmq import RabbitMq
from tests.harness.rabbitmq_queue import installation, new_options, rabbitmq_queue
from tests.harness.rabbitmq_worker import line_of, start_worker
from tests.integration.rabbitmq_support import (
    FAST,
    answered,
    buried,
    finish_one,
    until_taken,
)

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]


@pytest.fixture
async def options(rabbitmq: RabbitMq) -> AsyncIterator[RabbitMqOptions]:
    async with installation(rabbitmq.url, **FAST) as options:
        yield options


class Workers:
    """Worker processes of one test."""

    def __init__(self, options: RabbitMqOptions) -> None:
        self._options = options
        self.processes: list[subprocess.Popen[str]] = []

    async def start(self, mode: str) -> subprocess.Popen[str]:
        process = start_worker(self._options.url, self._options.prefix, mode)
        self.processes.append(process)
        assert await line_of(process) == "ready"
        return process


@pytest.fixture
def workers(options: RabbitMqOptions) -> Iterator[Workers]:
    workers = Workers(options)
    yield workers
    for process in workers.processes:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


async def take_all(queue: RabbitMqQueue, wanted: set[str]) -> None:
    """Until all of these jobs came and were acknowledged; some may come twice."""
    missing = set(wanted)
    while missing:
        delivery = await queue.take_async()
        missing.discard(delivery.job.job_id)
        await delivery.acknowledge()


# --- workers -----------------------------------------------------------------------------------


async def test_a_killed_worker_is_told_within_a_second(
    queue: RabbitMqQueue, workers: Workers
) -> None:
    first = await workers.start("hold")
    job = sample_job()
    call = asyncio.create_task(queue.call(job))
    assert await line_of(first) == job.job_id
    await workers.start("echo")
    first.kill()
    outcome = await asyncio.wait_for(call, 1)
    assert outcome.kind is OutcomeKind.WORKER_LOST


async def test_a_job_whose_worker_died_is_not_called_expired(
    queue: RabbitMqQueue, workers: Workers
) -> None:
    """Nobody else is there: the broker drops the job when its time is up, though it was started."""
    worker = await workers.start("hold")
    job = sample_job(wait_ms=2000)
    call = asyncio.create_task(queue.call(job))
    assert await line_of(worker) == job.job_id
    worker.kill()
    assert (await call).kind is OutcomeKind.WORKER_LOST


async def test_a_job_whose_worker_died_before_it_said_so_is_not_called_expired(
    queue: RabbitMqQueue, workers: Workers
) -> None:
    """Short jobs are not told to be taken; the broker has the worker's last will."""
    worker = await workers.start("silent")
    job = sample_job(wait_ms=2000)
    call = asyncio.create_task(queue.call(job))
    assert await line_of(worker) == job.job_id
    assert queue.waiting == 1, "nobody told that it was taken"
    worker.kill()
    assert (await call).kind is OutcomeKind.WORKER_LOST


async def test_who_lost_the_exchange_of_deaths_calls_nothing_expired(
    queue: RabbitMqQueue, options: RabbitMqOptions, workers: Workers
) -> None:
    """Somebody deletes it, another program makes it again, and the broker tells nobody."""
    connection = await aio_pika.connect(options.url)
    async with connection:
        await (await connection.channel()).exchange_delete(queue.topology.exchange)
    await queue.topology.declare()
    worker = await workers.start("silent")
    call = asyncio.create_task(queue.call(sample_job(wait_ms=2000)))
    await line_of(worker)
    worker.kill()
    assert (await call).kind is OutcomeKind.WORKER_LOST
    assert queue.counts["doubted"] == 1
    assert (await queue.call(sample_job(wait_ms=100))).kind is OutcomeKind.EXPIRED


async def test_an_alarm_breaks_no_worker_that_waits_for_jobs(
    queue: RabbitMqQueue, options: RabbitMqOptions, rabbitmq: RabbitMq
) -> None:
    """A connection that publishes is not read during an alarm, so wills go another way."""
    other = rabbitmq_queue(replace(options, will_renew_s=0.5, connect_timeout_s=2.0))
    async with other.open():
        taking = asyncio.create_task(other.take())
        await until(lambda: other._will.held, "it has a will")
        await asyncio.to_thread(lambda: rabbitmq.alarm(on=True))
        try:
            await until(lambda: not other._will.held, "its renewal was refused")
            await asyncio.sleep(5)  # twice as long as an unanswered request ends a connection
            assert [link.lost for link in other._links] == [0] * len(other._links)
        finally:
            await asyncio.to_thread(lambda: rabbitmq.alarm(on=False))
        await until(lambda: other._will.held, "it has a will again")
        call = asyncio.create_task(queue.call(sample_job()))
        delivery = await taking
        await delivery.finish(ok_outcome(delivery.job))
        assert (await call).ok


async def test_a_job_that_expires_during_an_alarm_ends_and_breaks_no_connection(
    queue: RabbitMqQueue, rabbitmq: RabbitMq
) -> None:
    assert (await answered(queue)).ok
    await queue.stop_taking()
    call = asyncio.create_task(queue.call(sample_job(wait_ms=1000)))
    await until(lambda: queue.waiting == 1)
    await asyncio.to_thread(lambda: rabbitmq.alarm(on=True))
    try:
        assert (await call).kind is OutcomeKind.WORKER_LOST, "nothing is certain now"
        await asyncio.sleep(FAST["connect_timeout_s"] + 1)  # a request without an answer ends it
        assert queue._publish_link.lost == 0
    finally:
        await asyncio.to_thread(lambda: rabbitmq.alarm(on=False))


async def test_a_job_that_nobody_took_is_expired_though_a_worker_ended_in_order(
    queue: RabbitMqQueue, options: RabbitMqOptions
) -> None:
    other = rabbitmq_queue(options)
    async with other.open():
        answer = asyncio.create_task(queue.call(sample_job()))
        await finish_one(other)
        assert (await answer).ok
        other_will = other._will
        while not other_will.held:
            await asyncio.sleep(0.01)  # it is held a moment after the connection was made
        await other.stop_taking()
        call = asyncio.create_task(queue.call(sample_job(wait_ms=1500)))
        while not queue.waiting:
            await asyncio.sleep(0.01)
    assert (await call).kind is OutcomeKind.EXPIRED


async def test_what_a_busy_worker_holds_reaches_an_idle_one(
    queue: RabbitMqQueue, options: RabbitMqOptions
) -> None:
    """Its slots are taken by something else, its prefetch is not."""
    taken = asyncio.create_task(finish_one(queue))
    await queue.call(sample_job())
    await taken
    idle = rabbitmq_queue(options)
    async with idle.open():
        call = asyncio.create_task(queue.call(sample_job()))
        await finish_one(idle)
        assert (await call).ok


async def test_asynchronous_jobs_that_a_busy_worker_holds_reach_an_idle_one(
    queue: RabbitMqQueue, options: RabbitMqOptions
) -> None:
    jobs = [async_job() for _ in range(4)]
    for job in jobs:
        await queue.enqueue(job)
    first = await queue.take_async()
    await first.acknowledge()
    idle = rabbitmq_queue(options)
    async with idle.open():
        await take_all(idle, {job.job_id for job in jobs} - {first.job.job_id})


async def test_a_handed_back_job_keeps_its_caller(queue: RabbitMqQueue) -> None:
    call = asyncio.create_task(queue.call(sample_job()))
    await (await queue.take()).hand_back()
    await finish_one(queue)
    assert (await call).ok


async def test_the_wait_goes_on_while_a_job_is_handed_back(queue: RabbitMqQueue) -> None:
    call = asyncio.create_task(queue.call(sample_job(wait_ms=1500)))
    while not call.done():
        take = asyncio.create_task(queue.take())
        done, _ = await asyncio.wait((take, call), return_when=asyncio.FIRST_COMPLETED)
        if take in done:
            await asyncio.sleep(0.2)  # the job's time passes
            await take.result().hand_back()
        else:
            take.cancel()
            await asyncio.gather(take, return_exceptions=True)
    assert (await call).kind is OutcomeKind.EXPIRED


# --- broker ------------------------------------------------------------------------------------


async def test_a_killed_broker_loses_no_accepted_job(tmp_path: Path, rabbitmq: RabbitMq) -> None:
    broker = RabbitMq(tmp_path / "broker").start()
    try:
        queue = rabbitmq_queue(new_options(broker.url, **FAST))
        async with queue.open():
            jobs = [async_job(f"mp-{number % 5}") for number in range(100)]
            await asyncio.gather(*(queue.enqueue(job) for job in jobs))
            held = await queue.take_async()
            running = asyncio.create_task(queue.call(sample_job()))
            delivery = await queue.take()
            await until_taken(queue)
            untaken = asyncio.create_task(queue.call(sample_job()))
            await asyncio.to_thread(broker.restart)
            assert (await running).kind is OutcomeKind.WORKER_LOST
            with pytest.raises(UnavailableError):
                await untaken
            await delivery.finish(ok_outcome(delivery.job))
            await held.acknowledge()
            assert queue.counts["lost_acknowledgements"] >= 2
            await take_all(queue, {job.job_id for job in jobs})
            assert (await answered(queue)).ok
    finally:
        broker.stop()


async def test_a_frozen_broker_keeps_nobody_waiting(
    rabbitmq: RabbitMq, queue: RabbitMqQueue
) -> None:
    assert (await answered(queue)).ok
    rabbitmq.freeze()
    try:
        for refused in (queue.enqueue(async_job()), queue.call(sample_job())):
            with pytest.raises(OursError):
                await asyncio.wait_for(refused, FAST["publish_timeout_s"] + 1)
        await asyncio.sleep(10)  # longer than the heartbeats allow
        with pytest.raises(UnavailableError):
            await asyncio.wait_for(queue.call(sample_job()), 1)
    finally:
        rabbitmq.thaw()
    assert (await answered(queue)).ok


async def test_an_alarm_refuses_within_a_second(rabbitmq: RabbitMq, queue: RabbitMqQueue) -> None:
    assert (await answered(queue)).ok
    await asyncio.to_thread(lambda: rabbitmq.alarm(on=True))
    try:
        for _ in range(2):  # the first one may find out, it has to come back all the same
            for refused in (queue.enqueue(async_job()), queue.call(sample_job())):
                with pytest.raises((OverloadedError, UnavailableError)):
                    await asyncio.wait_for(refused, 1)
        with pytest.raises(OverloadedError):
            await queue.enqueue(async_job())
    finally:
        await asyncio.to_thread(lambda: rabbitmq.alarm(on=False))
    assert (await answered(queue)).ok


@pytest.mark.parametrize("key", ["calls", "expired"])
async def test_a_deleted_queue_is_made_again_for_calls(
    rabbitmq: RabbitMq, queue: RabbitMqQueue, key: str
) -> None:
    assert (await answered(queue)).ok
    await delete(rabbitmq, queue.topology.queue(key))
    assert (await answered(queue)).ok


async def test_a_deleted_queue_is_made_again_for_jobs(
    rabbitmq: RabbitMq, queue: RabbitMqQueue
) -> None:
    await queue.enqueue(async_job())
    await (await queue.take_async()).acknowledge()
    take = asyncio.create_task(queue.take_async())
    job = async_job()
    await delete(rabbitmq, queue.topology.queue(queue.topology.shard(job.space_id)))
    while True:
        try:
            await queue.enqueue(job)
            break
        except OursError:
            await asyncio.sleep(0.05)
    delivery = await take
    assert delivery.job == job
    await delivery.acknowledge()


async def delete(broker: RabbitMq, name: str) -> None:
    connection = await aio_pika.connect(broker.url)
    async with connection:
        await (await connection.channel()).queue_delete(name)


async def test_connections_that_the_broker_closes_are_made_again(
    rabbitmq: RabbitMq, queue: RabbitMqQueue
) -> None:
    call = asyncio.create_task(queue.call(sample_job()))
    delivery = await queue.take()
    await asyncio.to_thread(rabbitmq.control, "close_all_connections", "a test")
    assert (await call).kind is OutcomeKind.WORKER_LOST
    await delivery.finish(ok_outcome(delivery.job))
    assert (await answered(queue)).ok


# --- set-up and strange messages ------------------------------------------------------------------


@pytest.mark.parametrize("key", ["calls", "jobs.0"])
async def test_a_message_that_is_no_job_is_buried_with_the_reason(
    queue: RabbitMqQueue, key: str
) -> None:
    why = "these bytes are no job: 5 bytes that do not begin as one"
    assert await buried(queue, b"hello", key) == (b"hello", why)
    assert queue.counts["malformed"] == 1
    assert (await answered(queue)).ok


async def test_a_queue_with_other_arguments_stops_the_start(
    rabbitmq: RabbitMq, queue: RabbitMqQueue, options: RabbitMqOptions
) -> None:
    other = rabbitmq_queue(new_options(rabbitmq.url, prefix=options.prefix, calls_max=7))
    with pytest.raises(BrokerSetupError, match=rf"the queue {options.prefix}.calls exists"):
        async with other.open():
            pass


async def test_a_wrong_password_is_told_without_the_password(rabbitmq: RabbitMq) -> None:
    queue = rabbitmq_queue(new_options(rabbitmq.url.replace("guest:guest", "guest:s3cret")))
    with pytest.raises(BrokerSetupError, match="refuses the user or password") as raised:
        async with queue.open():
            pass
    assert "s3cret" not in str(raised.value)


async def test_no_broker_is_told_at_the_start() -> None:
    queue = rabbitmq_queue(new_options("amqp://guest:guest@127.0.0.1:1/"))
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1"):
        async with queue.open():
            pass
