"""A job and its outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sandbox.api import INHERITED, Blame, EgressRules, Fault, OutcomeKind


class Source(StrEnum):
    """Where a job came from; the value is what a function reads in `ctx.env.MP_SOURCE`."""

    CLIENT = "client"
    SERVER = "server"
    FUNCTION = "function"
    HTTP = "http"
    TIMING = "timing"


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionLimits:
    """Limits of one function, as they hold for one job."""

    timeout_s: float = 5.0
    memory_mb: int = 256
    concurrency: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """Which immutable code runs: the deployment and the SHA-256 (hex) of its zip."""

    deployment_id: str
    digest: str
    runtime: str = "nodejs14"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The end user behind a call. All None: nobody (trigger, timer, management)."""

    user_id: str | None = None
    app_id: str | None = None
    provider: str | None = None
    open_id: str | None = None
    """What the platform calls this user; None for anonymous users."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AsyncTerms:
    """What was promised for an asynchronous job when it was accepted (design decision 8).

    Only endings with our blame are tried again, unless `retry_function` says otherwise; a time-out is the
    function's. Seconds; `accepted_ms` is wall clock, ms since 1970."""

    accepted_ms: int
    attempts_max: int = 3
    backoff_first_s: float = 2.0
    """Before the second attempt; doubled for each further one, up to `backoff_longest_s`."""
    backoff_longest_s: float = 300.0
    retry_function: bool = False
    """Also try again what ended with the function's blame."""
    keep_s: float = 86_400.0
    """A job that no worker could start for so long is `expired`."""
    idempotency_key: str | None = None
    fingerprint: str | None = None
    """Of the arguments, when there is a key: so the same key with others is noticed."""
    replay_of: str | None = None
    """The job that this one repeats (`yunhan dead replay`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBytes:
    """Arguments or a result that an asynchronous job has in the file store (`runtime.jobs.files`)."""

    key: str
    size: int
    digest: str
    """SHA-256, hex."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A request to run a function. Carries everything a worker needs, so that it asks nobody."""

    job_id: str
    request_id: str
    space_id: str
    function: str
    code: Code
    limits: FunctionLimits
    args: bytes
    """JSON text (UTF-8) that becomes `ctx.args`; empty while `args_stored` says where it is."""
    source: Source
    env_sealed: bytes = field(default=b"", repr=False)
    """The function's environment variables as they were at acceptance, ciphertext
    (`services.sealed_env`): a queue never carries them in the clear. Empty = none."""
    egress: EgressRules = INHERITED
    """What the function may reach, as its space and itself said at acceptance."""
    space_revision: int = 0
    """Of the space as it was at acceptance: a worker that knows an older one reads it again first, so that
    a change is seen by all that comes after it, whichever programs it passes. 0 = not known."""
    trigger_path: str | None = None
    """The path of the HTTP trigger that matched; None from anywhere else."""
    principal: Principal = field(default_factory=Principal)
    client_ip: str | None = None
    user_agent: str | None = None
    depth: int = 0
    """0 for a call from outside, parent's depth + 1 for a call by a function."""
    parent_request_id: str | None = None
    wait_ms: int = 30_000
    """How long the job may wait before it starts, counted by whoever holds it; then it is `expired`.
    Of synchronous jobs; an asynchronous one waits as its terms say."""
    terms: AsyncTerms | None = None
    """None = a synchronous job: somebody waits for its outcome."""
    args_stored: StoredBytes | None = None
    """Of an asynchronous job with large arguments, until a worker has claimed it."""

    def function_env(self) -> dict[str, str]:
        """The `MP_*` keys of `ctx.env` (spec: functions (a)): absent keys are absent."""
        env = {"MP_SPACE_ID": self.space_id, "MP_SOURCE": self.source.value}
        if self.source is Source.CLIENT:
            if self.user_agent:
                env["MP_USER_AGENT"] = self.user_agent
            if self.client_ip:
                env["MP_CLIENT_IP"] = self.client_ip
            if self.principal.app_id and self.principal.provider:
                env["MP_APP_ID"] = self.principal.app_id
        return env


class CallKind(StrEnum):
    """What a service call of a function is for; the value stands in records and answers."""

    FUNCTION = "function"
    DB = "db"
    FILE = "file"
    USER = "user"
    HTTP = "http"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What an invocation cost. Milliseconds, megabytes and bytes; None = not known."""

    queue_ms: float = 0.0
    """From acceptance to the lease of a sandbox's slot."""
    cold: bool = False
    """True when a sandbox was started or loaded for this invocation."""
    start_ms: float = 0.0
    """Waiting for a sandbox: start, code fetch and load (0 when warm)."""
    load_ms: float | None = None
    """The part of `start_ms` in which the function's modules loaded; None when warm, too."""
    run_ms: float = 0.0
    """0 when the function never began to run."""
    cpu_ms: float | None = None
    peak_memory_mb: float | None = None
    egress_connections: int | None = None
    """Connections that were made out of the sandbox, while loading and running, and by the worker for
    `httpProxyClient`; None where nothing counts them (`sandbox.api.Usage`)."""
    egress_refused: int | None = None
    egress_bytes: int | None = None
    """Both ways."""
    calls: Mapping[CallKind, int] | None = None
    """Service calls that the function made; kinds without any are absent. None in records of versions
    that did not count, and for jobs that no worker took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an invocation ended: exactly one per job on every path.

    `value` is JSON text, present exactly when `kind` is `ok`; `fault` exactly when it is not. In the ledger
    `value_stored` may stand in its place.
    """

    request_id: str
    kind: OutcomeKind
    value: bytes | None = None
    fault: Fault | None = None
    bill: Bill = field(default_factory=Bill)
    value_stored: StoredBytes | None = None

    @property
    def ok(self) -> bool:
        return self.kind is OutcomeKind.OK

    @property
    def blame(self) -> Blame | None:
        return self.kind.blame
