"""The sandbox's ports and the values that cross them.

A *sandbox* is a live isolated Node.js process. A `Spawner` makes them (one adapter per rung of
isolation, `sandbox/spawners/`), a `Sandbox` is bound once to one deployment of one space and then
runs invocations until it dies. Nothing here does I/O.

The way of a sandbox::

    Spawner.spawn(spec) -> Sandbox            process up, bootstrap connected, no user code
    Sandbox.bind(binding, ...)                user module loaded, once
    Sandbox.run(invocation, ...)  -> Ending   any number of times
    Sandbox.stop()                            killed, nothing left behind
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol


class Blame(StrEnum):
    """Who has to act when something did not end well."""

    CALLER = "caller"
    FUNCTION = "function"
    OURS = "ours"


class OutcomeKind(StrEnum):
    """How an invocation ended: the stable vocabulary of records, errors and metrics."""

    OK = "ok"
    FUNCTION_ERROR = "function_error"
    OUT_OF_MEMORY = "out_of_memory"
    EXITED = "exited"
    CRASHED = "crashed"
    NO_RESULT = "no_result"
    RESULT_NOT_SERIALIZABLE = "result_not_serializable"
    RESULT_TOO_LARGE = "result_too_large"
    PROTOCOL_ERROR = "protocol_error"
    TIMEOUT = "timeout"
    SANDBOX_LOST = "sandbox_lost"
    WORKER_LOST = "worker_lost"
    EXPIRED = "expired"
    REFUSED = "refused"
    CANCELLED = "cancelled"

    @property
    def blame(self) -> Blame | None:
        """Who caused it; None for `ok`."""
        if self is OutcomeKind.OK:
            return None
        if self is OutcomeKind.CANCELLED:
            return Blame.CALLER
        return Blame.OURS if self in _OURS else Blame.FUNCTION


_OURS = frozenset(
    {
        OutcomeKind.SANDBOX_LOST,
        OutcomeKind.WORKER_LOST,
        OutcomeKind.EXPIRED,
        OutcomeKind.REFUSED,
    }
)


class LogLevel(StrEnum):
    """Level of one log line of a function."""

    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line of a function's log. `time_ms` is the sandbox's clock, ms since 1970."""

    level: LogLevel
    time_ms: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What went wrong, as the function's author would want to read it.

    `code` is the thrown error's own `code` as text, if it had one; `stack` has no bootstrap frames.
    """

    name: str
    message: str
    code: str | None = None
    stack: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What an invocation used inside its sandbox. None = not known: the sandbox died first, or, for egress,
    its rung has no gate that could count."""

    run_ms: float | None = None
    cpu_ms: float | None = None
    peak_memory_mb: float | None = None
    egress_connections: int | None = None
    egress_refused: int | None = None
    egress_bytes: int | None = None
    """Both ways. What invocations at the same time in one sandbox do is counted for each of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How one bind or one run ended.

    `value` is JSON text (UTF-8), present exactly when `kind` is `ok` and it was a run.
    `fault` is present exactly when `kind` is not `ok`.
    `reusable` is False when the sandbox must not take another invocation.
    """

    kind: OutcomeKind
    value: bytes | None = None
    fault: Fault | None = None
    usage: Usage = field(default_factory=Usage)
    reusable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds that hold inside one sandbox. Sizes in bytes, times in seconds."""

    result_max_bytes: int = 6 * 1024 * 1024
    call_max_bytes: int = 16 * 1024 * 1024
    calls_in_flight_max: int = 100
    calls_max_bytes: int = 32 * 1024 * 1024
    """Service calls and answers to them, of one sandbox, that the worker holds; see `sandbox.call_budget`."""
    calls_worker_max_bytes: int = 256 * 1024 * 1024
    """The same of all sandboxes of a worker."""
    log_line_max_bytes: int = 32 * 1024
    log_lines_max: int = 1000
    log_max_bytes: int = 256 * 1024
    load_timeout_s: float = 10.0
    start_timeout_s: float = 10.0
    stop_grace_s: float = 2.0
    pause_after_s: float = 0.1
    """What a function left running (timers, child processes) goes on so long after its last invocation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSpec:
    """What to start: one generic sandbox without user code.

    `sandbox_id` is unique in this worker and safe as a file name; `node_major` is an installed
    version; `memory_mb` bounds the process where the rung can bound it (and V8's heap everywhere).
    """

    sandbox_id: str
    node_major: int
    memory_mb: int
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class EgressRules:
    """What one function may reach, beside or instead of what the worker lets everybody reach."""

    inherit: bool = True
    """False: nothing but what `allow` names."""
    allow: tuple[str, ...] = ()
    """Each one rule, as `sandbox.egress.rules` reads it."""


INHERITED = EgressRules()
"""Of a function that has no rules of its own, nor has its space."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileHosts:
    """Where files are: as their addresses say, and where a sandbox of this worker reaches them. URLs without
    a slash at the end. Below both are the same paths."""

    public: str
    internal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What a sandbox belongs to from now on. `code_dir` is absolute, unpacked and read-only.

    `env` are the function's own environment variables; they become `process.env` before its code loads.
    `egress` holds on rungs that have a gate, from the loading of its code on. `files` is None where public
    addresses of files need no other way.
    """

    space_id: str
    function: str
    deployment_id: str
    code_dir: Path
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    egress: EgressRules = INHERITED
    files: FileHosts | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WechatUser:
    """The user of a WeChat mini program behind an invocation; becomes `event.userInfo`."""

    open_id: str
    app_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """One attempt at a job, as the sandbox sees it.

    `args` is JSON text (UTF-8) and becomes `ctx.args`; `env` becomes `ctx.env` (the MP_* keys);
    `timeout_s` counts from the start of the function. `trigger_path` is the matched path of an HTTP
    trigger (spec: functions (c)), None for every other source. `user` is None for everybody but
    users of WeChat. `request_id` is unique among the runs under way in one sandbox.
    """

    request_id: str
    args: bytes
    env: Mapping[str, str]
    timeout_s: float
    trigger_path: str | None = None
    user: WechatUser | None = None


class InvocationHost(Protocol):
    """What an invocation may reach outside its sandbox, while it runs."""

    def on_log(self, lines: Sequence[LogLine], *, cut: bool) -> None:
        """Lines in order. `cut` = the sandbox dropped lines or text beyond the bounds. Must not block."""

    async def on_call(self, method: str, params: bytes, *, user_id: str | None = None) -> bytes:
        """Answer one service call of `ctx.mpserverless`.

        `method` is a wire method name (spec: server protocol §4), `params` the JSON text of its
        parameters (empty = none), as the sandbox sent them: both are unchecked, and a hostile
        function chooses them freely. `user_id` is set when the function asked to act as that user
        (`setUserId`).
        Returns the JSON text of the envelope ``{"success": ..., "data" | "error": ...,
        "requestId": ...}``; never raises but for cancellation, which comes when the invocation ends.
        """


class SandboxError(Exception):
    """Our own failure to provide a sandbox (never the function's). `what_next` says what to do."""

    def __init__(self, message: str, *, what_next: str = "") -> None:
        super().__init__(f"{message} {what_next}".strip())
        self.what_next = what_next


class Sandbox(ABC):
    """A live isolated Node process."""

    spec: SandboxSpec

    @property
    @abstractmethod
    def alive(self) -> bool:
        """False from the moment its process ended or `stop` was called."""

    @abstractmethod
    async def bind(self, binding: Binding, *, request_id: str, host: InvocationHost) -> Ending:
        """Load the user's module; log lines go to `host` under `request_id`.

        Ends `ok`, or like a run when loading failed (`function_error` for a throw, `timeout` after
        `limits.load_timeout_s`, `exited`, ...); a sandbox whose bind was not `ok` is not reusable.
        Called once; a second call raises RuntimeError. Cancellation kills the sandbox.
        """

    @abstractmethod
    async def run(self, invocation: Invocation, host: InvocationHost) -> Ending:
        """Run the bound function once. Several runs may be under way at the same time.

        Never raises for what the function did: every path ends in one `Ending`. When the time limit
        passes the sandbox is killed: this run ends `timeout`, its neighbours `sandbox_lost`.
        All log lines of the run were handed to `host` before this returns.
        Cancellation kills the sandbox and is re-raised.
        """

    @abstractmethod
    async def stop(self) -> None:
        """Kill the process and everything it started, remove its files. Idempotent."""

    @abstractmethod
    async def wait_ended(self) -> None:
        """Return when the process is gone (at once if it already is)."""


class Spawner(ABC):
    """Makes sandboxes of one rung of isolation."""

    rung: str
    """Name of the rung, as in YUNHAN_SANDBOX."""
    isolates: bool
    """Whether functions of different spaces may be trusted to this rung."""

    @property
    def weaknesses(self) -> Sequence[str]:
        """What is weaker here than this rung can be, one sentence each. After `start`."""
        return ()

    @abstractmethod
    async def start(self) -> None:
        """Check that this rung works here and remove leftovers of a dead worker. Raises SandboxError."""

    @abstractmethod
    async def spawn(self, spec: SandboxSpec) -> Sandbox:
        """Start one sandbox, ready to bind. Raises SandboxError. Cancellation leaves nothing behind."""

    @abstractmethod
    async def stop(self) -> None:
        """Stop every sandbox that this spawner made. Idempotent."""

    @abstractmethod
    def node_majors(self) -> Sequence[int]:
        """Installed Node.js versions, ascending; never empty after `start`."""
