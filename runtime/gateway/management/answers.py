"""Answers of the management API: JSON with a request id, errors with a code and an HTTP status (§3).

pop-core looks for `Code` in the body, the Python package at the status: an error has both, a success
neither.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from runtime.errors import (
    CallerError,
    KeyReusedError,
    NotFoundError,
    OursError,
    RateExceededError,
    StorageFullError,
    YunhanError,
)
from runtime.gateway.visitors import AddressRefusedError
from sandbox.json_text import write_json

REQUEST_ID_HEADER = "request-id"


class ApiError(Exception):
    """An error whose HTTP status does not follow from its type. `extra` goes into the body."""

    def __init__(
        self, status: int, code: str, message: str, *, extra: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.extra = dict(extra or {})


def success(answer: Mapping[str, Any], *, request_id: str) -> web.Response:
    """HTTP 200. An answer that names its own `RequestId` keeps it."""
    return _json(200, {"RequestId": request_id, **answer})


def failure(error: ApiError | YunhanError, *, request_id: str, host: str) -> web.Response:
    """HTTP 4xx when the caller has to act, 5xx when we have."""
    body = {
        "RequestId": request_id,
        "HostId": host,
        "Code": error.code,
        "Message": error.message,
    }
    if isinstance(error, ApiError):
        return _json(error.status, {**body, **error.extra})
    response = _json(_status(error), body)
    if isinstance(error, OursError) and error.retry_after_s is not None:
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response


def internal_error(*, request_id: str, host: str) -> web.Response:
    """HTTP 500 without details; the log has them under the request id."""
    message = f"the request failed on our side; its id in the log is {request_id}"
    return failure(ApiError(500, "InternalError", message), request_id=request_id, host=host)


def iso(time_ms: int) -> str:
    """`2026-11-21T02:11:44.462Z`, as all times in answers are written."""
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ms % 1000:03d}Z"


def whole(number: float | None) -> int:
    """An integer field of a measured number, rounded up; 0 when it is not known."""
    return math.ceil(number) if number else 0


_STATUSES: tuple[tuple[type[YunhanError], int], ...] = (
    (NotFoundError, 404),
    (KeyReusedError, 409),
    (AddressRefusedError, 403),
    (CallerError, 400),
    (RateExceededError, 429),
    (StorageFullError, 507),
)
"""The first kind that fits says the status."""


def _status(error: YunhanError) -> int:
    for kind, status in _STATUSES:
        if isinstance(error, kind):
            return status
    return 503 if isinstance(error, OursError) and error.retry_after_s is not None else 500


def _json(status: int, body: Mapping[str, Any]) -> web.Response:
    return web.Response(
        status=status,
        body=write_json(body),
        content_type="application/json",
        charset="utf-8",
        headers={REQUEST_ID_HEADER: str(body["RequestId"])},
    )
