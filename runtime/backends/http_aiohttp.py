"""The HTTP client for functions on aiohttp, under the same policy as a sandbox's own egress.

A host is looked up once; the addresses that the policy allows are the only ones a socket is made for,
however aiohttp reads the URL: the resolver knows nothing else, and the maker of sockets checks again.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, ip_address
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from runtime.errors import CallerError, TargetRefusedError
from runtime.ports import HttpClient, HttpRequest, HttpResponse, HttpTraffic
from sandbox.egress.access import EgressAccess
from sandbox.egress.answers import NotConnected
from sandbox.egress.hosts import Host, HostError, parse_host
from sandbox.egress.networks import Address
from sandbox.egress.route import Route

_LOOKUPS_MAX = 16
_CONNECT_TIMEOUT_S = 10.0
_CHUNK_BYTES = 64 * 1024

# The client's own business: how long the body is and how the connection is used.
_NOT_FORWARDED = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# Of the body as it came, not as it is handed on.
_OF_THE_ENCODED_BODY = frozenset({"content-encoding", "content-length"})


class AiohttpHttpClient(HttpClient):
    """See the module. Keeps no connection, no cookie; reads no proxy and no password from anywhere."""

    def __init__(self, access: EgressAccess) -> None:
        self._access = access
        self._route = Route(access.names.share(_LOOKUPS_MAX), access.limits)

    async def send(self, request: HttpRequest, traffic: HttpTraffic) -> HttpResponse:
        url, host, port = _target(request.url)
        where = f"{url.host}:{port}"
        try:
            async with asyncio.timeout(request.timeout_s):
                policy = self._access.policy_for(request.egress)
                addresses = await self._route.find_addresses(host, port, policy)
                return await _exchange(request, url, _Pinned(addresses, port), traffic)
        except NotConnected as error:
            answer = error.answer
            if answer.is_refusal:
                raise TargetRefusedError(where, answer.reason) from None
            raise _unreachable(f"{where} could not be reached: {answer.reason}") from error
        except TimeoutError:
            raise CallerError("HttpProxy.Timeout", f"{where} did not answer in time") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _unreachable(f"the request to {where} failed: {_describe(error)}") from error


class _Pinned(AbstractResolver):
    """Resolves every name to the addresses that were checked, and makes sockets for no others."""

    def __init__(self, addresses: Sequence[Address], port: int) -> None:
        self._addresses = addresses
        self._port = port

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=self._port,
                family=socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        """Nothing is open."""

    def make_socket(self, info: tuple[Any, ...]) -> socket.socket:
        """For aiohttp's connector. Raises PermissionError for an address that was not checked."""
        family, kind, protocol, _, sockaddr = info
        if ip_address(sockaddr[0]) not in self._addresses or sockaddr[1] != self._port:
            raise PermissionError(f"{sockaddr[0]} port {sockaddr[1]} was not checked")
        return socket.socket(family, kind, protocol)


async def _exchange(
    request: HttpRequest, url: URL, pinned: _Pinned, traffic: HttpTraffic
) -> HttpResponse:
    connector = aiohttp.TCPConnector(
        resolver=pinned, use_dns_cache=False, force_close=True, socket_factory=pinned.make_socket
    )
    async with (
        aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "yunhan"},
            skip_auto_headers=("Content-Type",),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT_S),
            trace_configs=[_counted_into(traffic)],
            trust_env=False,
        ) as session,
        session.request(
            request.method,
            url,
            headers=_forwarded(request.headers),
            data=request.body or None,
            allow_redirects=False,
        ) as response,
    ):
        traffic.bytes_moved += _answer_head_bytes(response)
        try:
            body = await _read_body(response.content, request.response_max_bytes)
        finally:
            # aiohttp 3.14: the reader of an answer without a body lacks what this property reads.
            traffic.bytes_moved += getattr(response.content, "total_raw_bytes", 0)
        return HttpResponse(status=response.status, headers=_headers_of(response), body=body)


def _counted_into(traffic: HttpTraffic) -> aiohttp.TraceConfig:
    """Counts connections, and requests as they are sent."""

    async def on_connected(*_: object) -> None:
        traffic.connections += 1

    async def on_head(
        _session: object, _context: object, sent: aiohttp.TraceRequestHeadersSentParams
    ) -> None:
        first = len(sent.method) + len(sent.url.raw_path_qs) + len("  HTTP/1.1\r\n")
        fields = sum(
            len(name) + len(value.encode("utf-8", "surrogateescape")) + len(": \r\n")
            for name, value in sent.headers.items()
        )
        traffic.bytes_moved += first + fields + len("\r\n")

    async def on_body(
        _session: object, _context: object, sent: aiohttp.TraceRequestChunkSentParams
    ) -> None:
        traffic.bytes_moved += len(sent.chunk)

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(on_connected)
    trace.on_request_headers_sent.append(on_head)
    trace.on_request_chunk_sent.append(on_body)
    return trace


def _answer_head_bytes(response: aiohttp.ClientResponse) -> int:
    first = len("HTTP/1.1 200 \r\n") + len((response.reason or "").encode("utf-8", "replace"))
    fields = sum(len(name) + len(value) + len(": \r\n") for name, value in response.raw_headers)
    return first + fields + len("\r\n")


async def _read_body(content: aiohttp.StreamReader, max_bytes: int) -> bytes:
    """Raises CallerError as soon as it is too long."""
    body = bytearray()
    async for chunk in content.iter_chunked(_CHUNK_BYTES):
        body += chunk
        if len(body) > max_bytes:
            raise CallerError(
                "ResponseContentLength.Exceeded",
                f"the answer has more than {max_bytes} bytes",
            )
    return bytes(body)


def _target(text: str) -> tuple[URL, Host, int]:
    """Raises CallerError for anything but an http or https URL of a host as `sandbox.egress` takes it."""
    try:
        url = URL(text)
        scheme, raw_host, port = url.scheme, url.raw_host, url.port
    except (UnicodeError, ValueError):
        raise _bad_url(f"{text[:200]} is no URL") from None
    if scheme not in {"http", "https"} or not raw_host:
        raise _bad_url(f"{text[:200]} is no http or https URL")
    if not port:
        raise _bad_url("there is no port 0")
    try:
        return url, parse_host(f"[{raw_host}]" if ":" in raw_host else raw_host), port
    except HostError as error:
        raise _bad_url(f"{raw_host[:200]} {error}") from None


def _forwarded(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _NOT_FORWARDED}


def _headers_of(response: aiohttp.ClientResponse) -> dict[str, str | list[str]]:
    # "identity" needs no decoding: the fields are true then.
    decoded = response.headers.get("Content-Encoding", "identity").lower() != "identity"
    headers: dict[str, str | list[str]] = {}
    for raw_name in dict.fromkeys(name.lower() for name in response.headers):
        values = [_printable(value) for value in response.headers.getall(raw_name)]
        if decoded and raw_name in _OF_THE_ENCODED_BODY:
            continue
        headers[_printable(raw_name)] = values if raw_name == "set-cookie" else ", ".join(values)
    return headers


def _printable(text: str) -> str:
    """A header may hold bytes that are no UTF-8; aiohttp reads them as lone surrogates."""
    return text.encode("utf-8", "replace").decode()


def _describe(error: Exception) -> str:
    """Without aiohttp's own words: they name the addresses behind a name, which are the operator's."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not valid"
    if isinstance(error, OSError) and (error.errno or 0) in errno.errorcode:
        return errno.errorcode[error.errno or 0]
    return type(error).__name__ if isinstance(error, aiohttp.ClientError) else str(error)[:200]


def _bad_url(message: str) -> CallerError:
    return CallerError("InvalidParameter.url", message)


def _unreachable(message: str) -> CallerError:
    return CallerError("HttpProxy.Unreachable", message)
