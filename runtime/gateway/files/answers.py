"""Answers to uploads and downloads that failed: status and JSON body, in one place.

The statuses are real ones. The body is JSON in the SDKs' envelope, not OSS's XML: the client SDK parses
whatever text an upload answers, throws when it is no JSON, and takes a member `error` for the failure (spec:
client protocol §7).
"""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from aiohttp import web

from runtime.errors import (
    CallerError,
    NotFoundError,
    OursError,
    OverloadedError,
    RateExceededError,
    StorageFullError,
    YunhanError,
)
from runtime.files.refusals import FileDeniedError, SignatureRefusedError, TooManyUploadsError
from runtime.gateway.bodies import BodyTooLargeError
from runtime.gateway.request_id import HEADER, request_id_of
from runtime.gateway.visitors import AddressRefusedError
from runtime.services import envelope
from runtime.services.cors import OriginRefusedError
from runtime.services.file_downloads import FileReplacedError, PrivateFileError
from runtime.services.sdk_errors import told_to_strangers

TOO_LARGE = "EntityTooLarge"
PRECONDITION_FAILED = "PreconditionFailed"
INVALID_RANGE = "InvalidRange"

_STATUS_OF_CODE = {
    "RequestTimeout": 408,
    PRECONDITION_FAILED: 412,
    TOO_LARGE: 413,
    INVALID_RANGE: 416,
}
_STATUS_OF_TYPE: tuple[tuple[type[YunhanError], int], ...] = (
    (FileDeniedError, 403),
    (PrivateFileError, 403),
    (SignatureRefusedError, 403),
    (OriginRefusedError, 403),
    (AddressRefusedError, 403),
    (NotFoundError, 404),
    (FileReplacedError, 409),
    (RateExceededError, 429),
    (TooManyUploadsError, 429),
    (StorageFullError, 507),
)
"""Whatever is not here: 400 is the caller's fault, 503 ours and over soon, 500 ours."""

_log = structlog.get_logger(__name__)


def status_of(error: YunhanError) -> int:
    """The HTTP status of an error. 429 and 503 say that the same request may succeed a little later."""
    for kind, status in _STATUS_OF_TYPE:
        if isinstance(error, kind):
            return status
    if isinstance(error, OursError):
        return 500 if error.retry_after_s is None else 503
    return _STATUS_OF_CODE.get(error.code, 400)


def refusal(
    request: web.Request, error: Exception, headers: Mapping[str, str] | None = None
) -> web.Response:
    """The answer to a request that failed. Whatever is our fault is logged, the caller reads an id."""
    if isinstance(error, BodyTooLargeError):
        error = CallerError(TOO_LARGE, str(error))
    request_id = request_id_of(request)
    if not isinstance(error, YunhanError):
        _log.error("file_request_failed", request_id=request_id, exc_info=error)
        error = OursError("InternalServerError", "a defect")
    elif isinstance(error, OursError) and not isinstance(error, OverloadedError):
        _log.error(
            "file_request_failed", request_id=request_id, code=error.code, reason=error.message
        )
    response = web.Response(
        status=status_of(error),
        body=envelope.failure(error.code, _told(error, request_id), request_id=request_id),
        content_type="application/json",
        charset="utf-8",
        headers={HEADER: request_id, "Cache-Control": "no-store", **(headers or {})},
    )
    if isinstance(error, OursError) and error.retry_after_s is not None:
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response


def _told(error: YunhanError, request_id: str) -> str:
    if isinstance(error, StorageFullError):
        return f"there is no room left for files, nothing was stored (request {request_id})"
    return told_to_strangers(error, request_id)
