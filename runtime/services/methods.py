"""The wire methods of the SDKs: which exist, which are built, and their parameters.

One table for `/client`, `/server` and the channel of a sandbox, so that they cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runtime.errors import CallerError, InvalidParameterError
from runtime.messages import CallKind
from runtime.services.async_terms import read_key
from sandbox.json_text import parse_json, write_json

ANONYMOUS_AUTHORIZE = "serverless.auth.user.anonymousAuthorize"
AUTHORIZE = "serverless.auth.user.authorize"
INVOKE = "serverless.function.runtime.invoke"
HTTP_REQUEST = "serverless.http.proxy.request"
GET_PROFILE = "serverless.auth.user.getProfileInfo"
DATABASE = "serverless.db.default.execute"
FILE_SIGN = "serverless.file.resource.generateProximalSign"
FILE_REPORT = "serverless.file.resource.report"
FILE_INFO = "serverless.file.resource.info"
FILE_DELETE = "serverless.file.resource.delete"
REDIS = "serverless.redis.cli"

WITHOUT_TOKEN = frozenset({ANONYMOUS_AUTHORIZE, AUTHORIZE})
"""Methods that a client calls before it has a token."""

_OF_BACKENDS = frozenset({HTTP_REQUEST, REDIS})
"""Methods of functions and backends that clients may not call."""

_UNBUILT = frozenset({"inner.method.billing.report"})
"""Methods that the SDKs send and nobody serves here."""


_KINDS = (
    ("serverless.function.", CallKind.FUNCTION),
    ("serverless.db.", CallKind.DB),
    ("serverless.file.", CallKind.FILE),
    ("serverless.auth.", CallKind.USER),
    ("serverless.http.", CallKind.HTTP),
)


def kind_of(method: str) -> CallKind:
    """What a method is for; `other` for anything that is no method, too."""
    return next((kind for prefix, kind in _KINDS if method.startswith(prefix)), CallKind.OTHER)


def unserved(method: str) -> CallerError:
    """The error for a method that is not served, or not to this caller."""
    if method in _OF_BACKENDS:
        return CallerError(
            "ServiceNotAvailable", f"{method} is for functions and backends, not for clients"
        )
    if method in _UNBUILT:
        return CallerError("ServiceNotAvailable", f"{method} is not available in Yunhan")
    return CallerError("InvalidMethod.NotFound", f"there is no method {method[:128]}")


@dataclass(frozen=True, slots=True)
class InvokeParams:
    """Parameters of `INVOKE`; `args` is JSON text."""

    function: str
    args: bytes
    asynchronous: bool = False
    """Only functions may ask for that: calls from outside are synchronous whatever it says."""
    idempotency_key: str | None = None


def parse_params(text: bytes | str | None) -> Mapping[str, Any]:
    """The parameter object of any method; absent is empty. Raises InvalidParameterError."""
    if not text:
        return {}
    try:
        params = parse_json(text)
    except ValueError as error:
        raise _bad_params(f"params is no JSON text: {error}") from None
    if not isinstance(params, dict):
        raise _bad_params("params must be the JSON text of an object")
    return params


def parse_invoke(params: Mapping[str, Any]) -> InvokeParams:
    """Raises InvalidParameterError. Arguments that are absent or null become `{}` (functions (a)).

    `async` and `idempotencyKey` are ours: the third argument of `ctx.mpserverless.function.invoke`."""
    function = params.get("functionTarget")
    if not isinstance(function, str) or not function:
        raise InvalidParameterError("functionTarget", "functionTarget must name a function")
    args = params.get("functionArgs")
    asynchronous = params.get("async") is True
    try:
        return InvokeParams(
            function[:256],
            b"{}" if args is None else write_json(args),
            asynchronous=asynchronous,
            idempotency_key=read_key(params.get("idempotencyKey"), "idempotencyKey")
            if asynchronous
            else None,
        )
    except (RecursionError, ValueError):
        raise InvalidParameterError(
            "functionArgs", "functionArgs is nested too deeply", code="InvalidParams.Format"
        ) from None


def _bad_params(message: str) -> InvalidParameterError:
    return InvalidParameterError("params", message, code="InvalidParams.Format")
