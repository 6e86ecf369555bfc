"""Pulls jobs from the queue and runs them: first a slot, then a job.

The way of every job: take -> execute -> finish (outcome, then acknowledgement) -> slot back.
"""

from __future__ import annotations

import asyncio

import structlog

from runtime.execute import Executor, worker_lost
from runtime.messages import Job, Outcome
from runtime.ports import Delivery, Queue
from runtime.slots import Slot, Slots

_log = structlog.get_logger(__name__)


class Worker:
    """One worker. `run` it once; `drain` ends it in order."""

    def __init__(self, *, queue: Queue, executor: Executor, slots: Slots) -> None:
        self._queue = queue
        self._executor = executor
        self._slots = slots
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
        parent's slot. Goes on when the caller is cancelled (its parent ended first)."""
        if self._tasks is None:
            raise RuntimeError("run_child before run")
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._start(self._tasks, self._run_child(job, parent, answer), f"run child {job.job_id}")
        return await answer

    async def _take_jobs(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            slot = await self._slots.take()
            try:
                delivery = await self._queue.take()
            except BaseException:
                slot.release()
                raise
            self._start(tasks, self._run_delivery(delivery, slot), f"run job {delivery.job.job_id}")

    def _start(self, tasks: asyncio.TaskGroup, work: object, name: str) -> None:
        assert asyncio.iscoroutine(work)
        task: asyncio.Task[None] = tasks.create_task(work, name=name)
        self._running.add(task)
        self._idle.clear()
        task.add_done_callback(self._ended)

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

    async def _run_child(self, job: Job, parent: Slot, answer: asyncio.Future[Outcome]) -> None:
        began = asyncio.get_running_loop().time()
        slot = await parent.for_child()
        try:
            waited_ms = (asyncio.get_running_loop().time() - began) * 1000
            outcome = await self._executor.run(job, slot, queue_ms=waited_ms)
        finally:
            slot.release()
        if not answer.done():
            answer.set_result(outcome)
