"""Accepts asynchronous jobs.

Without an idempotency key the queue's confirmation is the acceptance, and what the queue says is told to
the caller: refused (it is not queued) or not known (it may be; repeating it may run it twice).

With a key the ledger's entry is the acceptance. Once it is written, the answer is "accepted", whatever the
queue says: the sweeper enqueues the job when the queue takes it again. So nobody is told "refused" about
a job that runs, and a repetition, by whomever, finds the one job of its key. So that this does not lead
jobs past the queue's bounds, a refusal makes this submitter refuse further jobs with a key before they are
written, for `hold_off_s`: per refusal, only what was under way in that moment waits in the ledger alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import structlog

from runtime.errors import OursError, OverloadedError
from runtime.job_ids import JobIds
from runtime.jobs.endings import terms_of
from runtime.messages import AsyncTerms, Job
from runtime.ports import Clock, Ledger, Queue

_log = structlog.get_logger(__name__)


def asynchronous(job: Job, ids: JobIds, terms: AsyncTerms) -> Job:
    """The same job as an asynchronous one, with an id that shows as queued before the ledger knows it."""
    return replace(job, job_id=ids.new(job.space_id), terms=terms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A job that will end in exactly one terminal state."""

    job_id: str
    first: bool
    """False: an earlier call with the same idempotency key made it."""


class AsyncSubmitter:
    """Stands between whoever makes jobs and the queue."""

    def __init__(
        self, *, ledger: Ledger, queue: Queue, clock: Clock, hold_off_s: float = 1.0
    ) -> None:
        self._ledger = ledger
        self._queue = queue
        self._clock = clock
        self._hold_off_s = hold_off_s
        self._refusal: OverloadedError | None = None
        self._refused_until = clock.monotonic()
        self.left_to_sweeper = 0
        """Accepted jobs that the queue did not take at once; for metrics."""

    async def submit(self, job: Job) -> Accepted:
        """`job` is an `asynchronous` one.

        Raises OverloadedError when it was refused and will not run, UnavailableError when it is not known
        whether it will. To repeat a call with an idempotency key is always safe. Cancellation leaves it
        open as well."""
        if terms_of(job).idempotency_key is None:
            await self._queue.enqueue(job)
            return Accepted(job_id=job.job_id, first=True)
        now_ms = self._clock.now_ms()
        if self._refusal is not None and self._clock.monotonic() < self._refused_until:
            entry = await self._ledger.accepted(job, now_ms=now_ms)
            if entry is None:
                raise self._refusal
        else:
            entry = await self._ledger.accept(job, now_ms=now_ms)
        if entry.job.job_id != job.job_id:
            return Accepted(job_id=entry.job.job_id, first=False)
        try:
            await self._queue.enqueue(job)
        except OursError as error:
            self.left_to_sweeper += 1
            self._refusal = _refusal_like(error)
            self._refused_until = self._clock.monotonic() + self._hold_off_s
            _log.warning("accepted_job_left_to_sweeper", job_id=job.job_id, error=str(error))
        return Accepted(job_id=job.job_id, first=True)


def _refusal_like(error: OursError) -> OverloadedError:
    """For those who come a little later: they were not accepted, whatever became of that job."""
    return OverloadedError(f"the queue takes no jobs at the moment: {error.message}")
