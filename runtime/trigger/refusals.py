"""Answers to requests that got no answer from a function: status, code and body, in one place.

429 and 503 say that the function was not run, so that repeating is safe. 502 and 504 say that it was, or may
have been: the code in the body tells whether it or we failed.
"""

from __future__ import annotations

from dataclasses import dataclass

from runtime.errors import CallerError, NotFoundError, OursError, YunhanError
from runtime.messages import Outcome
from runtime.services import envelope, sdk_errors
from runtime.trigger.response import ATTACHMENT, JSON_TYPE, BadResponse, TriggerResponse
from sandbox.api import OutcomeKind

METHODS = ("GET", "POST", "PUT", "DELETE")
BODY_ENCODINGS = ("gzip", "deflate")
"""Compressions that the HTTP server takes off; what it knows beyond depends on its installation."""
MESSAGE_MAX_CHARACTERS = 500

_QUOTED_MAX_CHARACTERS = 100

_STATUS_OF_CODE = {
    "RequestContentLength.Exceeded": 413,
    "RequestTimeout": 408,  # the request's own bytes came too slowly
}
_STATUS_OF_KIND = {
    OutcomeKind.TIMEOUT: 504,
    OutcomeKind.EXPIRED: 503,
    OutcomeKind.REFUSED: 503,
}
"""Every other kind is 502."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """`headers` are those that belong to the status; lower-case names."""

    status: int
    code: str
    message: str
    headers: tuple[tuple[str, str], ...] = ()


class RefusedError(CallerError):
    """A request that breaks a rule of triggers; carries its answer."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code, refusal.message)
        self.refusal = refusal


def unknown_path(path: str) -> Refusal:
    """`path` is what the request named."""
    return Refusal(
        status=404,
        code="InvalidHttpTriggerPath.NotFound",
        message=f"no function of this space has an HTTP trigger for {_quoted(path)}",
    )


def switched_off(space_id: str) -> Refusal:
    """The space's triggers are off (`UpdateHttpTriggerConfig`)."""
    return Refusal(
        status=404,
        code="InvalidSpace.NotInService",
        message=f"the HTTP triggers of space {_quoted(space_id)} are switched off",
    )


def wrong_method(method: str) -> Refusal:
    """Also for HEAD and OPTIONS: a function answers the methods of the guide only."""
    allowed = ", ".join(METHODS)
    return Refusal(
        status=405,
        code="InvalidMethod.Format",
        message=f"HTTP triggers answer {allowed}, not {_quoted(method)}",
        headers=(("allow", allowed),),
    )


def body_too_large(max_bytes: int) -> Refusal:
    """The request's body passed its bound while it was read."""
    return Refusal(
        status=413,
        code="RequestContentLength.Exceeded",
        message=f"the request body has more than {max_bytes} bytes",
    )


def wrong_content_type(content_type: str | None) -> Refusal:
    """`content_type` is the field, None when there was none."""
    given = "none" if content_type is None else _quoted(content_type)
    return Refusal(
        status=415,
        code="InvalidRequestContentType",
        message="a body must be application/json, application/x-www-form-urlencoded or text/*;"
        f" its content-type is {given}",
    )


def wrong_content_encoding(content_encoding: str | None) -> Refusal:
    """A compression that we do not take off; the answer names those that we do (RFC 9110, 15.5.16)."""
    encodings = ", ".join(BODY_ENCODINGS)
    return Refusal(
        status=415,
        code="InvalidRequestContentType",
        message=f"a body may be compressed by {encodings}, not {_quoted(content_encoding or '')}",
        headers=(("accept-encoding", encodings),),
    )


def internal() -> Refusal:
    """A defect of ours; the log has the rest."""
    return Refusal(status=500, code="InternalError", message="the request failed on our side")


def of_error(error: YunhanError) -> Refusal:
    """The answer to a request that raised before its function ran."""
    if isinstance(error, RefusedError):
        return error.refusal
    if isinstance(error, OursError):
        return _try_again(error.code, error.message, error.retry_after_s)
    status = 404 if isinstance(error, NotFoundError) else _STATUS_OF_CODE.get(error.code, 400)
    return Refusal(status=status, code=error.code, message=error.message)


def of_outcome(outcome: Outcome, *, retry_after_s: int = 1) -> Refusal:
    """The answer to a failed outcome. Raises ValueError for `ok`."""
    code, message = sdk_errors.sdk_error(outcome)
    status = _STATUS_OF_KIND.get(outcome.kind, 502)
    if status == 503:
        return _try_again(code, message, retry_after_s)
    return Refusal(status=status, code=code, message=message)


def of_bad_response(bad: BadResponse) -> Refusal:
    """The answer when what the function returned cannot be sent."""
    return Refusal(status=502, code=bad.code, message=bad.message)


def refusal_body(code: str, message: str, request_id: str) -> bytes:
    """The JSON text of every refusal. A function's error message is cut: it is not bounded like a body."""
    if len(message) > MESSAGE_MAX_CHARACTERS:
        message = f"{message[: MESSAGE_MAX_CHARACTERS - 1]}…"
    return envelope.failure(code, message, request_id=request_id)


def refusal_response(
    refusal: Refusal, request_id: str, *, may_override_disposition: bool
) -> TriggerResponse:
    """The whole answer, in the same form as a function's."""
    disposition = () if may_override_disposition else (ATTACHMENT,)
    return TriggerResponse(
        status=refusal.status,
        headers=(("content-type", JSON_TYPE), *refusal.headers, *disposition),
        body=refusal_body(refusal.code, refusal.message, request_id),
    )


def _try_again(code: str, message: str, retry_after_s: int | None) -> Refusal:
    """Too many calls are 429, everything else that passes is 503."""
    headers = () if retry_after_s is None else (("retry-after", str(retry_after_s)),)
    status = 429 if code == sdk_errors.THROTTLED else 503
    return Refusal(status=status, code=code, message=message, headers=headers)


def _quoted(text: str) -> str:
    return repr(text[:_QUOTED_MAX_CHARACTERS])
