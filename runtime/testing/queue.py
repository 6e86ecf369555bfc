"""What every `Queue` adapter must keep. Subclass it and give `queue_factory`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

import pytest

from runtime.errors import OverloadedError, UnavailableError
from runtime.ids import new_job_id, new_request_id
from runtime.messages import Code, FunctionLimits, Job, Outcome, Source
from runtime.ports import Queue
from sandbox.api import OutcomeKind


def sample_job(space_id: str = "mp-space", function: str = "hello", **changes: object) -> Job:
    """A valid job."""
    job = Job(
        job_id=new_job_id(),
        request_id=new_request_id(),
        space_id=space_id,
        function=function,
        code=Code(deployment_id="dep-000000000000000000000001", digest="0" * 64),
        limits=FunctionLimits(),
        args=b"{}",
        source=Source.CLIENT,
    )
    return replace(job, **changes)  # type: ignore[arg-type]


def ok_outcome(job: Job, value: bytes = b"1") -> Outcome:
    """What a worker answers when all went well."""
    return Outcome(request_id=job.request_id, kind=OutcomeKind.OK, value=value)


QueueFactory = Callable[[int], Queue]
"""Makes a queue that lets so many jobs wait."""


class QueueContract:
    """The rules of the port, as tests. An adapter whose jobs lie in another program cannot keep two of them
    to the letter and says so."""

    withdraws: ClassVar[bool] = True
    """The job of a caller that gives up is not run when nobody took it; else it may be."""
    first_again: ClassVar[bool] = True
    """A job that was handed back is the next one of its space; else it is the last one."""

    @pytest.fixture
    def queue_factory(self) -> QueueFactory:
        raise NotImplementedError

    async def test_outcome_reaches_the_caller(self, queue_factory: QueueFactory) -> None:
        queue = queue_factory(10)
        async with queue.open():
            job = sample_job()
            call = asyncio.create_task(queue.call(job))
            delivery = await queue.take()
            assert delivery.job == job
            assert delivery.waited_ms >= 0
            await delivery.finish(ok_outcome(job, b'{"a":1}'))
            assert (await call).value == b'{"a":1}'

    async def test_taker_that_waits_gets_the_next_job(self, queue_factory: QueueFactory) -> None:
        queue = queue_factory(10)
        async with queue.open():
            taker = asyncio.create_task(queue.take())
            await asyncio.sleep(0)
            call = asyncio.create_task(queue.call(sample_job()))
            delivery = await taker
            await delivery.finish(ok_outcome(delivery.job))
            assert (await call).ok

    async def test_jobs_of_one_space_keep_their_order(self, queue_factory: QueueFactory) -> None:
        queue = queue_factory(10)
        async with queue.open():
            jobs = [sample_job() for _ in range(5)]
            calls = [asyncio.create_task(queue.call(job)) for job in jobs]
            await asyncio.sleep(0)
            for job in jobs:
                delivery = await queue.take()
                assert delivery.job.job_id == job.job_id
                await delivery.finish(ok_outcome(job))
            await asyncio.gather(*calls)

    async def test_a_full_queue_refuses_at_once(self, queue_factory: QueueFactory) -> None:
        queue = queue_factory(2)
        async with queue.open():
            calls = [asyncio.create_task(queue.call(sample_job())) for _ in range(2)]
            await asyncio.sleep(0)
            with pytest.raises(OverloadedError):
                await queue.call(sample_job())
            for _ in calls:
                delivery = await queue.take()
                await delivery.finish(ok_outcome(delivery.job))
            assert all(outcome.ok for outcome in await asyncio.gather(*calls))

    async def test_a_job_that_waited_too_long_is_expired_and_never_run(
        self, queue_factory: QueueFactory
    ) -> None:
        queue = queue_factory(10)
        async with queue.open():
            outcome = await queue.call(sample_job(wait_ms=1))
            assert outcome.kind is OutcomeKind.EXPIRED
            assert outcome.fault is not None
            later = asyncio.create_task(queue.call(sample_job(function="later")))
            delivery = await queue.take()
            assert delivery.job.function == "later"
            await delivery.finish(ok_outcome(delivery.job))
            await later

    async def test_a_caller_that_gives_up_takes_its_waiting_job_along(
        self, queue_factory: QueueFactory
    ) -> None:
        queue = queue_factory(10)
        async with queue.open():
            gone = asyncio.create_task(queue.call(sample_job(function="gone")))
            await asyncio.sleep(0)
            gone.cancel()
            with pytest.raises(asyncio.CancelledError):
                await gone
            stays = asyncio.create_task(queue.call(sample_job(function="stays")))
            delivery = await queue.take()
            if not self.withdraws and delivery.job.function == "gone":
                await delivery.finish(ok_outcome(delivery.job))
                delivery = await queue.take()
            assert delivery.job.function == "stays"
            await delivery.finish(ok_outcome(delivery.job))
            await stays

    async def test_finish_for_a_caller_that_is_gone_is_no_error(
        self, queue_factory: QueueFactory
    ) -> None:
        queue = queue_factory(10)
        async with queue.open():
            call = asyncio.create_task(queue.call(sample_job()))
            delivery = await queue.take()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await delivery.finish(ok_outcome(delivery.job))

    async def test_a_handed_back_job_comes_first_again(self, queue_factory: QueueFactory) -> None:
        queue = queue_factory(10)
        async with queue.open():
            calls = [
                asyncio.create_task(queue.call(sample_job(function=name))) for name in ("a", "b")
            ]
            await asyncio.sleep(0)
            first = await queue.take()
            assert first.job.function == "a"
            await first.hand_back()
            seen = []
            for _ in calls:
                delivery = await queue.take()
                seen.append(delivery.job.function)
                await delivery.finish(ok_outcome(delivery.job))
            assert seen == (["a", "b"] if self.first_again else ["b", "a"])
            await asyncio.gather(*calls)

    async def test_a_cancelled_taker_loses_no_job(self, queue_factory: QueueFactory) -> None:
        queue = queue_factory(10)
        async with queue.open():
            taker = asyncio.create_task(queue.take())
            await asyncio.sleep(0)
            call = asyncio.create_task(queue.call(sample_job()))
            await asyncio.sleep(0)
            taker.cancel()
            try:
                delivery = await taker
            except asyncio.CancelledError:
                delivery = await queue.take()
            await delivery.finish(ok_outcome(delivery.job))
            assert (await call).ok

    async def test_wait_empty_returns_when_every_job_was_taken(
        self, queue_factory: QueueFactory
    ) -> None:
        queue = queue_factory(10)
        async with queue.open():
            await queue.wait_empty()
            calls = [asyncio.create_task(queue.call(sample_job())) for _ in range(3)]
            await asyncio.sleep(0)
            empty = asyncio.create_task(queue.wait_empty())
            for _ in calls:
                delivery = await queue.take()
                await delivery.finish(ok_outcome(delivery.job))
            await empty
            await asyncio.gather(*calls)

    async def test_closing_fails_waiting_callers(self, queue_factory: QueueFactory) -> None:
        queue = queue_factory(10)
        async with queue.open():
            call = asyncio.create_task(queue.call(sample_job()))
            await asyncio.sleep(0)
        with pytest.raises(UnavailableError):
            await call
        with pytest.raises(UnavailableError):
            await queue.call(sample_job())
