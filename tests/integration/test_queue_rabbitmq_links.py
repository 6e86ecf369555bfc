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
from tests.harness.rabbitmq_queue import installation, new_options, rabbitmq_queue, waiting
from tests.harness.rabbitmq_tls import tls_config
from tests.harness.tcp_proxy import TcpProxy
from tests.integration.rabbitmq_support import (
    FAST,
    buried,
    called,
    finish_one,
    until_taken,
)

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
async def options(rabbitmq: RabbitMq) -> AsyncIterator[RabbitMqOptions]:
    async with installation(rabbitmq.url, **FAST) as options:
        yield options


# --- connections -----------------------------------------------------------------------------------


async def test_a_half_open_connection_is_noticed_and_replaced(
    rabbitmq: RabbitMq, options: RabbitMqOptions
) -> None:
    async with TcpProxy(rabbitmq.port).open() as proxy:
        url = rabbitmq.url.replace(str(rabbitmq.port), str(proxy.port))
        queue = rabbitmq_queue(replace(options, url=url))
        async with queue.open():
            assert (await called(queue)).ok
            call = asyncio.create_task(queue.call(sample_job()))
            delivery = await queue.take()
            await until_taken(queue)
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
                    assert (await asyncio.wait_for(called(queue), 10)).ok
                    break
                except OursError:
                    await asyncio.sleep(0.1)


async def test_tls_with_an_authority_of_our_own(tmp_path: Path) -> None:
    ca = LocalCa(tmp_path / "tls", local_names("fn.localhost"), SystemClock())
    port = free_port()
    broker = RabbitMq(tmp_path / "broker", config=tls_config(ca, tmp_path, port)).start()
    try:
        url = f"amqps://guest:guest@127.0.0.1:{port}/"
        queue = rabbitmq_queue(new_options(url, ca_file=str(ca.ca_path), **FAST))
        async with queue.open():
            assert (await called(queue)).ok
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
from tests.integration.rabbitmq_support import FAST, called

async def main(url, prefix):
    queue = rabbitmq_queue(new_options(url, prefix=prefix, **FAST))
    async with queue.open():
        assert (await called(queue)).ok
        await asyncio.to_thread(int)  # what a thread needs is loaded
        used = len(os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 8, used + 8))
        hogs = []
        try:
            while True:
                hogs.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass
        assert (await called(queue)).ok  # what is open needs no more
        print("full", flush=True)
        await asyncio.to_thread(input)
        taken = []
        try:
            while True:  # what the lost connections gave back
                taken.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass
        try:  # perhaps the first one was there again before the rest was taken: then nobody takes the job
            outcome = await asyncio.wait_for(queue.call(sample_job(wait_ms=1000)), 5)
            if outcome.ok:
                raise SystemExit("a call without a connection")
        except OursError:
            pass
        print("refused", flush=True)
        await asyncio.sleep(1.5)  # some attempts to connect fail
        for number in hogs + taken:
            os.close(number)
        while True:
            try:
                assert (await called(queue)).ok
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
    job = async_job()
    async with installation(rabbitmq.url, delivery_limit=1, **FAST) as options:
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


async def test_one_space_does_not_fill_the_gateway(rabbitmq: RabbitMq) -> None:
    async with installation(rabbitmq.url, calls_max_per_space=2, **FAST) as options:
        queue = rabbitmq_queue(options)
        async with queue.open():
            calls = [asyncio.create_task(queue.call(sample_job("mp-busy"))) for _ in range(2)]
            await asyncio.sleep(0)
            with pytest.raises(OverloadedError, match="YUNHAN_QUEUE_MAX_JOBS_PER_SPACE"):
                await queue.call(sample_job("mp-busy"))
            calls.append(asyncio.create_task(queue.call(sample_job("mp-quiet"))))
            taken = [await queue.take() for _ in calls]
            await until_taken(queue)
            calls.append(asyncio.create_task(queue.call(sample_job("mp-busy"))))
            taken.append(await queue.take())
            for delivery in taken:
                await delivery.finish(ok_outcome(delivery.job))
            assert all(outcome.ok for outcome in await asyncio.gather(*calls))
            assert queue.waiting == 0


# --- strange messages --------------------------------------------------------------------------------


async def test_a_message_that_is_too_large_is_buried_without_its_body(rabbitmq: RabbitMq) -> None:
    async with installation(rabbitmq.url, message_max_bytes=10_000, **FAST) as options:
        queue = rabbitmq_queue(options)
        async with queue.open():
            why = "300000 bytes are more than a job may have"
            assert await buried(queue, b"x" * 300_000, "jobs.0") == (b"", why)
            assert (await called(queue)).ok
