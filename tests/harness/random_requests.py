"""Random well-formed requests to HTTP triggers, with what must come of each by a model of the rules."""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from tests.harness.trigger_gateway import ON, raw_request

HOST = f"{ON}.fn.localhost"
PATHS = {
    "/http/f": "/http/f",
    "/http/f/": "/http/f/",
    "/http/f/%E4%BA%91/x": "/http/f/云/x",
    "/http/f/%252e%252e": "/http/f/%2e%2e",
    "/%68ttp/f/a+b": "/http/f/a+b",
    "/http/f/below": "/http/f/below",
    "/http/f//a;b=c": "/http/f//a;b=c",
    "/http/f/../f": None,
    "/http/f/%2e%2e": None,
    "/http/f/%2F": None,
    "/http/f/%ff": None,
    "/http/f/%zz": None,
    "/http/none": None,
    "/": None,
}
TYPES = {
    "application/json": True,
    "TEXT/xml; charset=utf-8": True,
    "application/x-www-form-urlencoded": True,
    'text/a ; b="c, d"': True,
    "application/xml": False,
    "multipart/form-data; boundary=x": False,
    "text/plain, text/plain": False,
    "": False,
}
QUERY_PIECES = (
    "a", "b", "=", "=", "&", "&", "+", "%20", "%2B", "%26", "%3D", "%", "%z", "%E4%BA%91", "%ff", "%00",
    "%0d%0aX:1", "?", "/", "[]", ".", "__proto__",
)  # fmt: skip
VALUE_PIECES = (
    "a",
    "B",
    " ",
    "\t",
    ",",
    ";",
    '"',
    "=",
    ":",
    "云",
    "é",
    "%0d%0a",
    "\\",
    "\x80",
    "(",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A request and what must come of it: a status, and the arguments when a function sees it.

    Of several broken rules any one may be told: `status` has all of them.
    """

    data: bytes
    method: str
    status: frozenset[int]
    args: dict[str, Any] | None


def well_formed(draw: random.Random) -> Case:
    method = draw.choice(["GET", "POST", "PUT", "DELETE"] * 4 + ["HEAD", "OPTIONS", "PATCH"])
    raw_path = draw.choice([path for path, known in PATHS.items() if known] * 3 + list(PATHS))
    query = "".join(draw.choices(QUERY_PIECES, k=draw.randrange(9)))
    body = draw.choice([b"", b"", b"{}", "云".encode() * 9, b"\xff\x00", b"a" * 4096, b"a" * 4097])
    body += bytes(draw.choices(range(256), k=draw.randrange(4))) if draw.random() < 0.3 else b""
    content_type = draw.choice(list(TYPES) + [kind for kind, good in TYPES.items() if good] * 3)
    lines = [("Content-Type", content_type)]
    lines += [
        (name, "".join(draw.choices(VALUE_PIECES, k=draw.randrange(6))).strip(" \t"))
        for name in draw.choices(["x-a", "X-A", "x-b", "Cookie", "__proto__"], k=draw.randrange(4))
    ]
    draw.shuffle(lines)
    framing, sent = _framed(draw, body)
    target = PREFIX[form := draw.choice(["host", "path"])] + raw_path
    if query or draw.random() < 0.1:
        target += f"?{query}"
    host = HOST if form == "host" else "127.0.0.1"
    data = raw_request(
        target,
        method=method,
        host=host,
        headers=(*(f"{name}: {value}" for name, value in lines), *framing),
    )
    path = PATHS[raw_path]
    status = _status(method, path, body, good_type=TYPES[content_type])
    args = None
    if status == GOOD:
        args = {
            "path": path,
            "httpMethod": method,
            "headers": _joined([("host", host), *lines], framing, body),
            "queryStringParameters": _parameters(query),
            "body": body,
        }
    return Case(data=data + sent, method=method, status=status, args=args)


GOOD = frozenset({200})
PREFIX = {"host": "", "path": f"/trigger/{ON}"}


def _framed(draw: random.Random, body: bytes) -> tuple[tuple[str, ...], bytes]:
    """Header lines about the body, and its bytes."""
    if not body and draw.random() < 0.5:
        return (), b""
    coding: tuple[str, ...] = ()
    if body and draw.random() < 0.3:
        name = draw.choice(["gzip", "DEFLATE"])
        body = gzip.compress(body, mtime=0) if name == "gzip" else zlib.compress(body)
        coding = (f"content-encoding: {name}",)
    if draw.random() < 0.5:
        return (*coding, f"Content-Length: {len(body)}"), body
    chunks = []
    while body:
        size = draw.choice([1, 7, 100, 5000])
        part, body = body[:size], body[size:]
        extension = draw.choice([b"", b"", b";a", b';a="b;c"'])
        chunks.append(b"%x%b\r\n%b\r\n" % (len(part), extension, part))
    return (*coding, "Transfer-Encoding: chunked"), b"".join((*chunks, b"0\r\n\r\n"))


def _status(method: str, path: str | None, body: bytes, *, good_type: bool) -> frozenset[int]:
    rules = {
        404: path is not None,
        405: method in {"GET", "POST", "PUT", "DELETE"},
        413: len(body) <= 4096,
        415: good_type or not body,
    }
    return frozenset(status for status, holds in rules.items() if not holds) or GOOD


def _joined(
    lines: Sequence[tuple[str, str]], framing: tuple[str, ...], body: bytes
) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in lines:
        glue = "; " if name == "Cookie" else ", "
        key = name.lower()
        headers[key] = f"{headers[key]}{glue}{value}" if key in headers else value
    if body or any(line.startswith("Content-Length") for line in framing):
        headers["content-length"] = str(len(body))
    return headers


def _parameters(query: str) -> dict[str, str]:
    """By the standard library's own reader."""
    pairs = (pair if "=" in pair else f"{pair}=" for pair in query.split("&") if pair)
    return dict(parse_qsl("&".join(pairs), keep_blank_values=True, errors="replace"))
