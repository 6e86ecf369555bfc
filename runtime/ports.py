"""Every port of the runtime. Each adapter is one file in `runtime/backends`, chosen in `wiring`.

Conventions: methods are coroutines unless said otherwise; cancellation is never swallowed; a part that
cannot be reached raises `UnavailableError`; a missing thing is `None` where the return type says so.
A port's rules are written as a contract suite in `runtime/testing`, which every adapter must pass.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from runtime.messages import (
    Attempt,
    Deployment,
    DeploymentStatus,
    InvocationRecord,
    Job,
    JobState,
    LedgerEntry,
    Outcome,
    Space,
)
from sandbox.api import EgressRules, LogLevel


class Clock(Protocol):
    """Time, injected so that tests need not sleep."""

    def now_ms(self) -> int:
        """Wall clock, ms since 1970. May jump."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start. Never jumps back."""


class SystemClock:
    """The machine's clocks."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()


# --- queue ------------------------------------------------------------------------------------


class Delivery(ABC):
    """One job in a worker's hands. Exactly one of `finish` and `hand_back` is called, once."""

    job: Job
    waited_ms: float
    """How long the job waited in the queue."""

    @abstractmethod
    async def finish(self, outcome: Outcome) -> None:
        """Give the outcome to the caller, then acknowledge. The caller may be gone: no error."""

    @abstractmethod
    async def hand_back(self) -> None:
        """Return a job that was not started; another worker takes it, its wait goes on."""


class AsyncDelivery(ABC):
    """One asynchronous job in a worker's hands. Exactly one of the methods is called, once.

    Until then the queue keeps the job: a worker that dies loses nothing, another one gets it."""

    job: Job

    @abstractmethod
    async def acknowledge(self) -> None:
        """The ledger has it from here on (claimed, or known to be over): the queue forgets it."""

    @abstractmethod
    async def hand_back(self) -> None:
        """Not started: put it back into the queue, then forget this delivery. No attempt is spent."""

    @abstractmethod
    async def postpone(self, delay_s: float) -> None:
        """Over a quota, or the ledger does not answer: as `hand_back`, but not before `delay_s`."""


class Queue(ABC):
    """Carries jobs to workers: synchronous ones and their outcomes back (at most once), asynchronous ones
    until a worker acknowledges them (at least once)."""

    @abstractmethod
    def open(self) -> AbstractAsyncContextManager[None]:
        """Connect; on exit every waiting caller gets `UnavailableError`."""

    @abstractmethod
    async def call(self, job: Job) -> Outcome:
        """Queue a job and wait for its outcome.

        Raises OverloadedError at once when the queue is full, UnavailableError when it is closed.
        A job that was not taken within `job.wait_ms` comes back `expired` and is never run.
        Cancellation gives up waiting; a job that a worker already took runs to its end.
        """

    @abstractmethod
    async def take(self) -> Delivery:
        """Wait for the next job. Call it only with a free slot in hand. Safe to cancel: a job is
        either in the returned delivery or still in the queue."""

    @abstractmethod
    async def enqueue(self, job: Job, *, delay_s: float = 0.0) -> None:
        """Accept an asynchronous job (`job.terms`). When this returns, the job survives a kill -9 of
        everything.

        Raises OverloadedError when it was refused (full, alarm): it is not in the queue. Raises
        UnavailableError when no confirmation came in time: it may be in the queue or not; to enqueue
        the same job again is safe, because the ledger runs a job id once. `delay_s`: not before."""

    @abstractmethod
    async def take_async(self) -> AsyncDelivery:
        """Wait for the next asynchronous job, fairly among spaces. Call it only with a free slot in hand.
        Safe to cancel like `take`."""

    async def take_dead(self) -> AsyncDelivery:
        """Wait for the next asynchronous job that the queue gave up, because it was delivered too often and
        never acknowledged. Who takes it writes that into the ledger (`jobs.dead`), then acknowledges.
        Safe to cancel like `take`. Here: a queue that gives none up."""
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    @property
    @abstractmethod
    def waiting(self) -> int:
        """Jobs that nobody has taken yet, as far as this process knows; for gauges."""

    @property
    def problem(self) -> str | None:
        """What keeps jobs from being queued or taken now, for people; None when all is well. While there is
        one, `take` and `take_async` wait, calls and `enqueue` are refused or bounded in time."""
        return None

    async def stop_taking(self) -> None:  # noqa: B027 - nothing to do where nothing is held ahead
        """Nobody takes any more, and nothing goes on to wait for this process: what it holds ahead goes
        back to the other workers. Deliveries that were taken are settled as before."""

    @abstractmethod
    async def wait_empty(self) -> None:
        """Wait until no job is left that only workers of this process can take; returns at once for a
        queue whose jobs other workers get. For the drain of a program."""


# --- ledger -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A worker's hold on an asynchronous job: it may run it now, as attempt `attempt.number`."""

    job_id: str
    attempt: Attempt


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
    caller (ms since 1970): clocks of machines may differ, the attempt number decides who is right."""

    @abstractmethod
    async def accept(self, job: Job, *, now_ms: int) -> LedgerEntry:
        """Make the entry before the queue confirms: for jobs with an idempotency key, and for a queue that
        itself keeps nothing. Idempotent by job id, and by (space, function, idempotency key) for 24 hours:
        returns the entry that is there, which may be of another, earlier job."""

    @abstractmethod
    async def accepted(self, job: Job, *, now_ms: int) -> LedgerEntry | None:
        """What `accept` would find, without making anything."""

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
        """Begin the next attempt: makes the entry when there is none, takes over an expired lease."""

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
        self, query: LedgerQuery, *, offset: int, limit: int
    ) -> tuple[Sequence[LedgerEntry], int]:
        """One page, newest first, and the total (at least that many where many match)."""

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
        """Remove a terminal entry (`yunhan dead drop`). False: not there or not terminal. The ledger goes
        on to refuse its id until `prune`, so that no late delivery runs the job again."""

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


# --- intake -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeMessage:
    """A message of another system. Nothing in it is to be believed but `user_id`."""

    body: bytes | None = field(repr=False)
    """None: larger than a message may be, it was not even kept."""
    size: int
    """Bytes of the body."""
    user_id: str | None
    """The broker's user that sent it, as the broker itself checked it; None when it did not say."""
    message_id: str | None = None
    content_type: str | None = None
    content_encoding: str | None = None


class IntakeDelivery(ABC):
    """One such message in our hands. Exactly one of the methods is called; `refuse` again when it raised.

    Until then the broker keeps it: a gateway that dies loses nothing, another one gets it."""

    message: IntakeMessage

    @abstractmethod
    async def accept(self) -> None:
        """A job was made of it: forget it. Never raises but for cancellation; a message whose
        acknowledgement is lost comes again."""

    @abstractmethod
    async def refuse(self, reason: str, detail: str) -> None:
        """Put it to the dead letters, then forget it. Raises OursError: it is still in our hands."""

    @abstractmethod
    async def put_back(self) -> None:
        """Nothing was done with it: this or another gateway gets it again. Raises as `accept`."""


class Intake(ABC):
    """Where other systems leave messages that ask for jobs."""

    @abstractmethod
    def open(self) -> AbstractAsyncContextManager[None]:
        """Connect; what is in our hands at the exit comes again."""

    @abstractmethod
    async def take(self) -> IntakeDelivery:
        """Wait for the next message, at most so many at a time as the adapter was told. Safe to cancel.
        Raises UnavailableError when the intake is closed. Lost connections are made again meanwhile."""

    @abstractmethod
    async def stop_taking(self) -> None:
        """Nobody takes any more: `take` waits for ever, what nobody took goes back."""

    @property
    @abstractmethod
    def problem(self) -> str | None:
        """What keeps messages from coming, for people; None when all is well."""


# --- files ------------------------------------------------------------------------------------


class FileStore(ABC):
    """Immutable blobs under slash-separated keys (`code/<sha256>.zip`, ...)."""

    @abstractmethod
    async def put_file(self, key: str, source: Path) -> None:
        """Store the file's bytes; when this returns they survive kill -9. Idempotent: an existing
        key is replaced as a whole, a reader sees the old or the new bytes, never a mixture."""

    @abstractmethod
    async def get_file(self, key: str, target: Path) -> bool:
        """Write the blob to `target` (made new); False when there is no such key."""

    @abstractmethod
    def stream(self, key: str) -> AsyncIterator[bytes]:
        """The blob in chunks of at most 1 MiB. Raises NotFoundError before the first chunk."""

    @abstractmethod
    async def size(self, key: str) -> int | None:
        """Bytes, or None when there is no such key."""

    @abstractmethod
    async def delete(self, key: str) -> None:
        """Idempotent."""

    @abstractmethod
    async def list_keys(self, prefix: str) -> Sequence[str]:
        """All keys below a prefix, sorted."""


# --- control plane ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenKey:
    """A key that signs end users' tokens. `sealed` is ciphertext."""

    key_id: str
    sealed: bytes
    created_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomDomain:
    """Which space a custom domain belongs to, and the stored revision of that space."""

    domain: str
    space_id: str
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """The timer trigger of one function, as its space says it."""

    space_id: str
    function: str
    cron: str
    """As its owner wrote it."""
    set_ms: int
    """When it was set, ms since 1970: earlier ticks are none of its own."""

    @property
    def key(self) -> TimerKey:
        return (self.space_id, self.function)


TimerKey = tuple[str, str]
"""Space id and function name."""


class ControlStore(ABC):
    """Spaces (with their functions), deployments and token keys: the durable control plane."""

    @abstractmethod
    async def create_space(self, space: Space) -> None:
        """Raises ConflictError when the id exists, DomainTakenError when another space has its custom
        domain."""

    @abstractmethod
    async def read_space(self, space_id: str) -> Space | None: ...

    @abstractmethod
    async def replace_space(self, space: Space) -> None:
        """Compare-and-set: stores `space` when the stored revision is `space.revision - 1`.

        Raises ConflictError when it is another, NotFoundError when the space is gone, DomainTakenError
        when another space has its custom domain."""

    @abstractmethod
    async def custom_domains(self) -> Sequence[CustomDomain]:
        """Of all spaces that have one, in any order."""

    @abstractmethod
    async def timers(self) -> Sequence[Timer]:
        """Of all functions that have one, in any order; also of paused spaces and without code."""

    @abstractmethod
    async def delete_space(self, space_id: str) -> None:
        """The space and its deployments. Idempotent. Deployments go first, so that a crash in
        between leaves a space that can be deleted again."""

    @abstractmethod
    async def list_spaces(
        self, *, space_ids: Sequence[str] = (), offset: int, limit: int
    ) -> tuple[Sequence[Space], int]:
        """One page, newest first, and the total. `space_ids` empty = all."""

    @abstractmethod
    async def revisions(self, space_ids: Sequence[str]) -> Mapping[str, int]:
        """Stored revision of each of these spaces that exists."""

    @abstractmethod
    async def create_deployment(self, deployment: Deployment) -> None:
        """Raises ConflictError when the id exists."""

    @abstractmethod
    async def read_deployment(self, space_id: str, deployment_id: str) -> Deployment | None: ...

    @abstractmethod
    async def replace_deployment(
        self, deployment: Deployment, *, expected: DeploymentStatus
    ) -> None:
        """Compare-and-set on the status. Raises ConflictError or NotFoundError."""

    @abstractmethod
    async def list_deployments(
        self,
        space_id: str,
        *,
        function: str | None = None,
        status: DeploymentStatus | None = None,
        offset: int,
        limit: int,
    ) -> tuple[Sequence[Deployment], int]:
        """One page, newest first, and the total."""

    @abstractmethod
    async def delete_deployments(self, space_id: str, function: str) -> None:
        """All deployments of one function. Idempotent."""

    @abstractmethod
    async def digest_in_use(self, digest: str) -> bool:
        """Whether any deployment of any space still has this digest."""

    @abstractmethod
    async def token_keys(self) -> Sequence[TokenKey]:
        """All live keys, newest first."""

    @abstractmethod
    async def add_token_key(self, key: TokenKey) -> None:
        """Idempotent by `key_id`."""

    @abstractmethod
    async def delete_token_key(self, key_id: str) -> None:
        """Idempotent."""

    @abstractmethod
    async def keep_first(self, name: str, sealed: bytes) -> bytes:
        """Store a sealed value that the whole installation shares, unless there is one of this name.
        Returns the stored one: the same for every program, whoever comes first."""


# --- timers -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerState:
    """How far one timer got. Times are ms since 1970; counts are since the timer was set."""

    set_ms: int
    """Which timer this is about: `Timer.set_ms`."""
    seen_ms: int
    """Its last tick that was decided upon, whatever was decided."""
    fired: int = 0
    """Ticks that became a job."""
    missed: int = 0
    """Ticks that did not, because nobody ran the timers or no job could be made in time."""
    skipped: int = 0
    """Ticks while the space was paused or the function had no code."""
    fired_ms: int | None = None
    """The last tick that became a job, and that job."""
    job_id: str | None = None


class TimerStore(ABC):
    """Keeps the state of timers."""

    @abstractmethod
    async def states(self, space_id: str | None = None) -> Mapping[TimerKey, TimerState]:
        """Of all timers, or of those of one space; also of timers that are no more."""

    @abstractmethod
    async def replace(self, key: TimerKey, before: TimerState | None, after: TimerState) -> bool:
        """Compare-and-set: stores `after` when `before` is what is stored (None: nothing is). False:
        somebody else was here, nothing was changed."""

    @abstractmethod
    async def forget(self, key: TimerKey, state: TimerState) -> None:
        """Delete it when it is still this one. Idempotent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseMark:
    """Who holds a lease. Each change, also each renewal, has the next number."""

    holder: str
    """Empty: nobody, it was given back."""
    number: int


class LeaseStore(ABC):
    """Leases of parts of which one shall be active in the whole installation.

    It knows no time, because clocks of machines differ: a holder that is alive changes its mark, and who
    sees a mark unchanged for so long as the lease lasts, by a clock of its own, takes the lease over."""

    @abstractmethod
    async def read(self, name: str) -> LeaseMark | None:
        """None: nobody held it ever."""

    @abstractmethod
    async def change(self, name: str, before: LeaseMark | None, holder: str) -> LeaseMark | None:
        """Compare-and-set: take, renew or (`holder` empty) give back the lease when `before` is what is
        stored. Returns the new mark, None when it was not `before`."""


# --- workers ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerFacts:
    """What a worker tells of itself; for people and for the choice of a runtime, never for delivery."""

    worker_id: str
    version: str
    rung: str
    isolates: bool
    """Whether functions of different spaces may be trusted to its rung."""
    node_majors: Sequence[int]
    """Ascending."""
    slots: int
    seen_ms: int = 0
    """When it told this last, ms since 1970 by its clock."""


class WorkerRoster(ABC):
    """Which workers there are, as far as they said."""

    @abstractmethod
    async def tell(self, facts: WorkerFacts) -> None:
        """Idempotent by worker id; the last word counts."""

    @abstractmethod
    async def leave(self, worker_id: str, *, unseen_before_ms: int) -> None:
        """Forget this one, and all that told nothing since then. Idempotent."""

    @abstractmethod
    async def present(self, *, since_ms: int) -> Sequence[WorkerFacts]:
        """Those that told something since then, by id."""


# --- records and logs ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordQuery:
    """Which invocation records. None = any. Times in ms since 1970, `from_ms <= t < to_ms`."""

    space_id: str
    function: str | None = None
    request_id: str | None = None
    succeeded: bool | None = None
    level: LogLevel | None = None
    """Only records with at least one line of this level."""
    from_ms: int | None = None
    to_ms: int | None = None


class RecordStore(ABC):
    """Where invocation records are kept."""

    @abstractmethod
    async def insert(self, records: Sequence[InvocationRecord]) -> None:
        """Idempotent by request id."""

    @abstractmethod
    async def find(
        self, query: RecordQuery, *, offset: int, limit: int, newest_first: bool = True
    ) -> tuple[Sequence[InvocationRecord], int]:
        """One page by start time, and the total that matches; where many match, at least that many."""

    @abstractmethod
    async def prune(self, *, before_ms: int, keep_per_space: int) -> int:
        """Delete what is older, and the oldest of spaces with more. Returns how many went."""

    @abstractmethod
    async def delete_space(self, space_id: str) -> None:
        """All records of a space. Idempotent."""


class RecordSink(Protocol):
    """Takes records off the call path. Never blocks, never raises; what it must drop it counts."""

    def append(self, record: InvocationRecord) -> None: ...


# --- http ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """A request that the worker sends for a function. Nothing of it was checked but its types."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    response_max_bytes: int
    """Of the body, as it is after decompression."""
    timeout_s: float
    """From the look-up of the host to the last byte of the body."""
    egress: EgressRules
    """Of the function that it is sent for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponse:
    """`headers` by name in lower case; `set-cookie` is a list, others that came twice are joined."""

    status: int
    headers: Mapping[str, str | Sequence[str]]
    body: bytes


@dataclass(slots=True, kw_only=True)
class HttpTraffic:
    """What requests that the worker sends for one invocation move, while they move it: one that fails or
    is still under way has counted what it did so far."""

    connections: int = 0
    refused: int = 0
    bytes_moved: int = 0
    """Heads and bodies as HTTP sends them, both ways, without TLS and the framing of chunks."""


class HttpClient(ABC):
    """Sends requests to where functions may go, and nowhere else."""

    @abstractmethod
    async def send(self, request: HttpRequest, traffic: HttpTraffic) -> HttpResponse:
        """Send it once; a redirect is an answer like any other. Nothing is kept for the next request: no
        connection, no cookie. Adds to `traffic`, whatever the end. Raises TargetRefusedError, and CallerError
        for a request that is none, a host that cannot be reached, an answer that is too large or too late."""
