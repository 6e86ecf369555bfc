"""Pulls jobs from the queue and runs them: first a slot, then a job.

The way of every job: take -> execute -> finish (outcome, then acknowledgement) -> slot back.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from runtime.execute import Executor, worker_lost
from runtime.messages import Job, Outcome
from runtime.ports import Clock, Delivery, Queue, RecordSink
from runtime.services.unstarted import record_unstarted
from runtime.slots import Slot, Slots
from sandbox.api import Fault, OutcomeKind

_log = structlog.get_logger(__name__)


class Worker:
    """One worker. `run` it once; `drain` ends it in order."""

    def __init__(
        self,
        *,
        queue: Queue,
        executor: Executor,
        slots: Slots,
        records: RecordSink,
        clock: Clock,
    ) -> None:
        self._queue = queue
        self._executor = executor
        self._slots = slots
        self._records = records
        self._clock = clock
        self._taking: asyncio.Task[None] | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._tasks: asyncio.TaskGroup | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def running(self) -> int:
        """Invocations under way, children included."""
        return len(self._running)

    async def run(self) -> None:
        """Take and run jobs until `drain` or cancellation. Raises when taking jobs fails.

        Cancellation ends the running invocations at once (outcome `worker_lost`)."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self._taking = tasks.create_task(self._take_jobs(tasks), name="take jobs")

    async def drain(self) -> None:
        """Take nothing more and wait for what runs; how long is the caller's decision."""
        if self._taking is not None:
            self._taking.cancel()
        await self._idle.wait()

    async def run_child(self, job: Job, parent: Slot) -> Outcome:
        """Run a job that a running function asked for, here and not through the queue: it may use its
        parent's slot. When the caller is cancelled (the parent ended first), a child that has started
        goes on, one that still waits for a slot is `cancelled`: else ended parents could leave work
        behind without bound. A child that waits longer than `job.wait_ms` is `expired`."""
        if self._tasks is None:
            raise RuntimeError("run_child before run")
        child = _Child(job, parent, asyncio.get_running_loop().create_future())
        task = self._start(self._tasks, self._run_child(child), f"run child {job.job_id}")
        try:
            return await child.answer
        except asyncio.CancelledError:
            if not child.started:
                task.cancel()
            raise

    async def _take_jobs(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            slot = await self._slots.take()
            try:
                delivery = await self._queue.take()
            except BaseException:
                slot.release()
                raise
            self._start(tasks, self._run_delivery(delivery, slot), f"run job {delivery.job.job_id}")

    def _start(self, tasks: asyncio.TaskGroup, work: object, name: str) -> asyncio.Task[None]:
        assert asyncio.iscoroutine(work)
        task: asyncio.Task[None] = tasks.create_task(work, name=name)
        self._running.add(task)
        self._idle.clear()
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not self._running:
            self._idle.set()

    async def _run_delivery(self, delivery: Delivery, slot: Slot) -> None:
        try:
            outcome = await self._executor.run(delivery.job, slot, queue_ms=delivery.waited_ms)
            await delivery.finish(outcome)
        except asyncio.CancelledError:  # recorded as such by the executor
            await delivery.finish(worker_lost(delivery.job.request_id))
            raise
        finally:
            slot.release()

    async def _run_child(self, child: _Child) -> None:
        job = child.job
        began = self._clock.monotonic()
        try:
            async with asyncio.timeout(job.wait_ms / 1000):
                slot = await child.parent.for_child()
        except TimeoutError:
            child.settle(self._unstarted(job, OutcomeKind.EXPIRED, f"waited {job.wait_ms} ms"))
            return
        except asyncio.CancelledError:
            self._unstarted(job, OutcomeKind.CANCELLED, "its caller ended before it started")
            raise
        child.started = True
        try:
            waited_ms = (self._clock.monotonic() - began) * 1000
            outcome = await self._executor.run(job, slot, queue_ms=waited_ms)
        finally:
            slot.release()
        child.settle(outcome)

    def _unstarted(self, job: Job, kind: OutcomeKind, why: str) -> Outcome:
        fault = Fault(name=kind.value, message=f"{job.function} was not run: {why}")
        outcome = Outcome(request_id=job.request_id, kind=kind, fault=fault)
        record_unstarted(self._records, job, outcome, self._clock)
        return outcome


@dataclass(slots=True)
class _Child:
    """A job that a running function asked for."""

    job: Job
    parent: Slot
    answer: asyncio.Future[Outcome]
    started: bool = False

    def settle(self, outcome: Outcome) -> None:
        if not self.answer.done():  # the parent may have ended
            self.answer.set_result(outcome)
