"""Jobs that the queue gave up end in the ledger."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from runtime.backends.ledger_memory import LedgerMemory
from runtime.errors import UnavailableError
from runtime.jobs.dead import DeadTaker
from runtime.messages import Job, JobState
from runtime.ports import AsyncDelivery, Ledger, Queue, Quota, SystemClock
from runtime.testing.async_queue import async_job
from tests.harness.async_jobs import ListQueue

NOW_MS = 1_000_000
QUOTA = Quota(per_space=9, per_function=9)


class Delivered(AsyncDelivery):
    def __init__(self, job: Job, *, restarts: int = 3) -> None:
        self.job = job
        self.restarts = restarts
        self.end: object = None

    async def acknowledge(self) -> None:
        self.end = "acknowledged"

    async def hand_back(self) -> None:
        self.end = "handed back"

    async def postpone(self, delay_s: float) -> None:
        self.end = delay_s

    async def restart(self) -> None:
        self.end = "restarted"


def taker(ledger: Ledger) -> DeadTaker:
    queue: Queue = None  # type: ignore[assignment]
    return DeadTaker(queue=queue, ledger=ledger, clock=SystemClock(), worker_id="w")


async def test_it_is_dead_with_the_reason() -> None:
    ledger, delivery = LedgerMemory(), Delivered(async_job())
    await taker(ledger).settle(delivery)
    entry = await ledger.read(delivery.job.job_id)
    assert entry is not None
    assert entry.state is JobState.DEAD
    assert entry.outcome is not None
    assert entry.outcome.fault is not None
    assert entry.outcome.fault.name == "DeliveredTooOften"
    assert delivery.end == "acknowledged"


async def test_one_that_nobody_began_is_put_into_the_queue_anew() -> None:
    ledger, job = LedgerMemory(), async_job()
    for restarts in range(3):
        dead, delivery = taker(ledger), Delivered(job, restarts=restarts)
        await dead.settle(delivery)
        assert delivery.end == "restarted"
        assert (dead.restarted, dead.buried) == (1, 0)
        assert await ledger.read(job.job_id) is None
    dead, delivery = taker(ledger), Delivered(job, restarts=3)
    await dead.settle(delivery)
    assert (delivery.end, dead.restarted, dead.buried) == ("acknowledged", 0, 1)
    entry = await ledger.read(job.job_id)
    assert entry is not None
    assert entry.outcome is not None
    assert entry.outcome.fault is not None
    assert "4 times over" in entry.outcome.fault.message


@pytest.mark.parametrize(("attempts_max", "end"), [(2, "restarted"), (1, "acknowledged")])
async def test_one_that_was_lost_is_put_into_the_queue_anew_while_it_has_attempts(
    attempts_max: int, end: str
) -> None:
    job = async_job()
    assert job.terms is not None
    job = replace(job, terms=replace(job.terms, attempts_max=attempts_max))
    ledger, delivery = LedgerMemory(), Delivered(job, restarts=0)
    await ledger.claim(job, worker_id="x", request_id="r", lease_ms=1, quota=QUOTA, now_ms=NOW_MS)
    await taker(ledger).settle(delivery)
    assert delivery.end == end
    entry = await ledger.read(job.job_id)
    assert entry is not None
    assert entry.state is (JobState.RUNNING if attempts_max > 1 else JobState.DEAD)


@pytest.mark.parametrize("restarts", [0, 3])
async def test_one_that_another_worker_runs_is_left_to_it(restarts: int) -> None:
    ledger, delivery = LedgerMemory(), Delivered(async_job(), restarts=restarts)
    now_ms = SystemClock().now_ms()
    await ledger.claim(
        delivery.job, worker_id="x", request_id="r", lease_ms=60_000, quota=QUOTA, now_ms=now_ms
    )
    await taker(ledger).settle(delivery)
    entry = await ledger.read(delivery.job.job_id)
    assert entry is not None
    assert entry.state is JobState.RUNNING
    assert delivery.end == "acknowledged"


@pytest.mark.parametrize("restarts", [0, 3])
async def test_one_that_is_over_stays_so(restarts: int) -> None:
    ledger, delivery = LedgerMemory(), Delivered(async_job(), restarts=restarts)
    await ledger.cancel(delivery.job.job_id, delivery.job.space_id, now_ms=NOW_MS)
    await taker(ledger).settle(delivery)
    entry = await ledger.read(delivery.job.job_id)
    assert entry is not None
    assert entry.state is JobState.CANCELLED
    assert delivery.end == "acknowledged"


async def test_a_ledger_that_is_away_keeps_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, delivery = LedgerMemory(), Delivered(async_job())

    async def away(*_: object, **__: object) -> None:
        raise UnavailableError("away")

    monkeypatch.setattr(ledger, "claim", away)
    await taker(ledger).settle(delivery)
    assert delivery.end == 5.0


class Giving(ListQueue):
    """Gives what is put into `given` and ends as RabbitMQ's queue does: takers get an error."""

    def __init__(self) -> None:
        super().__init__()
        self.given: asyncio.Queue[AsyncDelivery | None] = asyncio.Queue()

    async def take_dead(self) -> AsyncDelivery:
        delivery = await self.given.get()
        if delivery is None:
            raise UnavailableError("the queue was closed")
        return delivery

    async def stop_taking(self) -> None:
        self.given.put_nowait(None)


async def until_taken(queue: Giving) -> None:
    while not queue.given.empty():
        await asyncio.sleep(0)


def running(queue: Queue, ledger: Ledger) -> tuple[DeadTaker, asyncio.Task[None]]:
    dead = DeadTaker(queue=queue, ledger=ledger, clock=SystemClock(), worker_id="w")
    return dead, asyncio.create_task(dead.run())


async def test_a_drain_is_no_failure() -> None:
    queue, first = Giving(), Delivered(async_job())
    dead, task = running(queue, LedgerMemory())
    queue.given.put_nowait(first)
    await until_taken(queue)
    await dead.stop()
    await queue.stop_taking()
    await task  # raises nothing
    await dead.stop()
    assert first.end == "acknowledged"


async def test_what_it_held_at_the_drain_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    queue, ledger, held = Giving(), LedgerMemory(), Delivered(async_job())
    asked = asyncio.Event()

    async def silent(*_: object, **__: object) -> None:
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(ledger, "claim", silent)
    dead, task = running(queue, ledger)
    queue.given.put_nowait(held)
    await asked.wait()
    await dead.stop()
    await task
    assert held.end == "handed back"


async def test_a_queue_that_ends_by_itself_is_noticed() -> None:
    queue = Giving()
    _, task = running(queue, LedgerMemory())
    await queue.stop_taking()
    with pytest.raises(ExceptionGroup) as failed:
        await task
    assert failed.group_contains(UnavailableError)
