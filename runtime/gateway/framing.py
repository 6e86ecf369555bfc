"""Requests after which the server's parser cannot be trusted with the same connection."""

from __future__ import annotations

from aiohttp import HttpVersion10, HttpVersion11, web

from runtime.errors import CallerError
from runtime.trigger.addresses import host_name

_SPOKEN = (HttpVersion10, HttpVersion11)


def speaks(request: web.BaseRequest) -> bool:
    """False for HTTP/0.9 and HTTP/2.0, which the parser lets through."""
    return request.version in _SPOKEN


def ends_connection(request: web.BaseRequest) -> bool:
    """True when what follows on the connection may be read wrongly.

    The parser (aiohttp 3.14) puts the last trailer field of a chunked body before the fields of the next
    request, and drops what came in one packet behind a request that wishes to upgrade.
    """
    headers = request.headers
    return "transfer-encoding" in headers or "upgrade" in headers or request.method == "CONNECT"


def check_framing(request: web.BaseRequest) -> None:
    """Raises CallerError for a transfer coding other than chunked, and for two different hosts."""
    coding = request.headers.get("transfer-encoding", "chunked")
    if coding.strip().lower() != "chunked":
        raise CallerError("BadRequest", f"the transfer coding {coding[:32]!r} is not known")
    host = request.headers.get("host")
    if host is not None and host_name(request.host) != host_name(host):
        raise CallerError("BadRequest", "the request's target and its Host field name two hosts")
