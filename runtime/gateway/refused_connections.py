"""The last moments of a connection that is one too many."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from runtime.errors import OverloadedError
from runtime.gateway.request_id import HEADER
from runtime.ids import new_request_id
from runtime.services import envelope

LINGER_S = 1.0
"""How long its client may go on sending before it is cut off."""


class RefusedConnection(asyncio.Protocol):
    """Answers 503 without reading a request, and ends.

    It does not close at once: when a client's bytes meet a closed socket the system resets the connection,
    and the client may never see the answer. What comes meanwhile is dropped."""

    def __init__(
        self, transport: asyncio.Transport, *, on_closed: Callable[[RefusedConnection], None]
    ) -> None:
        """Takes `transport` over from its protocol."""
        self._transport = transport
        self._on_closed = on_closed
        self._timer = asyncio.get_running_loop().call_later(LINGER_S, transport.abort)
        transport.set_protocol(self)
        transport.write(_refusal())
        if transport.can_write_eof():
            transport.write_eof()

    def abort(self) -> None:
        """End now. Idempotent."""
        self._transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._timer.cancel()
        self._on_closed(self)


def _refusal() -> bytes:
    error = OverloadedError("too many connections are open; try again in a moment")
    request_id = new_request_id()
    body = envelope.failure(error.code, error.message, request_id=request_id)
    head = (
        "HTTP/1.1 503 Service Unavailable\r\n"
        f"Retry-After: {error.retry_after_s}\r\n"
        "Connection: close\r\n"
        "Content-Type: application/json; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Server: yunhan\r\n"
        f"{HEADER}: {request_id}\r\n"
        "\r\n"
    )
    return head.encode() + body
