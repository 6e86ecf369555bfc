"""The messages of the way of a job. Frozen: a change is a copy (`dataclasses.replace`).

Job -> (queue, worker, sandbox) -> Outcome, and beside it one InvocationRecord.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sandbox.api import INHERITED, Blame, EgressRules, Fault, LogLine, OutcomeKind


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


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationRecord:
    """One document per invocation: outcome, bill and log lines. Kept, queried and deleted as one."""

    request_id: str
    job_id: str
    space_id: str
    function: str
    deployment_id: str
    source: Source
    started_ms: int
    """Wall clock, ms since 1970, when the worker took the job."""
    kind: OutcomeKind
    fault: Fault | None
    bill: Bill
    lines: tuple[LogLine, ...]
    lines_cut: bool
    parent_request_id: str | None = None

    @classmethod
    def of(
        cls,
        job: Job,
        outcome: Outcome,
        *,
        started_ms: int,
        lines: tuple[LogLine, ...],
        lines_cut: bool = False,
    ) -> InvocationRecord:
        """The record of a job that ended like this."""
        return cls(
            request_id=job.request_id,
            job_id=job.job_id,
            space_id=job.space_id,
            function=job.function,
            deployment_id=job.code.deployment_id,
            source=job.source,
            started_ms=started_ms,
            kind=outcome.kind,
            fault=outcome.fault,
            bill=outcome.bill,
            lines=lines,
            lines_cut=lines_cut,
            parent_request_id=job.parent_request_id,
        )


class EgressMode(StrEnum):
    """What holds beside the own rules of a space or a function."""

    INHERIT = "inherit"
    """What the level above may reach: of a function its space, of a space the installation."""
    NONE = "none"
    """Nothing: only what own rules (and for a space those of its functions) name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressConfig:
    """What a space or a function says about its network."""

    mode: EgressMode = EgressMode.INHERIT
    allow: tuple[str, ...] = ()
    """Rules as `sandbox.egress.rules` prints them, each once, in the order of their adding."""


EGRESS_INHERITED = EgressConfig()
"""Of a space or a function that says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AsyncConfig:
    """What a function says about its asynchronous jobs (`AsyncTerms`); None = the installation's default.
    Jobs that were accepted before keep the terms that they were accepted with. Seconds."""

    attempts_max: int | None = None
    backoff_first_s: float | None = None
    backoff_longest_s: float | None = None
    retry_function: bool = False
    http: bool = False
    """Whether a request to its HTTP trigger may ask for a job instead of an answer."""


ASYNC_DEFAULTS = AsyncConfig()
"""Of a function that says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function of a space: its settings and the live deployment. Times in ms since 1970.

    `env_sealed` holds its environment variables, ciphertext (`services.sealed_env`); empty = none.
    """

    name: str
    desc: str = ""
    runtime: str = "nodejs14"
    timeout_s: int = 5
    memory_mb: int = 256
    concurrency: int = 1
    http_path: str = ""
    timer_cron: str = ""
    timer_payload: str = ""
    timer_set_ms: int = 0
    """When `timer_cron` was changed last: its ticks count from there."""
    env_sealed: bytes = field(default=b"", repr=False)
    egress: EgressConfig = EGRESS_INHERITED
    asynchronous: AsyncConfig = ASYNC_DEFAULTS
    created_ms: int = 0
    modified_ms: int = 0
    live_deployment_id: str | None = None
    live_digest: str | None = None


class SpaceStatus(StrEnum):
    """A paused space refuses calls; its administration goes on."""

    RUNNING = "RUNNING"
    PAUSED = "PAUSED"


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpTriggerConfig:
    """What a space says about its HTTP triggers (spec: management API §5).

    `custom_domain` is a host name in lower case, empty for none; no two spaces have the same. Its
    certificate may be missing: a proxy before us may have it. The key is ciphertext (`runtime.sealing`).
    Bounds of bodies in bytes; None = the installation's default.
    """

    enabled: bool = False
    custom_domain: str = ""
    certificate_pem: str = ""
    certificate_key_sealed: bytes = field(default=b"", repr=False)
    request_max_bytes: int | None = None
    response_max_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """A tenant with all its functions: the one aggregate of the control plane.

    Every change to a space or one of its functions replaces the whole value under the next
    `revision` (compare-and-set), so that a cache needs to compare one number.
    `client_secret_sealed` and `private_key_sealed` are ciphertext (see `runtime.sealing`).
    """

    space_id: str
    name: str
    desc: str = ""
    status: SpaceStatus = SpaceStatus.RUNNING
    client_secret_sealed: bytes = field(repr=False)
    private_key_sealed: bytes = field(repr=False)
    public_key_pem: str
    created_ms: int
    modified_ms: int
    revision: int = 1
    functions: Mapping[str, Function] = field(default_factory=dict)
    http_triggers: HttpTriggerConfig = field(default_factory=HttpTriggerConfig)
    egress: EgressConfig = EGRESS_INHERITED


class DeploymentStatus(StrEnum):
    """States of a deployment; the last two are the original's filter values."""

    CREATED = "CREATED"
    UPLOADED = "UPLOADED"
    DEPLOY_SUCCESS = "DEPLOY_SUCCESS"
    DEPLOY_FAILED = "DEPLOY_FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One immutable code package of a function. `digest` is set once, with the upload."""

    deployment_id: str
    space_id: str
    function: str
    version_no: str
    status: DeploymentStatus = DeploymentStatus.CREATED
    digest: str | None = None
    size_bytes: int = 0
    failure: str = ""
    """Why the upload was refused; for people."""
    created_ms: int
    modified_ms: int
