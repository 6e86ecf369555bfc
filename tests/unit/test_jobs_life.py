"""The whole life of asynchronous jobs in random order: lost workers, late ends, cancels, sweeps, faults."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from runtime.errors import UnavailableError
from runtime.jobs.attempt import RunStop
from runtime.jobs.audit import flaws_of
from runtime.jobs.submit import AsyncSubmitter
from runtime.messages import Job, LedgerEntry, Outcome
from sandbox.api import OutcomeKind
from tests.harness.async_jobs import (
    AWAY,
    BrokenLedger,
    ListQueue,
    Stage,
    ToldDelivery,
    ends,
    job_now,
    sweeper_of,
)

KINDS = st.sampled_from(
    [
        OutcomeKind.OK,
        OutcomeKind.FUNCTION_ERROR,
        OutcomeKind.TIMEOUT,
        OutcomeKind.SANDBOX_LOST,
        OutcomeKind.REFUSED,
    ]
)


class ReturningDelivery(ToldDelivery):
    """Not started: the queue has the job again."""

    def __init__(self, job: Job, queue: ListQueue) -> None:
        super().__init__(job)
        self._queue = queue

    async def hand_back(self) -> None:
        self._queue.jobs.append((self.job, 0.0))

    async def postpone(self, delay_s: float) -> None:
        self._queue.jobs.append((self.job, delay_s))


@dataclass
class Running:
    """A worker with one job in its hands. `end` is what the function will do."""

    job: Job
    task: asyncio.Task[None]
    end: asyncio.Future[OutcomeKind]


class LifeOfJobs(RuleBasedStateMachine):
    """Workers sleep until a rule wakes them: a lease is renewed only when `renew` says so."""

    jobs = Bundle("jobs")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.loop.run_until_complete(self._begin())

    async def _begin(self) -> None:
        self.stage = Stage()
        self.stage.executor._run = self._run
        self.sleepers: list[asyncio.Future[None]] = []
        self.stage.sleep = self._sleep  # type: ignore[method-assign]
        self.stage.runner = self.stage.new_runner()
        self.submitter = AsyncSubmitter(
            ledger=self.stage.ledger, queue=self.stage.queue, clock=self.stage.clock
        )
        self.running: list[Running] = []
        self.next_end: asyncio.Future[OutcomeKind] | None = None
        self.known: dict[str, Job] = {}
        self.terminal: dict[str, LedgerEntry] = {}
        self.began: Counter[str] = Counter()

    async def _sleep(self, seconds: float) -> None:
        sleeper: asyncio.Future[None] = self.loop.create_future()
        self.sleepers.append(sleeper)
        await sleeper

    async def _run(self, job: Job, stop: RunStop) -> Outcome:
        self.began[job.job_id] += 1
        assert self.next_end is not None
        end = self.next_end
        return ends(job, await end)

    def _do(self, work: object) -> object:
        async def settle() -> object:
            assert asyncio.iscoroutine(work)
            answer = await work
            for _ in range(12):
                await asyncio.sleep(0)
            return answer

        return self.loop.run_until_complete(settle())

    @rule(
        target=jobs,
        attempts_max=st.integers(1, 3),
        retry=st.booleans(),
        key=st.sampled_from([None, "k"]),
    )
    def submit(self, attempts_max: int, retry: bool, key: str | None) -> Job:
        job = job_now(
            self.stage.clock,
            attempts_max=attempts_max,
            retry_function=retry,
            idempotency_key=key,
            keep_s=600.0,
        )
        answer = self._do(self.submitter.submit(job))
        job = self.known.get(answer.job_id, job)  # type: ignore[attr-defined]
        self.known[job.job_id] = job
        return job

    @rule(at=st.integers(0, 9), again=st.booleans())
    def deliver(self, at: int, again: bool) -> None:
        """The queue gives a job to a worker; `again`: and keeps it, as after a lost acknowledgement."""
        queued = self.stage.queue.jobs
        if not queued or len(self.running) > 4:
            return
        job, _ = queued[at % len(queued)]
        if not again:
            queued.pop(at % len(queued))
        self._start(job)

    @rule(job=jobs)
    def deliver_again(self, job: Job) -> None:
        if len(self.running) <= 4:
            self._start(job)

    def _start(self, job: Job) -> None:
        async def start() -> None:
            self.next_end = self.loop.create_future()
            delivery = ReturningDelivery(job, self.stage.queue)
            work = self.stage.runner.run(delivery, None)  # type: ignore[arg-type]
            self.running.append(Running(job, asyncio.create_task(work), self.next_end))

        self._do(start())
        self._tidy()

    @rule(at=st.integers(0, 9))
    def overtake(self, at: int) -> None:
        """A worker is frozen until its lease is over, and its job is delivered to another one."""
        if 0 < len(self.running) <= 4:
            self.stage.clock.advance(31)
            self._start(self.running[at % len(self.running)].job)

    @rule(at=st.integers(0, 9), kind=KINDS)
    def end(self, at: int, kind: OutcomeKind) -> None:
        """A run ends, in time or late."""
        if self.running:

            async def end() -> None:
                one = self.running[at % len(self.running)]
                if not one.end.done():
                    one.end.set_result(kind)

            self._do(end())
            self._tidy()

    @rule()
    def renew(self) -> None:
        """Whoever sleeps (renewals, repetitions) wakes up."""

        async def wake() -> None:
            sleepers, self.sleepers = self.sleepers, []
            for sleeper in sleepers:
                if not sleeper.done():
                    sleeper.set_result(None)

        self._do(wake())
        self._tidy()

    @rule(at=st.integers(0, 9))
    def stop_worker(self, at: int) -> None:
        if self.running:
            one = self.running[at % len(self.running)]

            async def stop() -> None:
                one.task.cancel()
                await asyncio.wait({one.task})

            self._do(stop())
            self._tidy()

    @rule(seconds=st.sampled_from([0.0, 1.0, 10.0, 30.0, 31.0, 700.0]))
    def wait(self, seconds: float) -> None:
        self.stage.clock.advance(seconds)

    @rule()
    def sweep(self) -> None:
        async def sweep() -> None:
            with suppress(UnavailableError):
                await sweeper_of(self.stage).sweep()

        self._do(sweep())

    @rule(job=jobs)
    def cancel(self, job: Job) -> None:
        now_ms = self.stage.clock.now_ms()
        self._do(self.stage.ledger.cancel(job.job_id, job.space_id, now_ms=now_ms))

    @rule(
        method=st.sampled_from(["claim", "renew", "finish", "requeue", "overdue", "bury"]),
        times=st.integers(1, 3),
    )
    def fail(self, method: str, times: int) -> None:
        self.stage.fail(method, *[AWAY] * times)

    def _tidy(self) -> None:
        for one in [one for one in self.running if one.task.done()]:
            if not one.task.cancelled():
                one.task.result()  # nothing but cancellation is raised
            self.running.remove(one)

    @invariant()
    def every_history_is_legal(self) -> None:
        for job_id, job in self.known.items():
            entry = self.loop.run_until_complete(self.stage.ledger.read(job_id))
            assert isinstance(entry, LedgerEntry | None)
            if entry is None:
                assert not self.began[job_id]
                continue
            assert flaws_of(entry, self.stage.clock.now_ms(), 10**12) == []
            assert job.terms is not None
            assert self.began[job_id] <= len(entry.attempts) <= job.terms.attempts_max
            if job_id in self.terminal:  # one end, recorded once, for ever
                before = self.terminal[job_id]
                same = (entry.state, entry.attempts, entry.outcome, entry.ended_ms)
                assert same == (before.state, before.attempts, before.outcome, before.ended_ms)
            elif entry.state.terminal:
                self.terminal[job_id] = entry

    def teardown(self) -> None:
        """When the faults are over, sweeps and workers bring every job to its end."""
        try:
            assert isinstance(self.stage.ledger, BrokenLedger)
            self.stage.ledger.failures.clear()
            while self.running:
                self.stop_worker(0)
            for _ in range(8):
                self.stage.clock.advance(70)
                self.sweep()
                while self.stage.queue.jobs:
                    self.stage.clock.advance(self.stage.queue.jobs[0][1])
                    self.deliver(0, again=False)
                    self.end(0, OutcomeKind.SANDBOX_LOST)
                    self.renew()
                self.every_history_is_legal()
            for job_id in self.known:
                entry = self.loop.run_until_complete(self.stage.ledger.read(job_id))
                assert isinstance(entry, LedgerEntry)
                assert entry.state.terminal
        finally:
            for one in self.running:
                one.task.cancel()
            if self.running:
                self.loop.run_until_complete(asyncio.wait({one.task for one in self.running}))
            self.loop.close()


LifeOfJobs.TestCase.settings = settings(
    max_examples=100,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestLifeOfJobs = LifeOfJobs.TestCase
