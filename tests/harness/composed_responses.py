"""Random composed responses, about half of them with something that breaks a rule."""

from __future__ import annotations

import random
from base64 import b64encode
from typing import Any

_NAMES = (
    "x-a", "X-A", "x-b", "Set-Cookie", "set-cookie", "Content-Type", "content-type", "Content-Length",
    "Transfer-Encoding", "Connection", "Content-Disposition", "content-disposition", "Request-Id", "Server",
    "Date", "Trailer", "Upgrade", "Location", "Cache-Control", "ETag", "Content-Encoding", "Keep-Alive",
    "X-Content-Type-Options", "Strict-Transport-Security", "__proto__",
)  # fmt: skip
_BAD_NAMES = ("", " ", "a b", "x:", "x-a\r\nx-injected", "x\n", "云", "x\x00", "(x)", "\u017f")
_VALUES: tuple[Any, ...] = (
    "", "a", "text/html", "text/html; charset=gbk", "image/png", "0", "5", "99999", "chunked", "close",
    "inline", "gzip, chunked", "a=b; Path=/; Domain=localhost", "云", "é", "a\tb", "  padded ", "\ud800",
    1, -1, 0.5, True, False, None, [], ["a", "b"], ["a=b", 1], "x" * 300, "\u2028", 10**18,
)  # fmt: skip
_BAD_VALUES: tuple[Any, ...] = (
    "a\r\nx-injected: 1", "a\n\nHTTP/1.1 200 OK\r\n", "\r", "a\x00b", "\x0b", "\x7f", "\x85",
    ["a", "b\r\nx-injected: 1"],
    {}, {"a": 1}, [[]], [None], "y" * 9000,
)  # fmt: skip
_STATUSES = (None, 200, 200, 201, 204, 205, 206, 299, 301, 304, 400, 404, 418, 503, 502, 599, "404")
_BAD_STATUSES: tuple[Any, ...] = (
    0,
    1,
    100,
    101,
    199,
    600,
    1000,
    -1,
    200.5,
    "",
    "x",
    "20",
    "200 OK\r\nx-injected: 1",
    True,
    [],
    {},
)
_BODIES = (
    None, "", "a", "云" * 9, "<script>", "HTTP/1.1 200 OK\r\nx-injected: 1\r\n\r\n", "\x00\r\n", "a" * 4096,
    "\ud800", "\U0001f600",
)  # fmt: skip
_BAD_BODIES: tuple[Any, ...] = (1, 0, True, {}, [], "a" * 4097, "云" * 1366)
_BAD_BASE64 = ("a", "YQ", "YQ=", "Y-==", "云", "YQ==YQ==", "====", "\ud800")


def composed_response(draw: random.Random) -> dict[str, Any]:
    """A value that JSON can carry; texts may hold lone surrogates."""
    bad = draw.random() < 0.5
    breaks = draw.choice(["name", "value", "status", "body", "base64"]) if bad else ""
    value: dict[str, Any] = {"mpserverlessComposedResponse": True}
    if breaks == "status" or draw.random() < 0.8:
        value["statusCode"] = draw.choice(_BAD_STATUSES if breaks == "status" else _STATUSES)
    if breaks in {"name", "value"} or draw.random() < 0.8:
        value["headers"] = _headers(draw, breaks)
    if breaks == "base64":
        value |= {"isBase64Encoded": True, "body": draw.choice(_BAD_BASE64)}
    elif breaks == "body":
        value["body"] = draw.choice(_BAD_BODIES)
    elif draw.random() < 0.3:
        value["isBase64Encoded"] = True
        value["body"] = b64encode(draw.randbytes(draw.choice([0, 1, 100, 4096]))).decode()
    elif draw.random() < 0.8:
        value["body"] = draw.choice(_BODIES)
    if draw.random() < 0.2:
        value["unknown"] = draw.choice(_VALUES)
    return value


def _headers(draw: random.Random, breaks: str) -> dict[str, Any]:
    count = draw.randrange(6)
    headers: dict[str, Any] = {name: draw.choice(_VALUES) for name in draw.choices(_NAMES, k=count)}
    if breaks == "name":
        headers[draw.choice(_BAD_NAMES)] = draw.choice(_VALUES)
    if breaks == "value":
        headers[draw.choice(_NAMES)] = draw.choice(_BAD_VALUES)
    return headers
