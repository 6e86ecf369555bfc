"""What a failed invocation is called towards the SDKs (spec: functions (g))."""

from __future__ import annotations

from runtime.errors import OursError, OverloadedError, TooManyRequestsError, YunhanError
from runtime.messages import Outcome
from sandbox.api import Blame, Fault, OutcomeKind

BIZ_ERROR = "FunctionBizError"
TIMEOUT = "RequestTimeout"
SERVER_ERROR = "FunctionServerError"
THROTTLED = "Throttling.Api.Concurrency"
TOO_MANY = "Throttling.Api"
EXHAUSTED = "FunctionResourceExhausted"
CANCELLED = "RequestCancelled"

_CODES = {
    OutcomeKind.TIMEOUT: TIMEOUT,
    OutcomeKind.SANDBOX_LOST: SERVER_ERROR,
    OutcomeKind.WORKER_LOST: SERVER_ERROR,
    OutcomeKind.EXPIRED: SERVER_ERROR,
    OutcomeKind.REFUSED: THROTTLED,
    OutcomeKind.CANCELLED: CANCELLED,
}
"""Every other kind is the function's fault: `BIZ_ERROR`, never the thrown error's own code."""

_TEXTS = {
    OutcomeKind.SANDBOX_LOST: "the function's process was lost on our side; try again",
    OutcomeKind.WORKER_LOST: "the program that ran the function was lost; it may or may not have run",
    OutcomeKind.TIMEOUT: "the function did not finish within its time limit",
    OutcomeKind.OUT_OF_MEMORY: "the function used more memory than its limit",
    OutcomeKind.EXITED: "the function ended its process",
    OutcomeKind.CRASHED: "the function's process crashed",
    OutcomeKind.NO_RESULT: "the function ended without a result",
    OutcomeKind.EXPIRED: "the call waited too long for a free slot and was not run; try again",
    OutcomeKind.REFUSED: "the server is busy; try again",
    OutcomeKind.CANCELLED: "the call was given up",
}


def sdk_error(outcome: Outcome, *, to_operator: bool = False) -> tuple[str, str]:
    """Code and message of a failed outcome. A stack is never part of it; what failed on our side may name
    files, machines and settings, and is told to operators (the management side) only: log and record have
    it under the request id.

    A thrown error that has a code of its own shows it as `code:message`. Raises ValueError for `ok`.
    """
    if outcome.ok:
        raise ValueError(f"invocation {outcome.request_id} did not fail")
    fault = outcome.fault
    if fault is None:
        return _code(outcome, None), _text(outcome.kind)
    if outcome.kind is OutcomeKind.FUNCTION_ERROR:
        return BIZ_ERROR, f"{fault.code}:{fault.message}" if fault.code else fault.message
    if outcome.blame is Blame.OURS and not to_operator:
        return _code(outcome, fault), f"{_text(outcome.kind)} (request {outcome.request_id})"
    return _code(outcome, fault), fault.message or _text(outcome.kind)


def told_to_strangers(error: YunhanError, request_id: str) -> str:
    """The message of an error for callers that are no operators: what went wrong on our side may name files,
    machines and settings. Whoever answers with it logs the rest under the request id."""
    if not isinstance(error, OursError) or isinstance(error, TooManyRequestsError):
        return error.message
    if isinstance(error, OverloadedError):
        return f"the server is busy; try again in a moment (request {request_id})"
    return f"the call failed on our side; try again (request {request_id})"


def _code(outcome: Outcome, fault: Fault | None) -> str:
    if outcome.kind is OutcomeKind.REFUSED and fault is not None and fault.code == EXHAUSTED:
        return EXHAUSTED
    return _CODES.get(outcome.kind, BIZ_ERROR)


def _text(kind: OutcomeKind) -> str:
    return _TEXTS.get(kind, f"the call ended with {kind.value}")
