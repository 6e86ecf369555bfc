"""A whole worker over scripted parts: queue, pool and executor are real, sandboxes are not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from runtime.backends.ledger_memory import LedgerMemory
from runtime.backends.queue_memory import MemoryQueue
from runtime.backends.queue_memory_async import AsyncLine, AsyncLineBounds
from runtime.execute import Executor
from runtime.jobs.runner import AsyncRunner, RunnerLimits
from runtime.messages import Job
from runtime.pool import SandboxPool
from runtime.ports import Quota, SystemClock
from runtime.sealing import SecretBox
from runtime.services.sealed_env import SealedEnv
from runtime.slots import Slot, Slots
from runtime.worker import Worker
from sandbox.api import Limits
from sandbox.spawners.memory import MemorySpawner
from tests.harness.async_jobs import Records


class NoCode:
    """A code source that has every digest; counts what is leased."""

    def __init__(self) -> None:
        self.leased: list[str] = []
        self.error: Exception | None = None

    @asynccontextmanager
    async def lease(self, digest: str, function: str) -> AsyncIterator[Path]:
        if self.error is not None:
            raise self.error
        self.leased.append(digest)
        try:
            yield Path("/nowhere") / function
        finally:
            self.leased.remove(digest)


class NoCalls:
    """Service calls that nobody makes."""

    async def answer_function(
        self,
        job: Job,
        slot: Slot,
        method: str,
        params: bytes,
        *,
        user_id: str | None,
        note: object,
        traffic: object,
    ) -> bytes:
        raise AssertionError(f"{job.function} called {method}")


class SmallWorker:
    """The parts, for tests to reach into."""

    def __init__(
        self,
        *,
        slots: int = 2,
        max_sandboxes: int = 8,
        prewarm: int = 0,
        calls: object = None,
        async_slots: int = 0,
    ) -> None:
        """Without `async_slots` it takes synchronous jobs only."""
        clock = SystemClock()
        self.ledger = LedgerMemory()
        bounds = AsyncLineBounds(max_jobs=100, max_jobs_per_space=100, max_bytes=1 << 28)
        self.spawner = MemorySpawner()
        self.code = NoCode()
        self.sealed = SealedEnv(SecretBox(b"k" * 32))
        self.records = Records()
        self.queue = MemoryQueue(
            max_jobs=100,
            max_jobs_per_space=100,
            max_bytes=1 << 28,
            clock=clock,
            line=AsyncLine(self.ledger, bounds, clock),
        )
        self.pool = SandboxPool(
            spawner=self.spawner,
            code=self.code,
            environments=self.sealed,
            clock=clock,
            limits=Limits(),
            max_sandboxes=max_sandboxes,
            prewarm=prewarm,
            prewarm_memory_mb=256,
            idle_s=900,
        )
        self.slots = Slots(slots)
        self.executor = executor = Executor(
            pool=self.pool,
            calls=calls or NoCalls(),  # type: ignore[arg-type]
            records=self.records,
            clock=clock,
            node_majors=self.spawner.node_majors(),
        )
        runner = AsyncRunner(
            ledger=self.ledger,
            queue=self.queue,
            executor=executor,
            clock=clock,
            worker_id="w-1",
            limits=RunnerLimits(quota=Quota(per_space=100, per_function=100)),
            random=lambda: 0.5,
            unstarted=lambda _job, _outcome: None,
        )
        self.worker = Worker(
            queue=self.queue,
            executor=executor,
            runner=runner if async_slots else None,
            async_slots=max(1, async_slots),
            slots=self.slots,
            records=self.records,
            clock=clock,
        )

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Run the worker; at the end nothing is leased or alive."""
        await self.spawner.start()
        async with self.queue.open(), self.pool.open():
            running = asyncio.create_task(self.worker.run())
            await asyncio.sleep(0)
            yield
            async with asyncio.timeout(5):
                await self.worker.drain()
            await running
        assert self.slots.free == self.slots.total
        assert self.code.leased == []
        assert self.spawner.live == {}
        await self.spawner.stop()
