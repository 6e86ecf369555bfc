"""Settles what the queue gave up: jobs that were delivered too often and never acknowledged.

Such a job ended the program that had it each time, or only shared a connection that was lost with others. So
it is put into the queue anew a few times. Then it is `dead` with that reason in the ledger, and can be
replayed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from runtime.errors import YunhanError
from runtime.ids import new_request_id
from runtime.jobs.endings import used_up
from runtime.jobs.lost import TellLost, bury_used_up, tell_nobody
from runtime.messages import Job, JobState, Outcome
from runtime.ports import AsyncDelivery, Claim, Clock, Ledger, NotClaimed, Queue, Quota
from runtime.tasks import end_tasks
from sandbox.api import Fault, OutcomeKind

_log = structlog.get_logger(__name__)

_NO_QUOTA = Quota(per_space=2**31, per_function=2**31)
_LEASE_MS = 30_000


class DeadTaker:
    """`run` it as a task that somebody watches; any number of programs may. `stop` it before the queue
    stops giving: after that no end of the queue is an expected one."""

    def __init__(
        self,
        *,
        queue: Queue,
        ledger: Ledger,
        clock: Clock,
        worker_id: str,
        restarts_max: int = 3,
        ledger_delay_s: float = 5.0,
        lost: TellLost = tell_nobody,
        new_id: Callable[[], str] = new_request_id,
    ) -> None:
        """`restarts_max`: so often a job is put into the queue anew. `ledger_delay_s`: a job for which the
        ledger did not answer comes back after it."""
        self.buried = 0
        self.restarted = 0
        self._queue = queue
        self._ledger = ledger
        self._clock = clock
        self._worker_id = worker_id
        self._restarts_max = restarts_max
        self._ledger_delay_s = ledger_delay_s
        self._lost = lost
        self._new_id = new_id
        self._taking: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Until `stop` or cancellation. Raises when the queue ended by itself; a broker that is away is no
        end, `take_dead` waits for it."""
        async with asyncio.TaskGroup() as tasks:
            self._taking = tasks.create_task(self._take(), name="take jobs that the queue gave up")

    async def stop(self) -> None:
        """Take nothing more; what is not settled yet goes back. Idempotent."""
        if self._taking is not None:
            await end_tasks([self._taking])

    async def _take(self) -> None:
        while True:
            await self.settle(await self._queue.take_dead())

    async def settle(self, delivery: AsyncDelivery) -> None:
        """One of them, by what the ledger knows."""
        job = delivery.job
        try:
            restart = await self._restarts(delivery)
            if not restart:
                await self._bury(job, delivery.restarts)
        except YunhanError as error:
            _log.warning("dead_job_not_recorded", job_id=job.job_id, error=str(error))
            await delivery.postpone(self._ledger_delay_s)
        except asyncio.CancelledError:
            await delivery.hand_back()
            raise
        else:
            if restart:
                await self._restart(delivery)
            else:
                await delivery.acknowledge()

    async def _restarts(self, delivery: AsyncDelivery) -> bool:
        """Whether it may still run, and nobody runs it now."""
        if delivery.restarts >= self._restarts_max:
            return False
        entry = await self._ledger.read(delivery.job.job_id)
        if entry is None:
            return True
        running = (entry.leased_until_ms or 0) > self._clock.now_ms()
        return not (entry.state.terminal or running or used_up(entry))

    async def _restart(self, delivery: AsyncDelivery) -> None:
        job = delivery.job
        _log.warning("job_restarted", job_id=job.job_id, space=job.space_id, function=job.function)
        try:
            await delivery.restart()
        except asyncio.CancelledError:  # twice in the queue does no harm
            await delivery.hand_back()
            raise
        self.restarted += 1

    async def _bury(self, job: Job, restarts: int) -> None:
        """A claim makes its entry and keeps others from running it meanwhile."""
        request_id = self._new_id()
        claim = await self._ledger.claim(
            job,
            worker_id=self._worker_id,
            request_id=request_id,
            lease_ms=_LEASE_MS,
            quota=_NO_QUOTA,
            now_ms=self._clock.now_ms(),
        )
        if isinstance(claim, Claim):
            if claim.lost is not None:
                self._lost(job, claim.lost)
            outcome = _given_up(job, request_id, restarts)
            now_ms = self._clock.now_ms()
            self.buried += await self._ledger.finish(claim, JobState.DEAD, outcome, now_ms=now_ms)
            _log.error("job_given_up", job_id=job.job_id, space=job.space_id, function=job.function)
        elif claim is NotClaimed.USED_UP:
            now_ms = self._clock.now_ms()
            await bury_used_up(self._ledger, job.job_id, self._lost, now_ms=now_ms)


def _given_up(job: Job, request_id: str, restarts: int) -> Outcome:
    return Outcome(
        request_id=request_id,
        kind=OutcomeKind.WORKER_LOST,
        fault=Fault(
            name="DeliveredTooOften",
            code="DeliveredTooOften",
            message=f"{job.function} was given to workers as often as YUNHAN_QUEUE_DELIVERY_LIMIT allows,"
            f" {restarts + 1} times over, and none of them kept it: they ended or lost their connection"
            " before they could begin it",
        ),
    )
