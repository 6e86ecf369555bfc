"""Stand-ins around asynchronous jobs: an executor that does as it is told, a queue that forgets nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from runtime.backends.ledger_memory import LedgerMemory
from runtime.errors import OursError, UnavailableError
from runtime.jobs.attempt import RunStop
from runtime.jobs.runner import AsyncRunner, RunnerLimits
from runtime.jobs.sweeper import Sweeper, SweeperLimits
from runtime.messages import InvocationRecord, Job, JobState, LedgerEntry, Outcome
from runtime.ports import AsyncDelivery, Delivery, Ledger, Queue, Quota
from runtime.slots import Slot, Slots
from runtime.testing.ledger_samples import WIDE, ledger_job
from sandbox.api import Fault, OutcomeKind
from tests.harness.clock import FakeClock

AWAY = UnavailableError("the ledger is away")


def job_now(clock: FakeClock, space_id: str = "mp-1", **terms: Any) -> Job:
    return ledger_job(space_id, at_ms=clock.now_ms(), **terms)


def ends(job: Job, kind: OutcomeKind) -> Outcome:
    if kind is OutcomeKind.OK:
        return Outcome(request_id=job.request_id, kind=kind, value=b"1")
    fault = Fault(name=kind.value, message="boom")
    return Outcome(request_id=job.request_id, kind=kind, fault=fault)


class Records(list[InvocationRecord]):
    """A record sink that keeps everything."""


class ListQueue(Queue):
    """Keeps what is enqueued in `jobs`, with its delay. `refusal` is raised instead."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Job, float]] = []
        self.refusal: OursError | None = None

    async def enqueue(self, job: Job, *, delay_s: float = 0.0) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.jobs.append((job, delay_s))

    def open(self) -> object:  # type: ignore[override]
        raise NotImplementedError

    async def call(self, job: Job) -> Outcome:
        raise NotImplementedError

    async def take(self) -> Delivery:
        raise NotImplementedError

    async def take_async(self) -> AsyncDelivery:
        raise NotImplementedError

    @property
    def waiting(self) -> int:
        return len(self.jobs)

    async def wait_empty(self) -> None: ...


@dataclass
class ToldDelivery(AsyncDelivery):
    """Remembers how it was settled."""

    job: Job
    told: list[str] = field(default_factory=list)
    delay_s: float | None = None
    refusal: OursError | None = None
    restarts: int = 0

    async def acknowledge(self) -> None:
        self._settle("acknowledged")

    async def hand_back(self) -> None:
        self._settle("handed back")

    async def postpone(self, delay_s: float) -> None:
        self.delay_s = delay_s
        self._settle("postponed")

    def _settle(self, how: str) -> None:
        self.told.append(how)
        if self.refusal is not None:
            raise self.refusal


class BrokenLedger(LedgerMemory):
    """Raises `failures[method]`, once for each error in the list, before the method does anything."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: dict[str, list[OursError]] = {}

    def __getattribute__(self, name: str) -> object:
        failures = object.__getattribute__(self, "__dict__").get("failures", {})
        if failures.get(name):
            error = failures[name].pop(0)

            async def fail(*_: object, **__: object) -> None:
                raise error

            return fail
        return object.__getattribute__(self, name)


Run = Callable[[Job, RunStop], Awaitable[Outcome]]


class ToldExecutor:
    """Runs what it was given; keeps the jobs as they came and how each was stopped."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.jobs: list[Job] = []
        self.stopped: list[OutcomeKind] = []

    async def run(self, job: Job, slot: Slot, *, queue_ms: float, stop: RunStop) -> Outcome:
        self.jobs.append(job)
        try:
            return await self._run(job, stop)
        except asyncio.CancelledError:
            self.stopped.append(stop.kind)
            raise


def told(kind: OutcomeKind) -> Run:
    async def run(job: Job, stop: RunStop) -> Outcome:
        return ends(job, kind)

    return run


async def forever(job: Job, stop: RunStop) -> Outcome:
    await asyncio.Event().wait()
    raise AssertionError


class Stage:
    """A runner with everything around it. Sleeping turns the clock and lets the others on."""

    def __init__(self, run: Run = forever, ledger: Ledger | None = None) -> None:
        self.clock = FakeClock()
        self.ledger = BrokenLedger() if ledger is None else ledger
        self.queue = ListQueue()
        self.executor = ToldExecutor(run)
        self.unstarted: list[tuple[Job, Outcome]] = []
        self.slept: list[float] = []
        self.runner = self.new_runner()

    def new_runner(self, *, quota: Quota = WIDE, worker_id: str = "w1") -> AsyncRunner:
        return AsyncRunner(
            ledger=self.ledger,
            queue=self.queue,
            executor=self.executor,
            clock=self.clock,
            worker_id=worker_id,
            limits=RunnerLimits(quota=quota),
            random=lambda: 0.5,
            unstarted=lambda job, outcome: self.unstarted.append((job, outcome)),
            sleep=self.sleep,
        )

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(seconds)
        await asyncio.sleep(0)

    async def deliver(self, job: Job, runner: AsyncRunner | None = None) -> ToldDelivery:
        delivery = ToldDelivery(job)
        slot = await Slots(1).take()
        await (runner or self.runner).run(delivery, slot)
        return delivery

    def fail(self, method: str, *errors: OursError) -> None:
        """The ledger's next calls of this method do."""
        assert isinstance(self.ledger, BrokenLedger)
        self.ledger.failures[method] = list(errors)

    async def until_running(self) -> None:
        """Until the first job runs."""
        while not self.executor.jobs:
            await asyncio.sleep(0)

    async def entry(self, job: Job) -> LedgerEntry:
        entry = await self.ledger.read(job.job_id)
        assert entry is not None
        return entry

    async def state(self, job: Job) -> JobState:
        return (await self.entry(job)).state


def sweeper_of(stage: Stage, **limits: float) -> Sweeper:
    return Sweeper(
        ledger=stage.ledger,
        queue=stage.queue,
        clock=stage.clock,
        limits=SweeperLimits(**limits),  # type: ignore[arg-type]
        random=lambda: 0.5,
        unstarted=lambda job, outcome: stage.unstarted.append((job, outcome)),
        sleep=stage.sleep,
    )
