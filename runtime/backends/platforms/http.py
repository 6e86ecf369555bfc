"""Bounded requests to platforms. Nothing of a request is ever in an error: keys are in bodies and, with
WeChat, in the URL, which aiohttp's own errors repeat. So theirs are described, not chained.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlencode

import aiohttp
import orjson
from yarl import URL

from runtime.ports import PlatformUnavailableError

_DNS_CACHE_S = 60
_CHUNK_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformRequest:
    """One request; at most one of `form` and `json`."""

    platform: str
    """For people."""
    method: str
    url: str
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    json: Mapping[str, str] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformAnswer:
    """`body` as it came. It may hold tokens."""

    status: int
    body: bytes = field(repr=False)


class PlatformHttp:
    """One client for all platforms, so that a name whose look-up hangs takes one thread, not one a login.

    It follows no redirect, keeps no cookie and no connection (a login that is sent into a connection which
    the platform just closed would be lost, and its code with it) and reads no proxy from the environment.
    Certificates are checked. Time and number of requests are their callers' affair."""

    def __init__(self, *, response_max_bytes: int) -> None:
        self._response_max_bytes = response_max_bytes
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Requests are possible inside."""
        connector = aiohttp.TCPConnector(
            limit=0, force_close=True, ttl_dns_cache=_DNS_CACHE_S, use_dns_cache=True
        )
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "yunhan", "Accept-Encoding": "identity"},
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
            trust_env=False,
        ) as session:
            self._session = session
            try:
                yield
            finally:
                self._session = None

    async def send(self, request: PlatformRequest) -> PlatformAnswer:
        """Send it; a refusal is an answer like any other. A GET that is lost without an answer is sent once
        more (aiohttp does so). Raises PlatformUnavailableError."""
        if self._session is None:
            raise RuntimeError("the client is not open")
        data, content_type = _body(request)
        headers = {"Content-Type": content_type} if content_type else {}
        try:
            async with self._session.request(
                request.method,
                URL(request.url).update_query(dict(request.query)),
                data=data,
                headers=headers,
                allow_redirects=False,
            ) as response:
                answer = await self._read(response)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            answer = _describe(error)
        if isinstance(answer, str):  # raised here: what failed is then neither cause nor context
            raise PlatformUnavailableError(request.platform, answer)
        return answer

    async def _read(self, response: aiohttp.ClientResponse) -> PlatformAnswer | str:
        """The answer, or what is wrong with it."""
        if 300 <= response.status < 400:
            return f"answered with a redirect (HTTP {response.status}), which is not followed"
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            return "answered in an encoding that was not asked for"
        body = bytearray()
        async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
            body += chunk
            if len(body) > self._response_max_bytes:
                return f"answered with more than {self._response_max_bytes} bytes"
        return PlatformAnswer(status=response.status, body=bytes(body))


def _body(request: PlatformRequest) -> tuple[bytes | None, str]:
    if request.form is not None:
        kind = "application/x-www-form-urlencoded;charset=utf-8"
        return urlencode(request.form).encode(), kind
    if request.json is not None:
        return orjson.dumps(dict(request.json)), "application/json"
    return None, ""


def _describe(error: Exception) -> str:
    """Without the error's own words."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return "could not be reached: its certificate is not valid"
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ClientConnectorDNSError):
        return f"could not be reached ({type(error).__name__})"
    return f"gave no answer that can be read ({type(error).__name__})"
