"""The SDKs' answer envelope as JSON bytes; results travel in it untouched (client protocol §3).

Never `"error": null`: the client SDK would throw the whole body away.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from runtime.messages import Outcome
from runtime.services.sdk_errors import sdk_error

RUNTIME_VERSION = "1.2.2"
"""`x-serverless-runtime-version` as the original's newest seen; clients only print it."""


def success(data: bytes, *, request_id: str, header: Mapping[str, str] | None = None) -> bytes:
    """`data` is JSON text."""
    parts = [b'{"success":true,"data":', data, b',"requestId":"', request_id.encode(), b'"']
    if header:
        parts += [b',"header":', orjson.dumps(header)]
    parts.append(b"}")
    return b"".join(parts)


def failure(
    code: str, message: str, *, request_id: str, header: Mapping[str, str] | None = None
) -> bytes:
    """A call that did not succeed."""
    body: dict[str, Any] = {
        "success": False,
        "error": {"code": _clean(code), "message": _clean(message)},
        "requestId": request_id,
    }
    if header:
        body["header"] = header
    return orjson.dumps(body)


def of_outcome(outcome: Outcome) -> bytes:
    """The answer to an invocation, with its `header` object (spec: functions (g))."""
    header = {
        "x-serverless-request-id": outcome.request_id,
        "x-serverless-runtime-version": RUNTIME_VERSION,
        "x-fc-request-id": outcome.request_id,
        "x-fc-invocation-duration": str(round(outcome.bill.run_ms)),
        "content-disposition": "attachment",
    }
    if outcome.bill.cold:
        header["x-serverless-cold-boot"] = "true"
    if outcome.value is not None:
        return success(outcome.value, request_id=outcome.request_id, header=header)
    code, message = sdk_error(outcome)
    return failure(code, message, request_id=outcome.request_id, header=header)


def _clean(text: str) -> str:
    """A function's message may hold lone surrogates, which are no UTF-8."""
    return text.encode("utf-8", "replace").decode()
