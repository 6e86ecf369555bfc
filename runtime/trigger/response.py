"""From what a function returned to the HTTP answer (spec: functions (c), guide 4.7)."""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runtime.trigger.addresses import Origin
from runtime.trigger.media_types import parse_media_type
from runtime.trigger.response_headers import (
    FIELDS_MAX_BYTES,
    IllFormedError,
    fit_for_origin,
    response_headers,
)
from sandbox.json_text import load_json

ILL_FORMED = "InvalidComposedResponseBody"
TOO_LONG = "ResponseContentLength.Exceeded"

ATTACHMENT = ("content-disposition", "attachment")
NO_SNIFFING = ("x-content-type-options", "nosniff")
"""On shared domains: a text must not be taken for a script or page, whatever it holds."""
JSON_TYPE = "application/json; charset=utf-8"
TEXT_TYPE = "text/plain; charset=utf-8"
BYTES_TYPE = "application/octet-stream"

_MARK = "mpserverlessComposedResponse"
_BODILESS = frozenset({204, 205, 304})
_STATUS_TEXT = re.compile(r"[2-5][0-9][0-9]")
_ESCAPED_MAX = 6
"""Bytes of JSON text for one byte of body at most: `\\u0001`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerResponse:
    """An answer as it goes out, but for the fields that the HTTP server adds: `content-length`, `date`,
    `request-id`, those about the connection. Names are lower case; values hold no control character."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class BadResponse:
    """The function returned something that cannot be sent; the message is for its author."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """`content_type` is for a response that names none itself."""

    status: int = 200
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    body: bytes = b""
    content_type: str = TEXT_TYPE


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRules:
    """What holds for the answers of one address.

    `content-disposition` is `attachment` whatever the function wants; with `inline` (custom domains) it is
    what the function wants, absent by default. `max_body_bytes` bounds the body after decoding.
    """

    max_body_bytes: int
    origin: Origin
    inline: bool = False
    base_path: str = ""
    """What the address has before the trigger path: `/trigger/{space id}` in the path form."""

    @property
    def fixed_headers(self) -> tuple[tuple[str, str], ...]:
        """Fields of every answer, which no function can change."""
        disposition = () if self.inline else (ATTACHMENT,)
        return disposition if self.origin is Origin.DOMAIN else (*disposition, NO_SNIFFING)


def trigger_response(value: bytes | None, rules: AnswerRules) -> TriggerResponse | BadResponse:
    """`value` is the JSON text of the result, None for none. Never raises.

    A text goes out as plain text, null as an empty one, every other value as the JSON text that it is,
    unless it is a composed response.
    """
    text = (value or b"").strip(b" \t\r\n")
    # Longer text cannot hold a body that fits. Nobody parses megabytes to learn that.
    if len(text) > _ESCAPED_MAX * (rules.max_body_bytes + FIELDS_MAX_BYTES):
        return _too_long(f"the result has {len(text)} bytes as JSON text", rules.max_body_bytes)
    try:
        draft = _draft(text)
    except IllFormedError as error:
        return BadResponse(code=ILL_FORMED, message=str(error))
    if len(draft.body) > rules.max_body_bytes:
        return _too_long(f"the response body has {len(draft.body)} bytes", rules.max_body_bytes)
    return TriggerResponse(
        status=draft.status,
        headers=_fields(draft, rules),
        body=b"" if draft.status in _BODILESS else draft.body,
    )


def _too_long(what: str, max_body_bytes: int) -> BadResponse:
    return BadResponse(
        code=TOO_LONG,
        message=f"{what}; a body has at most {max_body_bytes} bytes (yunhan trigger limits)",
    )


def _draft(text: bytes) -> _Draft:
    if text in {b"", b"null"}:
        return _Draft()
    if text.startswith(b'"'):
        return _Draft(body=_load(text).encode())
    # JSON.stringify never escapes the mark's letters, so text without them need not be parsed.
    if text.startswith(b"{") and _MARK.encode() in text:
        given = _load(text)
        if given.get(_MARK) is True:
            return _composed(given)
    return _Draft(body=text, content_type=JSON_TYPE)


def _load(text: bytes) -> Any:
    """Texts of the value are Unicode: `load_json` has replaced lone surrogates."""
    try:
        return load_json(text)
    except (ValueError, RecursionError) as error:
        raise IllFormedError(f"the result cannot be read as JSON: {error}") from None


def _composed(given: Mapping[str, Any]) -> _Draft:
    body = given.get("body")
    if body is None:
        body = ""
    if not isinstance(body, str):
        raise IllFormedError("body must be a text or absent; use JSON.stringify for objects")
    is_base64 = given.get("isBase64Encoded") is True
    return _Draft(
        status=_status(given.get("statusCode")),
        headers=response_headers(given.get("headers")),
        body=_from_base64(body) if is_base64 else body.encode(),
        content_type=BYTES_TYPE if is_base64 else TEXT_TYPE,
    )


def _status(given: Any) -> int:
    """200 when absent. Digits in a text are accepted: functions pass on what other servers answered."""
    if given is None:
        return 200
    if isinstance(given, str) and _STATUS_TEXT.fullmatch(given):
        return int(given)
    if isinstance(given, int) and 200 <= given <= 599:
        return given
    raise IllFormedError("statusCode must be an integer from 200 to 599")


def _from_base64(text: str) -> bytes:
    try:
        return binascii.a2b_base64("".join(text.split()), strict_mode=True)
    except ValueError as error:
        raise IllFormedError(f"isBase64Encoded is true, but body is no Base64: {error}") from None


def _fields(draft: _Draft, rules: AnswerRules) -> tuple[tuple[str, str], ...]:
    headers = fit_for_origin(draft.headers, rules.origin, rules.base_path)
    (content_type,) = headers.get("content-type", ("",))
    if content_type:
        headers["content-type"] = (_with_charset(content_type),)
    elif draft.status in _BODILESS:
        headers.pop("content-type", None)
    else:
        headers["content-type"] = (draft.content_type,)
    headers |= {name: (value,) for name, value in rules.fixed_headers}
    return tuple((name, value) for name, values in headers.items() for value in values)


def _with_charset(content_type: str) -> str:
    media_type = parse_media_type(content_type)
    if media_type is None or media_type.charset is not None:
        return content_type
    if media_type.is_text or media_type.essence == "application/javascript":
        return f"{content_type.rstrip('; ')}; charset=utf-8"
    return content_type
