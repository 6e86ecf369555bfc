"""`ctx.mpserverless.httpProxyClient`: requests that the worker sends for functions (server protocol §4).

Bounded for the worker and for each space, so that a space whose far side is slow holds up no other.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from runtime.errors import CallerError, InvalidParameterError, OverloadedError
from runtime.ports import HttpClient, HttpRequest, HttpResponse, HttpTraffic
from sandbox.api import EgressRules

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

# RFC 9110 §5.6.2 and §5.5.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]*")
_CHARSET = re.compile(r'charset\s*=\s*"?([\w.:-]{1,40})', re.ASCII | re.IGNORECASE)
_CODECS = {
    "big5": "big5",
    "euc-jp": "euc_jp",
    "euc-kr": "euc_kr",
    "gb18030": "gb18030",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "iso-8859-1": "cp1252",
    "shift_jis": "shift_jis",
    "us-ascii": "cp1252",
    "utf-16": "utf_16",
    "windows-1252": "cp1252",
}
"""As browsers read them; anything else is UTF-8. A table of our own: Python takes names of codecs that
need time beyond proportion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpProxyLimits:
    """Sizes in bytes, times in seconds, headers by number."""

    url_max_bytes: int
    headers_max: int
    headers_max_bytes: int
    request_max_bytes: int
    response_max_bytes: int
    timeout_s: float
    under_way_max: int
    under_way_max_per_space: int


class HttpProxy:
    """Reads what the SDK sends, and makes the answer it resolves to."""

    def __init__(self, client: HttpClient, limits: HttpProxyLimits) -> None:
        self._client = client
        self._limits = limits
        self._under_way: Counter[str] = Counter()

    async def request(
        self,
        space_id: str,
        params: Mapping[str, Any],
        traffic: HttpTraffic,
        *,
        egress: EgressRules,
    ) -> bytes:
        """The JSON text `{status, headers, data}`; `data` is the body as text. Adds to `traffic` and raises
        as `HttpClient.send`, InvalidParameterError, and OverloadedError at once beyond a bound."""
        request = self._read(params, egress)
        limits = self._limits
        if (
            self._under_way[space_id] >= limits.under_way_max_per_space
            or self._under_way.total() >= limits.under_way_max
        ):
            raise OverloadedError(
                "too many requests of httpProxyClient are under way; try again later"
            )
        self._under_way[space_id] += 1
        try:
            return _write(await self._client.send(request, traffic))
        finally:
            self._under_way[space_id] -= 1
            if not self._under_way[space_id]:
                del self._under_way[space_id]

    def _read(self, params: Mapping[str, Any], egress: EgressRules) -> HttpRequest:
        limits = self._limits
        method, url = params.get("method", "GET"), params.get("url")
        if not isinstance(method, str) or method.upper() not in METHODS:
            raise InvalidParameterError("method", f"method must be one of {', '.join(METHODS)}")
        if not isinstance(url, str) or len(_bytes(url)) > limits.url_max_bytes:
            raise InvalidParameterError(
                "url", f"url must be a text of at most {limits.url_max_bytes} bytes"
            )
        body = params.get("body")
        if body is not None and not isinstance(body, str):
            raise InvalidParameterError("body", "body must be a text")
        encoded = _bytes(body or "")
        if len(encoded) > limits.request_max_bytes:
            raise CallerError(
                "RequestContentLength.Exceeded",
                f"the body has {len(encoded)} bytes, the limit is {limits.request_max_bytes}",
            )
        return HttpRequest(
            method=method.upper(),
            url=url,
            headers=self._read_headers(params.get("headers")),
            body=encoded,
            response_max_bytes=limits.response_max_bytes,
            timeout_s=limits.timeout_s,
            egress=egress,
        )

    def _read_headers(self, headers: object) -> Mapping[str, str]:
        if headers is None:
            return {}
        if not isinstance(headers, dict) or len(headers) > self._limits.headers_max:
            raise InvalidParameterError(
                "headers",
                f"headers must be an object of at most {self._limits.headers_max} members",
            )
        texts: dict[str, str] = {}
        for name, value in headers.items():
            if not isinstance(value, str | int | float) or isinstance(value, bool):
                raise InvalidParameterError("headers", f"header {name[:100]} must be a text")
            texts[name] = str(value)
            if not _NAME.fullmatch(name) or not _VALUE.fullmatch(texts[name]):
                raise InvalidParameterError(
                    "headers", f"{name[:100]!r} and its value are no header of a request"
                )
        size = sum(len(_bytes(name)) + len(_bytes(value)) for name, value in texts.items())
        if size > self._limits.headers_max_bytes:
            raise InvalidParameterError(
                "headers", f"headers have more than {self._limits.headers_max_bytes} bytes"
            )
        return texts


def _write(response: HttpResponse) -> bytes:
    content_type = response.headers.get("content-type", "")
    found = _CHARSET.search(content_type) if isinstance(content_type, str) else None
    codec = _CODECS.get(found[1].lower(), "utf-8") if found else "utf-8"
    return orjson.dumps(
        {
            "status": response.status,
            "headers": dict(response.headers),
            "data": response.body.decode(codec, "replace"),
        }
    )


def _bytes(text: str) -> bytes:
    """A function's text may hold lone surrogates, which are no UTF-8."""
    return text.encode("utf-8", "replace")
