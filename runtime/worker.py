"""Pulls jobs from the queue and runs them: first a slot, then a job.

    synchronous    take -> execute -> finish (outcome, then acknowledgement) -> slot back
    asynchronous   take -> `jobs.runner` (claim, acknowledge, execute, ledger) -> slot back

Each kind has a loop of its own, and each loop waits for a job with a slot in hand. Asynchronous jobs never
have more than their part of the slots. Their loop holds no slot that somebody else waits for: it listens for
a moment, then gives the slot up and comes back later. With a single slot the other loop does the same, so
that both kinds of jobs are run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from runtime.execute import Executor
from runtime.jobs.endings import stopped_outcome
from runtime.jobs.runner import AsyncRunner
from runtime.messages import Job, Outcome
from runtime.ports import AsyncDelivery, Clock, Delivery, Queue, RecordSink
from runtime.services.unstarted import record_unstarted
from runtime.slots import Slot, Slots
from runtime.tasks import end_tasks
from sandbox.api import Fault, OutcomeKind

_log = structlog.get_logger(__name__)

_LISTEN_S = 0.02
"""So long a loop holds a slot that others wait for: the broker needs a moment to send what it has."""
_AWAY_S = 0.5
"""So long the loop of asynchronous jobs then stays away: a busy worker hears of one this much later."""

D = TypeVar("D", Delivery, AsyncDelivery)


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
        runner: AsyncRunner | None = None,
        async_slots: int = 1,
    ) -> None:
        """Without `runner` it takes no asynchronous jobs, else at most `async_slots` at once."""
        self._queue = queue
        self._executor = executor
        self._runner = runner
        self._slots = slots
        self._async_room = asyncio.Semaphore(async_slots)
        self._records = records
        self._clock = clock
        self._taking: asyncio.Task[None] | None = None
        self._taking_async: asyncio.Task[None] | None = None
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
            if self._runner is not None:
                self._taking_async = tasks.create_task(
                    self._take_async_jobs(tasks, self._runner), name="take asynchronous jobs"
                )

    async def stop_taking_async(self) -> None:
        """Take no more asynchronous jobs; synchronous ones go on."""
        if self._taking_async is not None:
            await end_tasks([self._taking_async])

    async def drain(self) -> None:
        """Take nothing more, give back what did not start, and wait for what runs; how long is the caller's
        decision."""
        await self.stop_taking_async()
        if self._taking is not None:
            await end_tasks([self._taking])
        await self._queue.stop_taking()
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
        shared = self._runner is not None and self._slots.total == 1
        while True:
            slot = await self._slots.take()
            try:
                take = self._queue.take
                delivery = await (self._listen(take) if shared else take())
            except BaseException:
                slot.release()
                raise
            if delivery is None:
                slot.release()
                continue
            self._start(tasks, self._run_delivery(delivery, slot), f"run job {delivery.job.job_id}")

    async def _take_async_jobs(self, tasks: asyncio.TaskGroup, runner: AsyncRunner) -> None:
        while True:
            await self._async_room.acquire()
            try:
                slot = await self._slots.take()
                try:
                    delivery = await self._listen(self._queue.take_async)
                except BaseException:
                    slot.release()
                    raise
            except BaseException:
                self._async_room.release()
                raise
            if delivery is None:
                slot.release()
                self._async_room.release()
                await asyncio.sleep(_AWAY_S)
                continue
            name = f"run asynchronous job {delivery.job.job_id}"
            self._start(tasks, self._run_async(runner, delivery, slot), name)

    async def _listen(self, take: Callable[[], Coroutine[Any, Any, D]]) -> D | None:
        """The next delivery; None when nothing came for a moment and somebody else waits for the slot."""
        taking = asyncio.create_task(take(), name="take")
        wanted = asyncio.create_task(self._wait_wanted(), name="wait until the slot is wanted")
        try:
            await asyncio.wait({taking, wanted}, return_when=asyncio.FIRST_COMPLETED)
            if not taking.done():
                await end_tasks([taking])
        except asyncio.CancelledError:
            await end_tasks([taking])
            if not taking.cancelled() and taking.exception() is None:  # came in this very moment
                await taking.result().hand_back()
            raise
        finally:
            wanted.cancel()
        return None if taking.cancelled() else taking.result()

    async def _wait_wanted(self) -> None:
        await asyncio.sleep(_LISTEN_S)
        await self._slots.wait_wanted()

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
            await delivery.finish(stopped_outcome(delivery.job.request_id))
            raise
        finally:
            slot.release()

    async def _run_async(self, runner: AsyncRunner, delivery: AsyncDelivery, slot: Slot) -> None:
        try:
            await runner.run(delivery, slot)
        finally:
            slot.release()
            self._async_room.release()

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
