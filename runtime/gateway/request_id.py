"""Every request gets an id, every answer carries it in the header `request-id` (client protocol §3)."""

from __future__ import annotations

from aiohttp import web

from runtime.ids import new_request_id

HEADER = "request-id"
_KEY = web.RequestKey("yunhan-request-id", str)


def request_id_of(request: web.Request) -> str:
    """The id of this request; made at the first question."""
    request_id = request.get(_KEY)
    if request_id is None:
        request_id = new_request_id()
        request[_KEY] = request_id
    return request_id
