"""Header fields that a function chose for its answer: checked, so that they cannot end the head."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from runtime.trigger.addresses import Origin
from runtime.trigger.media_types import TOKEN

FIELDS_MAX = 64
FIELDS_MAX_BYTES = 8 * 1024
"""Names and values together."""

_NAME = re.compile(TOKEN)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_OURS = frozenset(
    {
        "connection",
        "content-length",
        "date",
        "keep-alive",
        "proxy-authenticate",
        "proxy-connection",
        "request-id",
        "server",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-lighttpd-send-file",
        "x-sendfile",
    }
)
"""Fields that the gateway writes, that are about a connection which the function does not see, or (with
`x-accel-*`) orders to the proxy before us, which would obey."""


_WHOLE_ORIGIN = frozenset(
    {
        "alt-svc",
        "clear-site-data",
        "nel",
        "report-to",
        "service-worker-allowed",
        "strict-transport-security",
    }
)
"""Fields that change how a browser treats everything else of the same origin."""
_COOKIE_PATH = re.compile(r"(;\s*path\s*=\s*)(/[^;]*)", re.IGNORECASE)
_COOKIE_DOMAIN = re.compile(r";\s*domain\s*(=[^;]*)?(?=;|$)", re.IGNORECASE)


class IllFormedError(ValueError):
    """The function's answer breaks a rule; the message is for its author."""


def response_headers(given: Any) -> dict[str, tuple[str, ...]]:
    """The values of each field under its lower-case name, only `set-cookie` with more than one.

    `given` is the `headers` value of a composed response. A value is a text, number, boolean, or a list of
    them; null is "not set". Names that differ in case only are one field, the last one counts. Fields of
    the gateway are dropped silently, as functions copy them from other servers' answers. Raises
    IllFormedError for everything else: a dropped or mended field would be a riddle to the author.
    """
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise IllFormedError("headers must be an object of names and values")
    headers: dict[str, tuple[str, ...]] = {}
    for name, value in given.items():
        if not _NAME.fullmatch(name):
            raise IllFormedError(f"{name[:100]!r} is no name of a header field")
        key = name.lower()
        if key in _OURS or key.startswith("x-accel-") or value is None:
            continue
        values = tuple(
            _text(name, item) for item in (value if isinstance(value, list) else [value])
        )
        if key == "set-cookie":
            headers[key] = headers.get(key, ()) + values
        elif values:
            headers[key] = (", ".join(values),)
    _check_bounds(headers)
    return headers


def fit_for_origin(
    headers: Mapping[str, tuple[str, ...]], origin: Origin, base_path: str
) -> dict[str, tuple[str, ...]]:
    """Without what would reach other spaces: on shared domains cookies are for their host only, on the
    gateway's own address for paths below `base_path` only, and no field speaks for the whole origin."""
    if origin is Origin.DOMAIN:
        return dict(headers)
    fitting = {
        name: values
        for name, values in headers.items()
        if origin is Origin.SPACE or name not in _WHOLE_ORIGIN
    }
    if "set-cookie" in fitting:
        fitting["set-cookie"] = tuple(
            _cookie(cookie, base_path) for cookie in fitting["set-cookie"]
        )
    return fitting


def _cookie(cookie: str, base_path: str) -> str:
    """As a reverse proxy would pass it on. The path that counts to browsers is the last one."""
    return _COOKIE_PATH.sub(rf"\g<1>{base_path}\g<2>", _COOKIE_DOMAIN.sub("", cookie))


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool | int | float):
        return orjson.dumps(value).decode()
    if not isinstance(value, str):
        raise IllFormedError(
            f"header {name[:100]} must be a text, number, boolean or a list of these"
        )
    text = value.replace("\t", " ").strip(" ")
    if _CONTROL.search(text):
        raise IllFormedError(f"header {name[:100]} contains a line break or control character")
    return text


def _check_bounds(headers: Mapping[str, tuple[str, ...]]) -> None:
    fields = [(name, value) for name, values in headers.items() for value in values]
    if len(fields) > FIELDS_MAX:
        raise IllFormedError(f"there are {len(fields)} header fields, at most {FIELDS_MAX} go out")
    size = sum(len(name) + len(value.encode()) for name, value in fields)
    if size > FIELDS_MAX_BYTES:
        raise IllFormedError(f"the headers have {size} bytes, at most {FIELDS_MAX_BYTES} go out")
