"""What tests of the rules of HTTP triggers have in common: codes, header lines, the form of a refusal."""

from __future__ import annotations

import json
from typing import Any

from tests.harness.strict_http import WireAnswer
from tests.harness.trigger_gateway import ON

HOST = f"{ON}.fn.localhost"
TEXT = "content-type: text/plain"
CHUNKED = "transfer-encoding: chunked"
NOT_FOUND = "InvalidHttpTriggerPath.NotFound"
NOT_IN_SERVICE = "InvalidSpace.NotInService"
TOO_LARGE = "RequestContentLength.Exceeded"
BAD_TYPE = "InvalidRequestContentType"
ILL_FORMED = "InvalidComposedResponseBody"
TOO_LONG = "ResponseContentLength.Exceeded"
COMPOSED = {"mpserverlessComposedResponse": True}


def refused(answer: WireAnswer, status: int, code: str | None) -> dict[str, Any]:
    """The one form of every refusal."""
    assert answer.status == status, answer
    body: dict[str, Any] = json.loads(answer.body)
    assert set(body) == {"success", "error", "requestId"}
    assert body["success"] is False
    assert set(body["error"]) == {"code", "message"}
    assert body["requestId"] == answer.get("request-id")
    assert answer.get("content-type") == "application/json; charset=utf-8"
    if code is not None:
        assert body["error"]["code"] == code
    return body


def chunks(*parts: bytes, extension: bytes = b"", trailer: bytes = b"") -> bytes:
    coded = b"".join(b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in parts)
    return coded + b"0\r\n" + trailer + b"\r\n"
