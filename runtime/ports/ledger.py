"""The state of asynchronous jobs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from runtime.messages import Attempt, Job, JobState, LedgerEntry, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A worker's hold on an asynchronous job: it may run it now, as attempt `attempt.number`."""

    job_id: str
    attempt: Attempt
    lost: Attempt | None = None
    """The attempt before, when its worker never told its end: this claim ended it, and no other claim will
    tell of it."""


class NotClaimed(StrEnum):
    """Why a delivery must not be run."""

    OVER = "over"
    """It has a terminal state: acknowledge and forget."""
    RUNNING = "running"
    """Another worker's lease holds: acknowledge and forget, the sweeper watches that lease."""
    USED_UP = "used_up"
    """No attempt is left and the last worker was lost: `bury` it, acknowledge."""
    SPACE_QUOTA = "space_quota"
    FUNCTION_QUOTA = "function_quota"
    """So many jobs of the space or function run already: postpone."""
    TOO_EARLY = "too_early"
    """Its next attempt is due later (`LedgerEntry.not_before_ms`): postpone until then."""
    ID_USED = "id_used"
    """An earlier attempt has this request id and is over: ask again with a new one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """Jobs that may run at once in the whole installation; counts of other workers may be a moment old."""

    per_space: int
    per_function: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerQuery:
    """Which entries. None = any."""

    space_id: str | None = None
    function: str | None = None
    states: frozenset[JobState] | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    """By the time of acceptance, `from_ms <= t < to_ms`."""


class Ledger(ABC):
    """The state of asynchronous jobs: every change is one compare-and-set of one entry, every job ends in
    exactly one terminal state.

    A job that was accepted by the queue may have no entry until a worker claims it. Times come from the
    caller (ms since 1970), of the clock that all callers share; should their clocks differ after all, the
    attempt number decides who is right."""

    @abstractmethod
    async def accept(self, job: Job, *, now_ms: int) -> LedgerEntry:
        """Make the entry before the queue confirms: for jobs with an idempotency key, and for a queue that
        itself keeps nothing. Idempotent by job id, and by (space, function, idempotency key) for 24 hours:
        returns the entry that is there, which may be of another, earlier job. Of one that was dropped only
        its id, space and times are known; it stands as `dead`. Raises ConflictError for a job id that was
        dropped."""

    @abstractmethod
    async def accepted(self, job: Job, *, now_ms: int) -> LedgerEntry | None:
        """What `accept` would find, without making anything."""

    @abstractmethod
    async def confirmed(self, job_id: str, *, attempts: int, look_ms: int) -> None:
        """The queue itself keeps the job now: if it still waits for the attempt after `attempts` ones,
        `overdue` gives it not before `look_ms` (and its grace). A hint: that it is lost does no harm."""

    @abstractmethod
    async def claim(
        self,
        job: Job,
        *,
        worker_id: str,
        request_id: str,
        lease_ms: int,
        quota: Quota,
        now_ms: int,
    ) -> Claim | NotClaimed:
        """Begin the next attempt: makes the entry when there is none, takes over an expired lease.

        Idempotent by `request_id`: when the answer was lost, the same call again has the same claim as long
        as its attempt runs, with its lease renewed; afterwards `ID_USED`."""

    @abstractmethod
    async def renew(self, claim: Claim, *, lease_ms: int, now_ms: int) -> bool:
        """Prolong the lease. False: the claim is lost (another attempt began, or it was cancelled)."""

    @abstractmethod
    async def finish(self, claim: Claim, state: JobState, outcome: Outcome, *, now_ms: int) -> bool:
        """Write the terminal state if the claim still holds. False: it does not, nothing was written. A
        repeated call with the same claim and state is True."""

    @abstractmethod
    async def requeue(
        self, claim: Claim, outcome: Outcome, *, not_before_ms: int, now_ms: int
    ) -> bool:
        """The attempt ended and another one is due at `not_before_ms`. False as in `finish`."""

    @abstractmethod
    async def cancel(self, job_id: str, space_id: str, *, now_ms: int) -> LedgerEntry | None:
        """A queued job is `cancelled`, also one without an entry (the caller has checked its id); a running
        one is `cancelled`, too, and its worker learns it at the next renewal. Returns the entry after it;
        of a job that was over before, unchanged. None when the id belongs to another space."""

    @abstractmethod
    async def expire(self, job: Job, *, now_ms: int) -> bool:
        """`queued` (or no entry) becomes `expired`. False: it is running or over."""

    @abstractmethod
    async def read(self, job_id: str) -> LedgerEntry | None: ...

    @abstractmethod
    async def find(
        self, query: LedgerQuery, *, offset: int, limit: int, brief: bool = False
    ) -> tuple[Sequence[LedgerEntry], int]:
        """One page, newest first, and the total (at least that many where many match). `brief`: jobs without
        arguments and environment, outcomes without value; they are not read. Such a job cannot be run."""

    @abstractmethod
    async def known(self, job_ids: Sequence[str]) -> frozenset[str]:
        """Those of these jobs that have an entry."""

    @abstractmethod
    async def count(self, query: LedgerQuery) -> Mapping[JobState, int]:
        """Entries by state; absent = none."""

    @abstractmethod
    async def overdue(self, *, now_ms: int, grace_ms: int, limit: int) -> Sequence[LedgerEntry]:
        """Entries that somebody must enqueue again: running with a lease that ended, queued with a
        `not_before_ms` (or, accepted by `accept`, never claimed) that is `grace_ms` past.

        Each is given to one caller: the next one gets it `grace_ms` later, then after twice that time, and
        so on (at most 64 times). So sweepers share the work, and a job that only waits long in a full
        queue is enqueued again a few times, not with every sweep."""

    @abstractmethod
    async def bury(self, job_id: str, outcome: Outcome, *, now_ms: int) -> bool:
        """A job whose attempts are used up and whose last worker was lost becomes `dead` with this reason.
        False: it is over, a lease holds, or it has attempts left."""

    @abstractmethod
    async def drop(self, job_id: str) -> bool:
        """Remove a terminal entry (`yunhan dead drop`). False: not there or not terminal. Until `prune` the
        ledger goes on to refuse its id, so that no late delivery runs the job again; its idempotency key
        holds for its time."""

    @abstractmethod
    async def dropped(self, job_id: str) -> bool:
        """Whether an entry was removed by `drop` and not pruned since: no entry then does not mean that the
        job still waits in the queue."""

    @abstractmethod
    async def prune(self, *, before_ms: int) -> int:
        """Delete terminal entries that ended before. Returns how many went."""

    @abstractmethod
    async def delete_space(self, space_id: str) -> None:
        """All entries of a space. Idempotent."""
