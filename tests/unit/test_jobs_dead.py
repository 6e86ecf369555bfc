"""Jobs that the queue gave up end in the ledger."""

from __future__ import annotations

import pytest

from runtime.backends.ledger_memory import LedgerMemory
from runtime.errors import UnavailableError
from runtime.jobs.dead import DeadTaker
from runtime.messages import Job, JobState
from runtime.ports import AsyncDelivery, Ledger, Queue, Quota, SystemClock
from runtime.testing.async_queue import async_job

NOW_MS = 1_000_000
QUOTA = Quota(per_space=9, per_function=9)


class Delivered(AsyncDelivery):
    def __init__(self, job: Job) -> None:
        self.job = job
        self.end: object = None

    async def acknowledge(self) -> None:
        self.end = "acknowledged"

    async def hand_back(self) -> None:
        self.end = "handed back"

    async def postpone(self, delay_s: float) -> None:
        self.end = delay_s


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


async def test_one_that_another_worker_runs_is_left_to_it() -> None:
    ledger, delivery = LedgerMemory(), Delivered(async_job())
    now_ms = SystemClock().now_ms()
    await ledger.claim(
        delivery.job, worker_id="x", request_id="r", lease_ms=60_000, quota=QUOTA, now_ms=now_ms
    )
    await taker(ledger).settle(delivery)
    entry = await ledger.read(delivery.job.job_id)
    assert entry is not None
    assert entry.state is JobState.RUNNING
    assert delivery.end == "acknowledged"


async def test_one_that_is_over_stays_so() -> None:
    ledger, delivery = LedgerMemory(), Delivered(async_job())
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
