"""Whether any worker is there, as a gateway knows it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import orjson
import pytest

from runtime.errors import UnavailableError
from runtime.gateway.health import HealthApi
from runtime.ports import WorkerFacts, WorkerRoster
from runtime.services.worker_roster import Presence, WorkersSeen
from tests.harness.clock import FakeClock

FACTS = WorkerFacts(
    worker_id="w", version="1", rung="process", isolates=False, node_majors=(24,), slots=1
)


class RosterMemory(WorkerRoster):
    """`refused` is set when it was asked while `away`."""

    def __init__(self) -> None:
        self.workers: dict[str, WorkerFacts] = {}
        self.asked = 0
        self.away = False
        self.refused = asyncio.Event()

    async def tell(self, facts: WorkerFacts) -> None:
        self.workers[facts.worker_id] = facts

    async def leave(self, worker_id: str, *, unseen_before_ms: int) -> None:
        self.workers.pop(worker_id, None)

    async def present(self, *, since_ms: int) -> Sequence[WorkerFacts]:
        self.asked += 1
        if self.away:
            self.refused.set()
            raise UnavailableError("the database does not answer")
        return [worker for worker in self.workers.values() if worker.seen_ms >= since_ms]


async def test_a_worker_that_tells_nothing_more_is_missed_since_it_did() -> None:
    clock, roster = FakeClock(1_700_000_000_000), RosterMemory()
    presence, seen = Presence(roster, FACTS, clock), WorkersSeen(roster, clock)
    await presence.tell()
    clock.advance(60)
    await seen.poll()
    assert await seen.tell_problem() is None
    clock.advance(1)
    await seen.poll()
    problem = await seen.tell_problem()
    assert problem is not None
    assert problem.startswith("no worker has reported since 2023-11-14T22:13:20Z")
    assert "yunhan worker" in problem
    await presence.tell()
    await seen.poll()
    assert await seen.tell_problem() is None
    await presence.leave()
    await seen.poll()
    assert "since 2023-11-14T22:14:21Z" in (await seen.tell_problem() or "")


async def test_where_no_worker_ever_was_it_is_told_from_the_first_poll() -> None:
    clock = FakeClock(1_700_000_060_000)
    seen = WorkersSeen(RosterMemory(), clock)
    assert await seen.tell_problem() is None, "nobody was asked yet"
    await seen.poll()
    clock.advance(1000)
    await seen.poll()
    assert "since 2023-11-14T22:13:20Z" in (await seen.tell_problem() or "")


async def test_a_gateway_without_workers_is_ready_and_degraded_and_asks_no_database() -> None:
    roster = RosterMemory()
    seen = WorkersSeen(roster, FakeClock())
    await seen.poll()
    health = HealthApi(checks={}, gauges=dict)
    health.watch(checks={}, beside={"workers": seen.tell_problem}, gauges=dict)
    for _ in range(3):
        answer = await health.readyz(None)  # type: ignore[arg-type]
    assert answer.status == 200
    assert isinstance(answer.body, bytes)
    assert list(orjson.loads(answer.body)["degraded"]) == ["workers"]
    assert "no worker has reported" in (await health.problems())["workers"]
    assert roster.asked == 1


async def test_a_database_that_does_not_answer_says_nothing_of_workers() -> None:
    roster = RosterMemory()
    seen = WorkersSeen(roster, FakeClock())
    await seen.poll()
    roster.away = True
    task = asyncio.create_task(seen.run(0))
    await roster.refused.wait()
    roster.refused.clear()
    await roster.refused.wait()
    assert not task.done()
    assert await seen.tell_problem() is None
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
