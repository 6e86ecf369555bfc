"""What waits in RabbitMQ is told from what is lost, with real queues and a real purge."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import aio_pika
import pytest

from runtime.backends.ledger_memory import LedgerMemory
from runtime.backends.queue_rabbitmq import RabbitMqQueue
from runtime.backends.rabbitmq.options import RabbitMqOptions
from runtime.errors import UnavailableError
from runtime.jobs.audit import LedgerReport, check_ledger
from runtime.jobs.waiting import WaitingJobs
from runtime.messages import Job
from runtime.ports import LedgerQuery
from runtime.testing.ledger_samples import NOW, ledger_job
from tests.harness.rabbitmq_queue import rabbitmq_queue

pytestmark = pytest.mark.integration


async def checked(queue: RabbitMqQueue, jobs: list[Job]) -> LedgerReport:
    async def ours(job_ids: Iterable[str]) -> frozenset[str]:
        return frozenset(job_ids)

    return await check_ledger(
        LedgerMemory(),
        LedgerQuery(),
        accepted=[job.job_id for job in jobs],
        now_ms=NOW,
        tolerance_ms=0,
        waiting=WaitingJobs(
            backlog=queue.async_backlog, ours=ours, sleep=asyncio.sleep, looks=8, every_s=0.25
        ),
    )


async def test_waiting_and_delayed_jobs_are_counted(queue: RabbitMqQueue) -> None:
    jobs = [ledger_job(f"mp-{i}") for i in range(6)]
    for i, job in enumerate(jobs):
        await queue.enqueue(job, delay_s=2.0 if i % 2 else 0.0)
    report = await checked(queue, jobs)
    assert (report.queued_count, report.missing_count) == (6, 0)


async def test_jobs_in_the_hands_of_a_worker_that_does_not_claim_come_back(
    queue: RabbitMqQueue,
) -> None:
    jobs = [ledger_job() for _ in range(3)]
    for job in jobs:
        await queue.enqueue(job)
    delivery = await queue.take_async()
    check = asyncio.create_task(checked(queue, jobs))
    await asyncio.sleep(0.3)
    await delivery.postpone(1.0)
    report = await check
    assert (report.queued_count, report.missing_count) == (3, 0)


async def test_lost_messages_are_missing(queue: RabbitMqQueue, options: RabbitMqOptions) -> None:
    jobs = [ledger_job("mp-1"), ledger_job("mp-1")]
    for job in jobs:
        await queue.enqueue(job)
    connection = await aio_pika.connect(options.url)
    async with connection:
        channel = await connection.channel()
        name = queue.topology.queue(queue.topology.shard("mp-1"))
        lost = await (await channel.get_queue(name)).get(no_ack=True)
        assert lost is not None
        report = await checked(queue, jobs)
        assert (report.queued_count, report.missing_count) == (1, 1)
        await (await channel.get_queue(name)).purge()
    report = await checked(queue, jobs)
    assert (report.queued_count, report.missing_count) == (0, 2)
    assert not report.sound


async def test_a_broker_that_is_away_gives_no_verdict(options: RabbitMqOptions) -> None:
    queue = rabbitmq_queue(options)
    with pytest.raises(UnavailableError):
        await queue.async_backlog()
