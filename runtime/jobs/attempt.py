"""One attempt at an asynchronous job that this worker has claimed: run, then the step that follows.

The rules for what fails on the way stand in `runtime.jobs.runner`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from runtime.errors import UnavailableError, YunhanError
from runtime.jobs.confirmed import note_confirmed
from runtime.jobs.endings import Finish, Random, TryAgain, next_step, stopped_outcome, terms_of
from runtime.jobs.files import JobFiles
from runtime.jobs.lease import LeaseKeeper
from runtime.messages import Job, JobState, Outcome
from runtime.ports import Claim, Clock, Ledger, Queue, Sleep
from runtime.slots import Slot
from runtime.tasks import end_tasks
from sandbox.api import Fault, OutcomeKind

_log = structlog.get_logger(__name__)

_RETRY_FIRST_S = 0.1
_RETRY_LONGEST_S = 2.0


@dataclass(slots=True)
class RunStop:
    """Why a run is cancelled, for the record that its executor writes: set before the cancellation.

    `worker_lost`: the worker stops, or another attempt took over; `cancelled`: somebody cancelled the job."""

    kind: OutcomeKind = OutcomeKind.WORKER_LOST


class AsyncExecutor(Protocol):
    """Runs one attempt (`runtime.execute`)."""

    async def run(self, job: Job, slot: Slot, *, queue_ms: float, stop: RunStop) -> Outcome:
        """`job.request_id` is the attempt's. Never raises but for cancellation, which ends the run; the
        record then says `stop.kind`."""


@dataclass(slots=True)
class RunnerCounts:
    """What this worker's deliveries came to; for metrics."""

    claimed: int = 0
    over: int = 0
    already_running: int = 0
    over_quota: int = 0
    too_early: int = 0
    """Duplicates of a job that waits for its next attempt."""
    held: int = 0
    """Not started, because their space is paused."""
    expired: int = 0
    finished: int = 0
    requeued: int = 0
    stopped: int = 0
    """Runs that were stopped because their claim was lost or the job cancelled."""
    too_late: int = 0
    """Ends that came after another attempt or a cancellation; nothing was recorded."""
    ledger_failures: int = 0
    given_up: int = 0
    """Ends that the ledger did not take in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptParts:
    """What every attempt of one worker uses."""

    ledger: Ledger
    queue: Queue
    executor: AsyncExecutor
    clock: Clock
    random: Random
    sleep: Sleep
    lease_s: float
    settle_s: float
    confirmed_s: float
    """A job that the queue confirmed is looked at again so much later."""
    counts: RunnerCounts
    files: JobFiles


class Attempt:
    """`run`, then `settle`; `hand_over` instead of what is left when the worker is cancelled."""

    def __init__(self, parts: AttemptParts, job: Job, claim: Claim) -> None:
        self._parts = parts
        self._job = job
        self._claim = claim
        self._lease = LeaseKeeper(
            claim, parts.ledger, parts.clock, lease_s=parts.lease_s, sleep=parts.sleep
        )
        self._outcome: Outcome | None = None
        self._stored: Outcome | None = None
        """The same, its result put into the file store."""
        self._nothing_to_record = False
        self._keep: asyncio.Task[None] | None = None
        """Renews the lease; from the run on until the outcome is recorded."""

    async def run(self, slot: Slot) -> None:
        """Run it under its renewed lease. A run whose claim is lost is stopped; others decide then."""
        self._outcome = await self._execute(slot)
        self._nothing_to_record = self._outcome is None

    async def settle(self) -> None:
        """Write the step that follows; again and again, for `settle_s` at most, as long as the claim is not
        known to be lost. Its lease is renewed meanwhile."""
        if self._outcome is None:
            return
        keep = self._start_keeping()
        try:
            await self._settle(self._outcome, keep)
        finally:
            await end_tasks([keep])
            await asyncio.gather(keep, return_exceptions=True)
        self._nothing_to_record = True

    async def _settle(self, outcome: Outcome, keep: asyncio.Task[None]) -> None:
        parts = self._parts
        until = parts.clock.monotonic() + parts.settle_s
        wait_s = _RETRY_FIRST_S
        while True:
            try:
                await self._record(outcome, at_once=False)
            except UnavailableError as error:
                parts.counts.ledger_failures += 1
                if keep.done():
                    keep.result()  # an error of programming ends the worker
                    await self._too_late(self._stored)
                    return
                if parts.clock.monotonic() + wait_s >= until:
                    self._give_up(error)
                    return
                await parts.sleep(wait_s)
                wait_s = min(wait_s * 2, _RETRY_LONGEST_S)
            except YunhanError as error:
                if outcome.kind is OutcomeKind.RESULT_TOO_LARGE:
                    self._give_up(error)
                    return
                outcome = self._outcome = _not_storable(outcome, error)
            else:
                return

    async def hand_over(self) -> None:
        """The worker is cancelled: one try to record the outcome, or that there is none."""
        if self._nothing_to_record:
            return
        outcome = self._outcome or stopped_outcome(self._claim.attempt.request_id)
        try:
            await self._record(outcome, at_once=self._outcome is None)
        except YunhanError as error:
            self._give_up(error)

    async def _execute(self, slot: Slot) -> Outcome | None:
        """The outcome of one attempt; None when it was stopped, because the claim is lost."""
        job, claim = self._job, self._claim
        stop = RunStop()
        waited_ms = max(0, self._parts.clock.now_ms() - terms_of(job).accepted_ms)
        attempted = replace(job, request_id=claim.attempt.request_id)
        name = f"job {job.job_id} attempt {claim.attempt.number}"
        run = asyncio.create_task(
            self._parts.executor.run(attempted, slot, queue_ms=float(waited_ms), stop=stop),
            name=f"run {name}",
        )
        keep = self._start_keeping()
        ended = [run, keep]
        try:
            await asyncio.wait({run, keep}, return_when=asyncio.FIRST_COMPLETED)
            if run.done():
                ended = []  # the lease is renewed until this is recorded
                return _outcome_of(run, claim)
            keep.result()  # an error of programming ends the worker
            stop.kind = await self._why_lost()
            self._parts.counts.stopped += 1
            _log.info("run_stopped", job_id=job.job_id, reason=stop.kind.value)
            return None
        finally:
            # One that loses its cancellation in the database's driver would renew the lease for ever.
            await end_tasks(ended)
            await asyncio.gather(*ended, return_exceptions=True)

    def _start_keeping(self) -> asyncio.Task[None]:
        if self._keep is None:
            claim = self._claim
            name = f"renew lease of job {claim.job_id} attempt {claim.attempt.number}"
            self._keep = asyncio.create_task(self._lease.keep(), name=name)
        return self._keep

    async def _why_lost(self) -> OutcomeKind:
        try:
            entry = await self._parts.ledger.read(self._job.job_id)
        except YunhanError:
            return OutcomeKind.CANCELLED
        taken_over = entry is not None and entry.state is not JobState.CANCELLED
        return OutcomeKind.WORKER_LOST if taken_over else OutcomeKind.CANCELLED

    async def _record(self, outcome: Outcome, *, at_once: bool) -> None:
        """Raises YunhanError; may be repeated."""
        parts = self._parts
        number = self._claim.attempt.number
        if self._stored is None or self._stored.kind is not outcome.kind:
            self._stored = await parts.files.put_result(self._job, outcome)
        outcome = self._stored
        step = next_step(outcome.kind, terms_of(self._job), attempt=number, random=parts.random)
        if isinstance(step, Finish):
            held = await parts.ledger.finish(
                self._claim, step.state, outcome, now_ms=parts.clock.now_ms()
            )
            parts.counts.finished += held
        else:
            held = await self._requeue(outcome, _AT_ONCE if at_once else step)
            parts.counts.requeued += held
        if not held:
            await self._too_late(outcome)

    async def _too_late(self, stored: Outcome | None) -> None:
        """Another attempt decides, or nobody any more."""
        if stored is not None:
            await self._parts.files.remove_result(stored)
        self._parts.counts.too_late += 1
        attempt = self._claim.attempt.number
        _log.info("end_came_too_late", job_id=self._job.job_id, attempt=attempt)

    async def _requeue(self, outcome: Outcome, step: TryAgain) -> bool:
        parts = self._parts
        now_ms = parts.clock.now_ms()
        not_before_ms = now_ms + round(step.delay_s * 1000)
        held = await parts.ledger.requeue(
            self._claim, outcome, not_before_ms=not_before_ms, now_ms=now_ms
        )
        if held:
            try:
                await parts.queue.enqueue(self._job, delay_s=step.delay_s)
                await note_confirmed(
                    parts.ledger,
                    parts.queue,
                    self._job.job_id,
                    attempts=self._claim.attempt.number,
                    due_ms=not_before_ms,
                    confirmed_s=parts.confirmed_s,
                )
            except YunhanError as error:
                _log.warning(
                    "next_attempt_left_to_sweeper", job_id=self._job.job_id, error=str(error)
                )
        return held

    def _give_up(self, error: YunhanError) -> None:
        claim = self._claim
        self._parts.counts.given_up += 1
        _log.error(
            "end_not_recorded",
            job_id=claim.job_id,
            attempt=claim.attempt.number,
            request_id=claim.attempt.request_id,
            error=str(error),
        )


_AT_ONCE = TryAgain(delay_s=0.0)


def _outcome_of(run: asyncio.Task[Outcome], claim: Claim) -> Outcome:
    """An executor never fails and is not cancelled by others; should it be, the job must not hang on it."""
    if run.cancelled():
        return stopped_outcome(claim.attempt.request_id)
    error = run.exception()
    if error is None:
        return run.result()
    _log.error("executor_failed", request_id=claim.attempt.request_id, exc_info=error)
    fault = Fault(name="InternalError", message=type(error).__name__, code="InternalError")
    return Outcome(request_id=claim.attempt.request_id, kind=OutcomeKind.SANDBOX_LOST, fault=fault)


def _not_storable(outcome: Outcome, error: YunhanError) -> Outcome:
    """Waiting would not help: the database refuses this very outcome, most likely for its size."""
    fault = Fault(
        name="ResultNotStorable",
        message=f"the run ended {outcome.kind.value}, but the ledger cannot store how: {error.message}",
        code=error.code,
    )
    return Outcome(
        request_id=outcome.request_id,
        kind=OutcomeKind.RESULT_TOO_LARGE,
        fault=fault,
        bill=outcome.bill,
    )
