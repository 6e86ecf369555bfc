"""What the ledger knows of asynchronous jobs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from runtime.messages.jobs import Job, Outcome
from sandbox.api import OutcomeKind


class JobState(StrEnum):
    """Where an asynchronous job is. Everything but the first two is terminal: it never changes again."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """The function's blame, and its terms do not try that again."""
    TIMED_OUT = "timed_out"
    DEAD = "dead"
    """All attempts used up; the last reason stands in the entry."""
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def terminal(self) -> bool:
        return self not in (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One invocation of an asynchronous job. Times are wall clock, ms since 1970."""

    number: int
    """From 1."""
    worker_id: str
    request_id: str
    """Of this invocation: its record and log lines are found by it."""
    started_ms: int
    ended_ms: int | None = None
    kind: OutcomeKind | None = None
    """None while it runs, and for ever when its worker was lost before it could tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """What the ledger knows of one asynchronous job. Times are wall clock, ms since 1970."""

    job: Job
    state: JobState
    attempts: tuple[Attempt, ...] = ()
    """Oldest first; bounded by `attempts_max` of the terms."""
    leased_until_ms: int | None = None
    """While it runs: its worker's claim ends then unless it is renewed."""
    not_before_ms: int | None = None
    """While it is queued for a further attempt: when that is due."""
    outcome: Outcome | None = None
    """Of the last attempt that told one."""
    ended_ms: int | None = None
    ends: int = 0
    """How often a terminal state was written; more than once is a fault of ours (`yunhan ledger check`)."""
    changed_ms: int = 0
