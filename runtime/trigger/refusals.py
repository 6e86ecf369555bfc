"""Refusals of requests that break a rule of triggers: status, code and message."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.errors import CallerError

METHODS = ("GET", "POST", "PUT", "DELETE")
BODY_ENCODINGS = ("gzip", "deflate")
"""Compressions of a request body that the gateway takes off (`runtime.gateway.bodies`)."""
_QUOTED_MAX_CHARACTERS = 100


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
        message=f"the HTTP triggers of space {_quoted(space_id)} are switched off;"
        f" its owner can switch them on (yunhan trigger on {space_id})",
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
        message=f"the request body has more than {max_bytes} bytes, the limit of this space"
        " (yunhan trigger limits)",
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


def wrong_invocation(value: str) -> Refusal:
    """The field `x-yunhan-invocation` asks for something that there is not."""
    return Refusal(
        status=400,
        code="InvalidInvocation.Format",
        message=f"x-yunhan-invocation is sync or async, not {_quoted(value)}",
    )


def no_async(function: str) -> Refusal:
    """Strangers may not fill a queue unless the function's owner wants it."""
    return Refusal(
        status=400,
        code="AsyncInvocation.NotAllowed",
        message=f"function {function} answers requests only while they wait; its owner can allow jobs"
        f" (yunhan function set {function} --space SPACE --http-async)",
    )


def _quoted(text: str) -> str:
    return repr(text[:_QUOTED_MAX_CHARACTERS])
