"""Writes into the ledger what the queue gave up: jobs that were delivered too often and never claimed.

Such a job ended the program that had it each time, or lost its connection. It is `dead` with that reason, and
can be replayed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from runtime.errors import UnavailableError, YunhanError
from runtime.ids import new_request_id
from runtime.jobs.endings import lost_outcome
from runtime.messages import Job, JobState, Outcome
from runtime.ports import AsyncDelivery, Claim, Clock, Ledger, NotClaimed, Queue, Quota
from sandbox.api import Fault, OutcomeKind

_log = structlog.get_logger(__name__)

_NO_QUOTA = Quota(per_space=2**31, per_function=2**31)
_LEASE_MS = 30_000
_ASK_AGAIN_S = 5.0


class DeadTaker:
    """`run` it as a task that somebody watches; any number of programs may."""

    def __init__(
        self,
        *,
        queue: Queue,
        ledger: Ledger,
        clock: Clock,
        worker_id: str,
        ledger_delay_s: float = 5.0,
        new_id: Callable[[], str] = new_request_id,
    ) -> None:
        """`ledger_delay_s`: a job for which the ledger did not answer comes back after it."""
        self.buried = 0
        self._queue = queue
        self._ledger = ledger
        self._clock = clock
        self._worker_id = worker_id
        self._ledger_delay_s = ledger_delay_s
        self._new_id = new_id

    async def run(self) -> None:
        """Until cancelled. A queue that gives nothing now (drained, or no broker) is asked again."""
        while True:
            try:
                delivery = await self._queue.take_dead()
            except UnavailableError:
                await asyncio.sleep(_ASK_AGAIN_S)
                continue
            await self.settle(delivery)

    async def settle(self, delivery: AsyncDelivery) -> None:
        """One of them. A claim makes its entry and keeps others from running it meanwhile."""
        job = delivery.job
        try:
            await self._bury(job)
        except YunhanError as error:
            _log.warning("dead_job_not_recorded", job_id=job.job_id, error=str(error))
            await delivery.postpone(self._ledger_delay_s)
        except asyncio.CancelledError:
            await delivery.hand_back()
            raise
        else:
            await delivery.acknowledge()

    async def _bury(self, job: Job) -> None:
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
            outcome = _never_claimed(job, request_id)
            now_ms = self._clock.now_ms()
            self.buried += await self._ledger.finish(claim, JobState.DEAD, outcome, now_ms=now_ms)
            _log.error("job_given_up", job_id=job.job_id, space=job.space_id, function=job.function)
        elif claim is NotClaimed.USED_UP:
            entry = await self._ledger.read(job.job_id)
            if entry is not None:
                await self._ledger.bury(
                    job.job_id, lost_outcome(entry), now_ms=self._clock.now_ms()
                )


def _never_claimed(job: Job, request_id: str) -> Outcome:
    return Outcome(
        request_id=request_id,
        kind=OutcomeKind.WORKER_LOST,
        fault=Fault(
            name="DeliveredTooOften",
            code="DeliveredTooOften",
            message=f"{job.function} was given to workers again and again"
            " (YUNHAN_QUEUE_DELIVERY_LIMIT), and each was lost before it could begin",
        ),
    )
