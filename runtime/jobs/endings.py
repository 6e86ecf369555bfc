"""What follows when an attempt at an asynchronous job ended. Pure.

ok                        succeeded
cancelled                 cancelled
the function's blame      failed (timeout: timed_out); tried again only when the terms say so
our blame                 tried again
tried again, but all attempts are used up: dead, with the outcome of the last one as the reason
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from runtime.messages import AsyncTerms, Attempt, Bill, Job, JobState, LedgerEntry, Outcome
from sandbox.api import Blame, Fault, OutcomeKind

_JITTER = 0.2
"""Each wait is up to this part shorter, so that jobs that failed together do not come back together."""
_DOUBLINGS_MAX = 62
"""Beyond it the float says nothing any more; every backoff has reached its longest before."""

WORKER_STOPPED = Fault(name="WorkerStopped", message="the worker stopped during the run")

Random = Callable[[], float]
"""Numbers from 0 to below 1; injected, so that tests know them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """The job is over."""

    state: JobState


@dataclass(frozen=True, slots=True, kw_only=True)
class TryAgain:
    """Another attempt is due after `delay_s` seconds."""

    delay_s: float


def next_step(
    kind: OutcomeKind, terms: AsyncTerms, *, attempt: int, random: Random
) -> Finish | TryAgain:
    """After attempt number `attempt` (from 1) ended as `kind`."""
    if kind is OutcomeKind.OK:
        return Finish(state=JobState.SUCCEEDED)
    if kind.blame is Blame.CALLER:
        return Finish(state=JobState.CANCELLED)
    if kind.blame is Blame.FUNCTION and not terms.retry_function:
        timed_out = kind is OutcomeKind.TIMEOUT
        return Finish(state=JobState.TIMED_OUT if timed_out else JobState.FAILED)
    if attempt >= terms.attempts_max:
        return Finish(state=JobState.DEAD)
    return TryAgain(delay_s=backoff_s(terms, attempt=attempt, random=random))


def backoff_s(terms: AsyncTerms, *, attempt: int, random: Random) -> float:
    """How long to wait after attempt number `attempt`: doubled for each, at most the terms' longest."""
    doublings = min(max(attempt - 1, 0), _DOUBLINGS_MAX)
    longest = min(terms.backoff_first_s * 2.0**doublings, terms.backoff_longest_s)
    return max(0.0, longest * (1 - _JITTER * random()))


def used_up(entry: LedgerEntry) -> bool:
    """Whether no further attempt may begin."""
    return len(entry.attempts) >= terms_of(entry.job).attempts_max


def too_old(job: Job, now_ms: int) -> bool:
    """Whether the job waited longer than it was promised to be kept."""
    terms = terms_of(job)
    return now_ms - terms.accepted_ms > terms.keep_s * 1000


def terms_of(job: Job) -> AsyncTerms:
    """Raises ValueError for a synchronous job: no way here is for it."""
    if job.terms is None:
        raise ValueError(f"job {job.job_id} is synchronous: it has no terms")
    return job.terms


def lost_outcome(last: Attempt) -> Outcome:
    """Of an attempt whose worker never told its end."""
    fault = Fault(
        name="WorkerLost",
        message=f"attempt {last.number} on worker {last.worker_id} never told its end and its lease is"
        f" over; its log, as far as it was written, is found by request id {last.request_id}",
    )
    return Outcome(request_id=last.request_id, kind=OutcomeKind.WORKER_LOST, fault=fault)


def stopped_outcome(request_id: str) -> Outcome:
    """Of a run whose worker stopped without waiting for it."""
    return Outcome(request_id=request_id, kind=OutcomeKind.WORKER_LOST, fault=WORKER_STOPPED)


def expired_call(job: Job) -> Outcome:
    """Of a synchronous job that nobody took in time."""
    fault = Fault(
        name="Expired",
        message=f"{job.function} waited {job.wait_ms} ms for a free slot and was not run; try again later"
        " (is a worker there? /readyz and `yunhan doctor` say so)",
        code="Expired",
    )
    return Outcome(
        request_id=job.request_id,
        kind=OutcomeKind.EXPIRED,
        fault=fault,
        bill=Bill(queue_ms=float(job.wait_ms)),
    )


def expired_outcome(job: Job, now_ms: int) -> Outcome:
    """Of a job that nobody could start in time."""
    terms = terms_of(job)
    waited_s = max(0, now_ms - terms.accepted_ms) // 1000
    fault = Fault(
        name="Expired",
        message=f"{job.function} waited {waited_s} s for a worker, it was kept for {terms.keep_s:g} s,"
        " and was not run; submit it again",
    )
    return Outcome(request_id=job.request_id, kind=OutcomeKind.EXPIRED, fault=fault)
