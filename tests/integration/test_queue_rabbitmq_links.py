"""Connections that fail in other ways than by being closed, and messages that must not get stuck."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aio_pika
import pytest

from runtime.backends.queue_rabbitmq import RabbitMqQueue
from runtime.backends.rabbitmq.options import RabbitMqOptions
from runtime.backends.rabbitmq.publisher import Publisher, UnconfirmedError
from runtime.errors import OursError, OverloadedError, UnavailableError
from runtime.messages import Job
from runtime.ports import SystemClock
from runtime.testing.async_queue import async_job
from runtime.testing.queue import ok_outcome, sample_job
from runtime.tls.local_ca import LocalCa, local_names
from sandbox.api import OutcomeKind
from tests.harness.program import free_port
from tests.harness.rabbitmq import RabbitMq
from tests.harness.rabbitmq_queue import delete_queues, new_options, rabbitmq_queue, waiting
from tests.harness.tcp_proxy import TcpProxy

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

ROOT = Path(__file__).resolve().parents[2]
FAST: dict[str, Any] = {
    "heartbeat_s": 1,
    "publish_timeout_s": 2.0,
    "connect_timeout_s": 3.0,
    "reconnect_longest_s": 0.5,
}


@pytest.fixture
async def options(rabbitmq: RabbitMq) -> AsyncIterator[RabbitMqOptions]:
    options = new_options(rabbitmq.url, **FAST)
    yield options
    await delete_queues(options)


@pytest.fixture
async def queue(options: RabbitMqOptions) -> AsyncIterator[RabbitMqQueue]:
    queue = rabbitmq_queue(options)
    async with queue.open():
        yield queue


async def finish_one(queue: RabbitMqQueue) -> None:
    delivery = await queue.take()
    await delivery.finish(ok_outcome(delivery.job))


async def called(queue: RabbitMqQueue) -> bool:
    worker = asyncio.create_task(finish_one(queue))
    try:
        return (await queue.call(sample_job())).ok
    finally:
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)


# --- connections -----------------------------------------------------------------------------------


async def test_a_half_open_connection_is_noticed_and_replaced(
    rabbitmq: RabbitMq, options: RabbitMqOptions
) -> None:
    async with TcpProxy(rabbitmq.port).open() as proxy:
        url = rabbitmq.url.replace(str(rabbitmq.port), str(proxy.port))
        queue = rabbitmq_queue(replace(options, url=url))
        async with queue.open():
            assert await called(queue)
            call = asyncio.create_task(queue.call(sample_job()))
            delivery = await queue.take()
            while queue.waiting:
                await asyncio.sleep(0.01)
            proxy.stop_forwarding()
            with pytest.raises(UnconfirmedError):
                await asyncio.wait_for(queue.enqueue(async_job()), 3)
            assert (await asyncio.wait_for(call, 5)).kind is OutcomeKind.WORKER_LOST
            with pytest.raises(UnavailableError):
                await asyncio.wait_for(queue.call(sample_job()), 3)
            proxy.go_on()
            await delivery.finish(ok_outcome(delivery.job))
            while True:
                try:
                    assert await asyncio.wait_for(called(queue), 10)
                    break
                except OursError:
                    await asyncio.sleep(0.1)


async def test_tls_with_an_authority_of_our_own(tmp_path: Path) -> None:
    ca = LocalCa(tmp_path / "tls", local_names("fn.localhost"), SystemClock())
    pair = ca.server_certificate()
    (tmp_path / "chain.pem").write_bytes(pair.chain_pem)
    (tmp_path / "key.pem").write_bytes(pair.key_pem)
    port = free_port()
    broker = RabbitMq(
        tmp_path / "broker",
        config=f"listeners.ssl.1 = 127.0.0.1:{port}\n"
        f"ssl_options.certfile = {tmp_path / 'chain.pem'}\n"
        f"ssl_options.keyfile = {tmp_path / 'key.pem'}\n"
        f"ssl_options.cacertfile = {ca.ca_path}\n"
        "ssl_options.verify = verify_none\n",
    ).start()
    try:
        url = f"amqps://guest:guest@127.0.0.1:{port}/"
        queue = rabbitmq_queue(new_options(url, ca_file=str(ca.ca_path), **FAST))
        async with queue.open():
            assert await called(queue)
            job = async_job(function="large")
            await queue.enqueue(replace(job, args=b'"' + b"x" * 500_000 + b'"'))
            delivery = await queue.take_async()
            assert len(delivery.job.args) == 500_002
            await delivery.acknowledge()
        stranger = rabbitmq_queue(new_options(url, **FAST))
        with pytest.raises(UnavailableError):
            async with stranger.open():
                pass
    finally:
        broker.stop()


_FEW_DESCRIPTORS = """
import asyncio, os, resource, structlog
from runtime.errors import OursError
from runtime.testing.queue import ok_outcome, sample_job
from tests.harness.rabbitmq_queue import new_options, rabbitmq_queue
from tests.integration.test_queue_rabbitmq_links import FAST, called

async def main(url, prefix):
    queue = rabbitmq_queue(new_options(url, prefix=prefix, **FAST))
    async with queue.open():
        assert await called(queue)
        await asyncio.to_thread(int)  # what a thread needs is loaded
        used = len(os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 8, used + 8))
        hogs = []
        try:
            while True:
                hogs.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass
        assert await called(queue)  # what is open needs no more
        print("full", flush=True)
        await asyncio.to_thread(input)
        taken = []
        try:
            while True:  # what the lost connections gave back
                taken.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass
        try:
            await asyncio.wait_for(queue.call(sample_job()), 5)
            raise SystemExit("a call without a connection")
        except OursError:
            print("refused", flush=True)
        await asyncio.sleep(1.5)  # some attempts to connect fail
        for number in hogs + taken:
            os.close(number)
        while True:
            try:
                assert await called(queue)
                break
            except OursError:
                await asyncio.sleep(0.1)
        print("back", flush=True)

import sys
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
asyncio.run(main(sys.argv[1], sys.argv[2]))
"""


async def test_without_descriptors_it_refuses_and_comes_back(
    rabbitmq: RabbitMq, options: RabbitMqOptions
) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _FEW_DESCRIPTORS,
        rabbitmq.url,
        options.prefix,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "."},
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        assert await child.stdout.readline() == b"full\n"
        await asyncio.to_thread(rabbitmq.control, "close_all_connections", "a test")
        child.stdin.write(b"\n")
        assert await child.stdout.readline() == b"refused\n"
        assert await child.stdout.readline() == b"back\n"
        assert await child.wait() == 0
    finally:
        if child.returncode is None:
            child.kill()
        await child.communicate()


# --- nothing gets stuck ------------------------------------------------------------------------------


async def test_a_job_that_cannot_go_back_now_goes_back_later(
    queue: RabbitMqQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = async_job()
    await queue.enqueue(job)
    delivery = await queue.take_async()
    publish, left = Publisher.publish, [3]

    async def refuse(self: Publisher, *arguments: Any, **named: Any) -> None:
        if left[0]:
            left[0] -= 1
            raise OverloadedError("an alarm")
        await publish(self, *arguments, **named)

    monkeypatch.setattr(Publisher, "publish", refuse)
    await delivery.postpone(0.5)
    again = await asyncio.wait_for(queue.take_async(), 20)
    assert again.job == job
    await again.acknowledge()


@pytest.mark.parametrize("failure", [OverloadedError("an alarm"), UnconfirmedError("unsure")])
async def test_a_call_that_cannot_go_back_has_an_answer(
    queue: RabbitMqQueue, monkeypatch: pytest.MonkeyPatch, failure: OursError
) -> None:
    """It goes back later when it surely is not there; else nobody may run it, and its caller is told."""
    call = asyncio.create_task(queue.call(sample_job()))
    delivery = await queue.take()
    publish, left = Publisher.publish, [1]

    async def fail(self: Publisher, *arguments: Any, **named: Any) -> None:
        if left[0]:
            left[0] -= 1
            raise failure
        await publish(self, *arguments, **named)

    monkeypatch.setattr(Publisher, "publish", fail)
    await delivery.hand_back()
    if isinstance(failure, UnconfirmedError):
        assert (await asyncio.wait_for(call, 5)).kind is OutcomeKind.WORKER_LOST
    else:
        await asyncio.wait_for(finish_one(queue), 5)
        assert (await call).ok


async def lose_twice(options: RabbitMqOptions, job: Job) -> None:
    """Two workers end with that job in their hands."""
    for _ in range(2):
        queue = rabbitmq_queue(options)
        async with queue.open():
            assert (await asyncio.wait_for(queue.take_async(), 10)).job == job


async def test_what_was_delivered_too_often_is_given_up_and_can_be_taken(
    rabbitmq: RabbitMq,
) -> None:
    options = new_options(rabbitmq.url, delivery_limit=1, **FAST)
    job = async_job()
    try:
        queue = rabbitmq_queue(options)
        async with queue.open():
            await queue.enqueue(job)
        await lose_twice(options, job)
        queue = rabbitmq_queue(options)
        async with queue.open():
            dead = await asyncio.wait_for(queue.take_dead(), 10)
            assert (dead.job, dead.restarts) == (job, 0)
            await dead.postpone(1.0)
            again = await asyncio.wait_for(queue.take_dead(), 15)
            assert (again.job, again.restarts) == (job, 0)
            await again.hand_back()
            again = await asyncio.wait_for(queue.take_dead(), 10)
            assert queue.counts["gave_up"] == 3
            await again.restart()
            restarted = await asyncio.wait_for(queue.take_async(), 10)
            await restarted.postpone(1.0)  # what was counted goes with it
            while not await waiting(queue, queue.topology.due(job.space_id)):
                await asyncio.sleep(0.05)
        await lose_twice(options, job)
        queue = rabbitmq_queue(options)
        async with queue.open():
            dead = await asyncio.wait_for(queue.take_dead(), 10)
            assert (dead.job, dead.restarts) == (job, 1)
            await dead.acknowledge()
    finally:
        await delete_queues(options)


async def test_one_space_does_not_fill_the_gateway(rabbitmq: RabbitMq) -> None:
    options = new_options(rabbitmq.url, calls_max_per_space=2, **FAST)
    queue = rabbitmq_queue(options)
    try:
        async with queue.open():
            calls = [asyncio.create_task(queue.call(sample_job("mp-busy"))) for _ in range(2)]
            await asyncio.sleep(0)
            with pytest.raises(OverloadedError, match="YUNHAN_QUEUE_MAX_JOBS_PER_SPACE"):
                await queue.call(sample_job("mp-busy"))
            calls.append(asyncio.create_task(queue.call(sample_job("mp-quiet"))))
            taken = [await queue.take() for _ in calls]
            while queue.waiting:
                await asyncio.sleep(0.01)
            calls.append(asyncio.create_task(queue.call(sample_job("mp-busy"))))
            taken.append(await queue.take())
            for delivery in taken:
                await delivery.finish(ok_outcome(delivery.job))
            assert all(outcome.ok for outcome in await asyncio.gather(*calls))
            assert queue.waiting == 0
    finally:
        await delete_queues(options)


# --- strange messages --------------------------------------------------------------------------------


async def test_a_message_that_is_too_large_is_buried_without_its_body(rabbitmq: RabbitMq) -> None:
    options = new_options(rabbitmq.url, message_max_bytes=10_000, **FAST)
    queue = rabbitmq_queue(options)
    try:
        async with queue.open():
            connection = await aio_pika.connect(rabbitmq.url)
            async with connection:
                channel = await connection.channel()
                exchange = await channel.get_exchange(queue.topology.exchange)
                await exchange.publish(aio_pika.Message(b"x" * 300_000), "jobs.0")
                take = asyncio.create_task(queue.take_async())
                dead = await channel.get_queue(queue.topology.queue("dead"))
                while (message := await dead.get(fail=False)) is None:
                    await asyncio.sleep(0.05)
                assert message.body == b""
                assert message.headers["why"] == "300000 bytes are more than a job may have"
                await message.ack()
            take.cancel()
            await asyncio.gather(take, return_exceptions=True)
            assert await called(queue)
    finally:
        await delete_queues(options)
