"""Calls of web pages from other origins: refused before anything is done, or answered so that the page can
read the answer. Without an `Origin` header (mini programs, servers) nothing of this applies."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from aiohttp import web
from aiohttp.typedefs import Handler

from runtime.messages import AccessConfig
from runtime.services.cors import OriginRefusedError, origin_allowed

CLIENT_METHODS = ("POST",)
FILE_METHODS = ("GET", "HEAD", "POST", "PUT")

SDK_HEADERS = (
    "content-type",
    "x-basement-token",
    "x-serverless-sign",
    "x-serverless-ua",
)
"""What the client SDKs send beside what every page may (client protocol §2)."""

_EXPOSED = "request-id, etag"
_PREFLIGHT_AGE_S = 600
"""How long browsers may remember the answer to a preflight. It promises nothing, so it need not be short."""
_NAMES_MAX = 64
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}", re.ASCII)
_CACHED = frozenset({"GET", "HEAD"})
_ALLOWED = web.RequestKey("yunhan-origin", str)


class CrossOrigin:
    """See the module. `always` are the hosts whose pages may call every space."""

    def __init__(self, *, always: Sequence[str] = ()) -> None:
        self._always = tuple(always)
        self.refused = 0
        """Requests, since the start."""

    def allowed(self, access: AccessConfig, origin: str) -> bool:
        """Whether pages of this origin, as the header says it, may call the space."""
        return origin_allowed(access, origin, self._always)

    def check(self, request: web.Request, space_id: str, access: AccessConfig) -> None:
        """Raises OriginRefusedError. Call it as soon as the space is known; answers to a request that passed
        can be read by its page (`add_headers`), whatever they say."""
        if not self.note(request, access):
            self.refused += 1
            raise OriginRefusedError(space_id)

    def note(self, request: web.Request, access: AccessConfig) -> bool:
        """`check` for what is kept from nobody, as public files: whether it would have passed, so that the
        page can read the answer."""
        origins = request.headers.getall("Origin", ())
        if not origins:
            return True
        if len(origins) > 1 or not self.allowed(access, origins[0]):
            return False
        request[_ALLOWED] = origins[0]
        return True


def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """For every answer at these addresses, before it is sent. Of a request that `CrossOrigin` did not pass no
    page can read the answer. Caches are told that it depends on the origin, also by one without."""
    if "Origin" not in request.headers and request.method not in _CACHED:
        return
    response.headers.add("Vary", "Origin")
    origin = request.get(_ALLOWED)
    if origin is not None:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = _EXPOSED


def preflight(methods: Iterable[str] = CLIENT_METHODS) -> Handler:
    """The handler of OPTIONS. A preflight names no space, so it lets every page ask; the request itself is
    decided upon by `CrossOrigin.check`, before it does anything. No credentials: there are no cookies."""
    told = ", ".join(methods)

    async def handle(request: web.Request) -> web.Response:
        return web.Response(
            status=204,
            headers={
                "Access-Control-Allow-Origin": "*",
                "Access-Control-Allow-Methods": told,
                "Access-Control-Allow-Headers": ", ".join(_wanted(request)),
                "Access-Control-Max-Age": str(_PREFLIGHT_AGE_S),
                "Vary": "Access-Control-Request-Headers",
            },
        )

    return handle


def _wanted(request: web.Request) -> list[str]:
    """The headers that are asked for, and those of the SDKs. None of them means anything before the request's
    signature was checked."""
    asked = request.headers.get("Access-Control-Request-Headers", "").split(",", _NAMES_MAX)
    names = [each.strip(" \t").lower() for each in asked[:_NAMES_MAX]]
    return list(dict.fromkeys([*SDK_HEADERS, *filter(_NAME.fullmatch, names)]))
