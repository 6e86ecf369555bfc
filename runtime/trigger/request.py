"""What a request must be like to reach a function, and what the function sees of it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from runtime.trigger import refusals
from runtime.trigger.media_types import parse_media_type
from runtime.trigger.refusals import RefusedError
from sandbox.json_text import dump_json

BODY_TYPES = frozenset({"application/json", "application/x-www-form-urlencoded"})
"""Beside `text/*`."""

_UTF8_CHARSETS = frozenset({None, "utf-8", "utf8", "us-ascii", "ascii"})
_DECODED_ENCODINGS = frozenset(refusals.BODY_ENCODINGS)
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "expect",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerRequest:
    """A request that passed the checks below. `path` is normalized (`runtime.trigger.paths`), `query` as
    it was sent, without the question mark; `body` is freed of chunks and compression."""

    method: str
    path: str
    query: str = ""
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""


def check_method(method: str) -> None:
    """Raises RefusedError (405)."""
    if method not in refusals.METHODS:
        raise RefusedError(refusals.wrong_method(method))


def check_content_type(content_type: str | None, *, has_body: bool) -> None:
    """Raises RefusedError (415). `has_body`: there is at least one byte.

    `content_type` is the field, several fields joined with a comma. Without a body it is not looked at:
    clients send it with a GET out of habit.
    """
    if not has_body:
        return
    media_type = parse_media_type(content_type or "")
    if media_type is None or not (media_type.is_text or media_type.essence in BODY_TYPES):
        raise RefusedError(refusals.wrong_content_type(content_type))


def check_content_encoding(content_encoding: str | None) -> None:
    """Raises RefusedError (415) for a body that the HTTP server would hand over still compressed."""
    encoding = (content_encoding or "identity").strip(" \t").lower()
    if encoding != "identity" and encoding not in _DECODED_ENCODINGS:
        raise RefusedError(refusals.wrong_content_encoding(content_encoding))


def trigger_args(request: TriggerRequest) -> bytes:
    """The JSON text of `ctx.args` (spec: functions (c)). Never raises: what is no Unicode in fields and query
    is replaced."""
    headers = _headers(request)
    body, is_base64 = _body_text(request.body, headers.get("content-type", ""))
    return dump_json(
        {
            "path": request.path,
            "httpMethod": request.method,
            "headers": headers,
            "queryStringParameters": _query_parameters(request.query),
            "body": body,
            "isBase64Encoded": is_base64,
        }
    )


def _headers(request: TriggerRequest) -> Mapping[str, str]:
    """Lower-case names. Fields about the connection are left out, and those about the body tell of the body
    that the function gets.

    Fields that `Connection` names stay: nothing is forwarded from here, and a client could otherwise take
    away what a proxy before us has added.
    """
    headers: dict[str, str] = {}
    for name, value in request.headers:
        key = name.lower()
        if key in _HOP_BY_HOP:
            continue
        if key in headers:
            headers[key] += ("; " if key == "cookie" else ", ") + value
        else:
            headers[key] = value
    if headers.get("content-encoding", "").strip(" \t").lower() in _DECODED_ENCODINGS:
        del headers["content-encoding"]
    if request.body or "content-length" in headers:
        headers["content-length"] = str(len(request.body))
    return headers


def _query_parameters(query: str) -> Mapping[str, str]:
    """The last value of each name. Escapes that are none stay as they are, as in browsers."""
    parameters: dict[str, str] = {}
    for pair in query.split("&"):
        if pair:
            name, _, value = pair.partition("=")
            parameters[_decode(name)] = _decode(value)
    return parameters


def _decode(text: str) -> str:
    octets = text.replace("+", " ").encode("utf-8", "replace")
    return unquote_to_bytes(octets).decode("utf-8", "replace")


def _body_text(body: bytes, content_type: str) -> tuple[str, bool]:
    """The body as a text from which the function can always get the same bytes back, and whether that is
    Base64.

    Text in another charset is not translated: a signature is over its bytes.
    """
    media_type = parse_media_type(content_type)
    charset = media_type.charset if media_type is not None else None
    if body.isascii() or charset in _UTF8_CHARSETS:
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass
    return b64encode(body).decode(), True
