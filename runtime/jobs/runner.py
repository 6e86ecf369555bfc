"""One asynchronous delivery, from the queue to its step in the ledger.

    claim -> acknowledge -> run under a renewed lease -> finish, or requeue and enqueue again

What happens when a part fails:

    the ledger does not answer the claim     the same claim is made again for a moment: should the first one
                                             have been written, it is recognised; then postponed
    the acknowledgement fails                the job runs; a second delivery finds its lease, is forgotten
    the claim is lost, the job cancelled     the run is stopped; whoever has the entry now decides
    the ledger does not take the end,        tried again for a long time (`settle_s`), the lease renewed; then
    or the file store a large result         left: the sweeper begins another attempt, this result is lost
    enqueueing again fails                   left: the sweeper does it when the attempt is overdue
    the worker is cancelled (drain too long) what is not claimed is handed back; a run counts as an attempt
                                             that ended `worker_lost` and the next one is due at once

The last counts an attempt although the job is not to blame: its code ran, and may have had effects; the
number of runs is what `attempts_max` promises. Only what never began costs nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from runtime.errors import YunhanError
from runtime.ids import new_request_id
from runtime.jobs.attempt import AsyncExecutor, Attempt, AttemptParts, RunnerCounts
from runtime.jobs.claims import Claims, ClaimTerms
from runtime.jobs.endings import Random, expired_outcome, too_old
from runtime.jobs.files import EVERYTHING_INLINE, JobFiles
from runtime.jobs.lost import TellLost, bury_used_up, tell_nobody
from runtime.jobs.quota_turns import QuotaTurns
from runtime.messages import Job, Outcome
from runtime.ports import AsyncDelivery, Claim, Clock, Ledger, NotClaimed, Queue, Quota, Sleep
from runtime.slots import Slot

_log = structlog.get_logger(__name__)

MayStart = Callable[[Job], Awaitable[bool]]
"""Whether a job may begin an attempt now. Raises UnavailableError when that is not known."""


async def always(_job: Job) -> bool:
    """A `MayStart` that holds nothing back."""
    return True


Unstarted = Callable[[Job, Outcome], None]
"""Told of a job that ended without a run, so that its request id is found in the records."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerLimits:
    """Bounds of asynchronous runs. Seconds."""

    quota: Quota
    lease_s: float = 30.0
    quota_delay_s: float = 5.0
    """A job over a quota comes back after about this time,"""
    quota_delay_longest_s: float = 300.0
    """and after at most this time when thousands wait for it (`QuotaTurns`)."""
    ledger_delay_s: float = 5.0
    """One for which the ledger did not answer comes back after this time."""
    claim_s: float = 3.0
    """A claim whose answer was lost is repeated for so long."""
    settle_s: float = 3600.0
    """The end of a run is kept for so long while the ledger, or the file store, does not take it."""
    confirmed_s: float = 1800.0
    """A job that is queued for its next attempt is looked at by sweepers after so long."""
    held_delay_s: float = 30.0
    """One that may not start now, e.g. of a paused space, comes back after this time, however often."""
    handover_s: float = 2.0
    """What a cancelled worker may spend to leave its job to others at once."""


class AsyncRunner:
    """Runs asynchronous deliveries of one worker; `run` may be under way many times at once."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        queue: Queue,
        executor: AsyncExecutor,
        clock: Clock,
        worker_id: str,
        limits: RunnerLimits,
        random: Random,
        unstarted: Unstarted,
        may_start: MayStart = always,
        files: JobFiles = EVERYTHING_INLINE,
        lost: TellLost = tell_nobody,
        sleep: Sleep = asyncio.sleep,
        new_id: Callable[[], str] = new_request_id,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        terms = ClaimTerms(
            worker_id=worker_id,
            lease_s=limits.lease_s,
            quota=limits.quota,
            claim_s=limits.claim_s,
        )
        self._claims = Claims(ledger, clock, terms, sleep=sleep, new_id=new_id)
        self._limits = limits
        self._random = random
        self._unstarted = unstarted
        self._may_start = may_start
        self._lost = lost
        self._turns = QuotaTurns(
            first_s=limits.quota_delay_s, longest_s=limits.quota_delay_longest_s
        )
        self.counts = RunnerCounts()
        self._parts = AttemptParts(
            ledger=ledger,
            queue=queue,
            executor=executor,
            clock=clock,
            random=random,
            sleep=sleep,
            lease_s=limits.lease_s,
            settle_s=limits.settle_s,
            confirmed_s=limits.confirmed_s,
            counts=self.counts,
            files=files,
        )

    async def run(self, delivery: AsyncDelivery, slot: Slot) -> None:
        """See the module. The caller releases `slot` afterwards. Raises only for cancellation, which it
        re-raises after at most `handover_s`, and for errors of programming."""
        claim = await self._claim(delivery)
        if claim is not None:
            attempt = Attempt(self._parts, delivery.job, claim)
            try:
                await self._settle_delivery(delivery.acknowledge)
                await attempt.run(slot)
                await attempt.settle()
            except asyncio.CancelledError:
                await self._in_time(attempt.hand_over())
                raise

    async def _claim(self, delivery: AsyncDelivery) -> Claim | None:
        """The claim, or None when the delivery is settled otherwise."""
        job = delivery.job
        try:
            answer = await self._ask(job)
        except asyncio.CancelledError:
            # Should the claim have been made all the same, its lease ends and the sweeper sees to it.
            await self._in_time(self._settle_delivery(delivery.hand_back))
            raise
        except YunhanError as error:
            self.counts.ledger_failures += 1
            _log.warning("job_not_claimed", job_id=job.job_id, error=str(error))
            await self._postpone(delivery, self._limits.ledger_delay_s)
            return None
        if isinstance(answer, Claim):
            self.counts.claimed += 1
            for quota in NotClaimed.SPACE_QUOTA, NotClaimed.FUNCTION_QUOTA:
                self._turns.began(_line_of(quota, job), self._clock.monotonic())
            if answer.lost is not None:
                self._lost(job, answer.lost)
            return answer
        if answer is None:
            self.counts.held += 1
            await self._postpone(delivery, self._limits.held_delay_s)
            return None
        if answer is NotClaimed.TOO_EARLY:
            self.counts.too_early += 1
            await self._postpone_until_due(delivery)
            return None
        if answer in {NotClaimed.SPACE_QUOTA, NotClaimed.FUNCTION_QUOTA}:
            self.counts.over_quota += 1
            delay_s = self._turns.delay_s(_line_of(answer, job), self._clock.monotonic())
            await self._postpone(delivery, delay_s)
            return None
        if answer is NotClaimed.RUNNING:
            self.counts.already_running += 1
        else:
            self.counts.over += 1
        await self._settle_delivery(delivery.acknowledge)
        return None

    async def _ask(self, job: Job) -> Claim | NotClaimed | None:
        """None: it may not start now."""
        now_ms = self._clock.now_ms()
        if too_old(job, now_ms) and await self._ledger.expire(job, now_ms=now_ms):
            self.counts.expired += 1
            self._unstarted(job, expired_outcome(job, now_ms))
            return NotClaimed.OVER
        if not await self._may_start(job):
            return None
        answer = await self._claims.claim(job)
        if answer is NotClaimed.USED_UP:
            await bury_used_up(self._ledger, job.job_id, self._lost, now_ms=now_ms)
        return answer

    async def _postpone_until_due(self, delivery: AsyncDelivery) -> None:
        """A duplicate must not make the next attempt begin sooner."""
        try:
            entry = await self._ledger.read(delivery.job.job_id)
        except YunhanError:
            entry = None
        due_ms = entry.not_before_ms if entry is not None else None
        if due_ms is None:  # it got on in this moment, or nobody knows
            await self._postpone(delivery, self._limits.ledger_delay_s)
            return
        delay_s = max(0, due_ms - self._clock.now_ms()) / 1000
        await self._settle_delivery(lambda: delivery.postpone(delay_s))

    async def _postpone(self, delivery: AsyncDelivery, delay_s: float) -> None:
        spread_s = delay_s * (0.75 + 0.5 * self._random())
        await self._settle_delivery(lambda: delivery.postpone(spread_s))

    async def _settle_delivery(self, settle: Callable[[], Awaitable[None]]) -> None:
        """A queue that is away keeps the delivery and gives it to somebody again: harmless."""
        try:
            await settle()
        except YunhanError as error:
            _log.warning("delivery_not_settled", error=str(error))

    async def _in_time(self, work: Awaitable[None]) -> None:
        """What a cancelled worker still does. It is bounded, and a second cancellation ends it."""
        try:
            async with asyncio.timeout(self._limits.handover_s):
                await work
        except TimeoutError:
            self.counts.given_up += 1


def _line_of(quota: NotClaimed, job: Job) -> tuple[str, ...]:
    """Who waits for a quota together."""
    if quota is NotClaimed.SPACE_QUOTA:
        return (job.space_id,)
    return (job.space_id, job.function)
