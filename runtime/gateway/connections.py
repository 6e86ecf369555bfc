"""Bounds on client connections: how many there are, and how long one may keep us waiting.

Each wait for a client has one bound, whichever way the client drags it out:

  first request's head      head_timeout_s, here
  every further head        keepalive_s, by aiohttp: counted from the answer before it, not from the last byte
  a request's body          by the handler that reads it (`bodies`)
  a body after its refusal  linger_s, by aiohttp
  taking an answer          write_stall_s without any progress, here and in the listener's sockets
"""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios
from collections.abc import Mapping
from typing import cast

import structlog
from aiohttp import web

from runtime.gateway.refused_connections import RefusedConnection
from runtime.gateway.request_id import HEADER, request_id_of
from runtime.services import envelope

REFUSED_AT_ONCE_MAX = 128
"""Refused connections that are being answered; beyond this they are closed without a word."""

REASON_MAX_CHARACTERS = 200

_log = structlog.get_logger(__name__)


class Connections:
    """The protocol factory of all listeners of one gateway. Used in the loop's thread only.

    The public numbers count since the start.
    """

    def __init__(
        self,
        server: web.Server,
        *,
        connections_max: int,
        head_timeout_s: float,
        keepalive_s: float,
        write_stall_s: float,
        linger_s: float,
        head_fields_max: int,
        head_field_max_bytes: int,
    ) -> None:
        """`server` is that of a runner that is set up; it needs no protocol options of its own.

        `connections_max` bounds the open connections over all listeners, those idle between requests too.
        """
        self.server = server
        self.loop = asyncio.get_running_loop()
        self.head_timeout_s = head_timeout_s
        self.keepalive_s = keepalive_s
        self.write_stall_s = write_stall_s
        self.linger_s = linger_s
        self.head_fields_max = head_fields_max
        self.head_field_max_bytes = head_field_max_bytes
        self.refused = 0
        self.cut_head = 0
        self.cut_stalled = 0
        self.malformed = 0
        self.handshakes_failed = 0
        self._connections_max = connections_max
        self._open: dict[Connection, asyncio.Transport] = {}
        self._refusing: set[RefusedConnection] = set()

    def __call__(self) -> Connection:
        """The protocol of one connection that a listener has accepted."""
        return Connection(self)

    def __len__(self) -> int:
        """Connections that are open and not refused."""
        return len(self._open)

    def gauges(self) -> Mapping[str, float]:
        """For `/metrics`."""
        return {
            "connections_open": len(self._open),
            "connections_refused_total": self.refused,
            "connections_cut_head_total": self.cut_head,
            "connections_cut_stalled_total": self.cut_stalled,
            "requests_malformed_total": self.malformed,
            "tls_handshakes_failed_total": self.handshakes_failed,
        }

    def abort(self) -> None:
        """End what is left, unsent bytes and all; the last step, after the runner's cleanup. Idempotent."""
        for transport in list(self._open.values()):
            transport.abort()
        for refused in list(self._refusing):
            refused.abort()

    def admit(self, connection: Connection, transport: asyncio.Transport) -> bool:
        """Count the connection in. False when it is refused: then it is not the transport's protocol."""
        if len(self._open) < self._connections_max:
            self._open[connection] = transport
            return True
        self.refused += 1
        if len(self._refusing) < REFUSED_AT_ONCE_MAX:
            self._refusing.add(RefusedConnection(transport, on_closed=self._refusing.discard))
        else:
            transport.set_protocol(asyncio.Protocol())
            transport.abort()
        return False

    def forget(self, connection: Connection) -> None:
        """The connection is lost."""
        self._open.pop(connection, None)


class Connection(web.RequestHandler):
    """aiohttp's connection with our bounds around it, and our answers to what is not HTTP.

    Only methods of asyncio's protocol interface and `handle_error` are overridden; none of them runs once
    per request."""

    __slots__ = ("_head_timer", "_owner", "_stall_timer", "_wire")

    def __init__(self, owner: Connections) -> None:
        super().__init__(
            owner.server,
            loop=owner.loop,
            keepalive_timeout=owner.keepalive_s,
            access_log=None,  # type: ignore[arg-type]  # documented: switches it off
            auto_decompress=False,
            lingering_time=owner.linger_s,
            max_line_size=owner.head_field_max_bytes,
            max_field_size=owner.head_field_max_bytes,
            max_headers=owner.head_fields_max,
        )
        self._owner = owner
        self._wire: asyncio.Transport | None = None  # aiohttp's own is None once it closes
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None

    def request_began(self) -> None:
        """The first head is here."""
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        wire = cast("asyncio.Transport", transport)
        if not self._owner.admit(self, wire):
            return
        self._wire = wire
        self._head_timer = self._owner.loop.call_later(self._owner.head_timeout_s, self._cut_head)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._owner.forget(self)
        self._wire = None
        self.request_began()
        self._stop_watching()
        if isinstance(
            exc, TimeoutError
        ):  # the system gave up on unsent bytes, or TLS on its farewell
            self._owner.cut_stalled += 1
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_unsent()

    def resume_writing(self) -> None:
        self._stop_watching()
        super().resume_writing()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to a request that could not be read (400), or whose handler raised.

        What strangers send must not fill the log: it is counted. Only faults of ours have a traceback."""
        request_id = request_id_of(cast("web.Request", request))
        if status == 400:
            self._owner.malformed += 1
            code, text = "BadRequest", _reason(message)
            _log.debug("request_malformed", reason=text, client=request.remote)
        else:
            code = "InternalServerError"
            text = f"the request failed on our side (request {request_id})"
            _log.error("request_failed", request_id=request_id, path=request.path, exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already, no other can follow")
        response = web.Response(
            status=status,
            body=envelope.failure(code, text, request_id=request_id),
            content_type="application/json",
            charset="utf-8",
            headers={HEADER: request_id, "Server": "yunhan"},
        )
        response.force_close()
        return response

    def _cut_head(self) -> None:
        self._head_timer = None
        if self._wire is not None:
            self._owner.cut_head += 1
            self._wire.abort()

    def _watch_unsent(self) -> None:
        """A client that is slow may go on; one that takes nothing at all may not."""
        if self._wire is not None:
            self._stall_timer = self._owner.loop.call_later(
                self._owner.write_stall_s, self._check_unsent, _unsent(self._wire)
            )

    def _check_unsent(self, unsent_before: int) -> None:
        self._stall_timer = None
        if self._wire is None:
            return
        if _unsent(self._wire) != unsent_before:
            self._watch_unsent()
            return
        self._owner.cut_stalled += 1
        self._wire.abort()

    def _stop_watching(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None


def request_began(request: web.BaseRequest) -> None:
    """To be called for every request before anything is awaited; costs a tenth of a microsecond.

    A connection whose first request is not announced here is cut after `head_timeout_s`."""
    connection = request.protocol
    if isinstance(connection, Connection):
        connection.request_began()


def _unsent(wire: asyncio.Transport) -> int:
    """Bytes that the client has not taken: ours and the system's. Behind large buffers of the system ours
    stand still for longer than a slow client may be silent."""
    ours = wire.get_write_buffer_size()
    address = wire.get_extra_info("socket")
    if address is None or not hasattr(termios, "TIOCOUTQ"):
        return ours
    try:
        (systems,) = struct.unpack("i", fcntl.ioctl(address.fileno(), termios.TIOCOUTQ, bytes(4)))
    except OSError:  # closed meanwhile, or a system that counts no such thing
        return ours
    return ours + int(systems)


def _reason(message: str | None) -> str:
    """The parser's first line: the others show the caller's own bytes."""
    first_line = (message or "").partition("\n")[0].strip(" :")[:REASON_MAX_CHARACTERS]
    return f"the request is not valid HTTP: {first_line or 'it cannot be read'}"
