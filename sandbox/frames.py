"""The frames of the channel as typed values (node_bootstrap/PROTOCOL.md).

Their header is written and read by `sandbox.frame_codec`, their lengths by `sandbox.protocol`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from sandbox.api import Fault, FileHosts, Limits, OutcomeKind, Usage, WechatUser

PROTOCOL_VERSION = 1

UNGRANTED_MAX_BYTES = 64 * 1024
"""A call with longer parameters is sent after a `Grant`."""


class FrameError(Exception):
    """The peer broke the protocol. `code` is one of the names in tests/frames/golden.json."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


# --- worker to sandbox ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """The sandbox belongs to this deployment from now on. Only sizes and counts of `limits` travel.

    `env` are the function's environment variables, `files` where `ctx.httpclient` finds files."""

    id: str
    space: str
    function: str
    deployment: str
    code_dir: str
    limits: Limits
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    files: FileHosts | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoke:
    """Run the function once. `args` empty = none given."""

    id: str
    env: Mapping[str, str]
    timeout_ms: int
    args: bytes = b""
    trigger_path: str | None = None
    user: WechatUser | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The answer to a `Call`."""

    id: str
    call: int
    envelope: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The answer to a `Reserve`: the call may be sent."""

    id: str
    call: int


# --- sandbox to worker ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """The bootstrap is up. `node` is its version text, `pid` as the sandbox sees it."""

    protocol: int
    node: str
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """The user's module is loaded, or why not."""

    id: str
    load_ms: float | None = None
    fault: Fault | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """Log lines in order, as `sandbox.log_lines` reads them. `lines` is not looked into here."""

    id: str
    cut: bool
    lines: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserve:
    """Asks for room for the parameters of a `Call` that is to come, `size` bytes."""

    id: str
    call: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A service call. `params` is not looked into here."""

    id: str
    call: int
    method: str
    params: bytes
    user_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exiting:
    """The process is about to end. `id` is the invocation whose code ends it, None = not known; `code` is its
    exit code, None = a signal."""

    id: str | None
    code: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """An invocation ended inside the sandbox. `value` is not looked into here."""

    id: str
    kind: OutcomeKind = OutcomeKind.OK
    value: bytes = b""
    fault: Fault | None = None
    usage: Usage = field(default_factory=Usage)
    recycle: bool = False


WorkerFrame: TypeAlias = Bind | Invoke | Reply | Grant
SandboxFrame: TypeAlias = Hello | Bound | Log | Reserve | Call | Exiting | Result
Frame: TypeAlias = WorkerFrame | SandboxFrame
