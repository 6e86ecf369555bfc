"""Every port of the runtime. Each adapter is one file in `runtime/backends`, chosen in `wiring`.

Conventions: methods are coroutines unless said otherwise; cancellation is never swallowed; a part that
cannot be reached raises `UnavailableError`; a missing thing is `None` where the return type says so.
A port's rules are written as a contract suite in `runtime/testing`, which every adapter must pass.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from runtime.messages import (
    Deployment,
    DeploymentStatus,
    InvocationRecord,
    Job,
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


class Queue(ABC):
    """Carries synchronous jobs to workers and outcomes back (at most once)."""

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

    @property
    @abstractmethod
    def waiting(self) -> int:
        """Jobs that nobody has taken yet, as far as this process knows; for gauges."""

    @abstractmethod
    async def wait_empty(self) -> None:
        """Wait until no job is left that only workers of this process can take; returns at once for a
        queue whose jobs other workers get. For the drain of a program."""


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
