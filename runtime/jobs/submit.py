"""Accepts asynchronous jobs.

Without an idempotency key the queue's confirmation is the acceptance, and what the queue says is told to
the caller: refused (it is not queued) or not known (it may be; repeating it may run it twice).

With a key the ledger's entry is the acceptance. Once it is written, the answer is "accepted", whatever the
queue says: the sweeper enqueues the job when the queue takes it again. So nobody is told "refused" about
a job that runs, and a repetition, by whomever, finds the one job of its key, or is refused when its
arguments are others.

So that this does not lead jobs past the queue's bounds, a refusal holds off further jobs with a key before
they are written (`hold_off`): per refusal, only what was under way in that moment waits in the ledger alone.
A space whose line is full holds off its own jobs, a queue that takes nothing everybody's.

Large arguments are in the file store before either, so that no accepted job lacks them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import structlog

from runtime.errors import KeyReusedError, OursError, OverloadedError
from runtime.job_ids import JobIds
from runtime.jobs.accept_rate import AcceptRate
from runtime.jobs.confirmed import note_confirmed
from runtime.jobs.endings import terms_of
from runtime.jobs.files import EVERYTHING_INLINE, JobFiles
from runtime.jobs.fingerprints import fingerprint
from runtime.jobs.hold_off import HoldOff
from runtime.messages import AsyncTerms, Job, LedgerEntry
from runtime.ports import Clock, Ledger, Queue

_log = structlog.get_logger(__name__)


def asynchronous(job: Job, ids: JobIds, terms: AsyncTerms) -> Job:
    """The same job as an asynchronous one, with an id that shows as queued before the ledger knows it."""
    if terms.idempotency_key is not None:
        terms = replace(terms, fingerprint=fingerprint(job))
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
        self,
        *,
        ledger: Ledger,
        queue: Queue,
        clock: Clock,
        files: JobFiles = EVERYTHING_INLINE,
        confirmed_s: float = 1800.0,
        rate: AcceptRate | None = None,
    ) -> None:
        """`confirmed_s`: a job with a key that the queue confirmed is looked at by sweepers after so long."""
        self._confirmed_s = confirmed_s
        self._rate = rate
        self._files = files
        self._ledger = ledger
        self._queue = queue
        self._clock = clock
        self._hold_off = HoldOff(clock)
        self.left_to_sweeper = 0
        """Accepted jobs that the queue did not take at once; for metrics."""

    async def submit(self, job: Job) -> Accepted:
        """`job` is an `asynchronous` one.

        Raises OverloadedError when it was refused and will not run, UnavailableError when it is not known
        whether it will, KeyReusedError when its key belongs to a job with other arguments. To repeat a call
        with an idempotency key is always safe. Cancellation leaves it open as well."""
        if self._rate is not None:
            self._rate.take(job.space_id)
        if terms_of(job).idempotency_key is None:
            return await self._submit_once(job)
        now_ms = self._clock.now_ms()
        refusal = self._hold_off.refusal(job.space_id)
        if refusal is not None or self._files.too_large(job):
            entry = await self._ledger.accepted(job, now_ms=now_ms)
            if entry is not None and entry.job.job_id != job.job_id:
                return _there(entry, job)
            if entry is None and refusal is not None:
                raise refusal
        job = await self._files.put_args(job)
        entry = await self._ledger.accept(job, now_ms=now_ms)
        if entry.job.job_id != job.job_id:  # another one came first
            await self._files.remove_args(job)
            return _there(entry, job)
        try:
            await self._queue.enqueue(job)
        except OursError as error:
            self.left_to_sweeper += 1
            self._hold_off.refused(job.space_id, error)
            _log.warning("accepted_job_left_to_sweeper", job_id=job.job_id, error=str(error))
        else:
            self._hold_off.taken(job.space_id)
            await self._tell_confirmed(job, now_ms)
        return Accepted(job_id=job.job_id, first=True)

    async def _tell_confirmed(self, job: Job, now_ms: int) -> None:
        try:
            await note_confirmed(
                self._ledger,
                self._queue,
                job.job_id,
                attempts=0,
                due_ms=now_ms,
                confirmed_s=self._confirmed_s,
            )
        except OursError as error:
            _log.info("confirmation_not_noted", job_id=job.job_id, error=str(error))

    async def _submit_once(self, job: Job) -> Accepted:
        job = await self._files.put_args(job)
        try:
            await self._queue.enqueue(job)
        except OverloadedError:  # it is not in the queue; in every other case it may be
            await self._files.remove_args(job)
            raise
        return Accepted(job_id=job.job_id, first=True)


def _there(entry: LedgerEntry, job: Job) -> Accepted:
    """The job of the same key that came first. Raises KeyReusedError. Of a job that was dropped, and of one
    that an older version accepted, the arguments are not known."""
    first, own = terms_of(entry.job).fingerprint, terms_of(job).fingerprint
    if first is not None and own is not None and first != own:
        raise KeyReusedError(entry.job.job_id)
    return Accepted(job_id=entry.job.job_id, first=False)
