"""One connection from the sandbox: reads its head, answers, and hands it over to what follows."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from typing import Protocol, cast

from sandbox.egress.answers import Answer, NotConnected, failed, malformed
from sandbox.egress.counts import Tally
from sandbox.egress.head import END_OF_HEAD, Target, parse_head
from sandbox.egress.hosts import Host
from sandbox.egress.internal import InternalHandler, InternalSide
from sandbox.egress.limits import EgressLimits
from sandbox.egress.relay import Relay, unix_peer_is_gone


class ConnectionOwner(Protocol):
    """The gate, as its connections see it."""

    tally: Tally
    scratch: memoryview
    limits: EgressLimits

    def admit(self, connection: Connection) -> None:
        """Raises NotConnected when `connection` would be one too many."""

    def internal_handler(self, host: Host, port: int) -> InternalHandler | None: ...

    async def reach(self, host: Host, port: int) -> socket.socket:
        """Raises NotConnected."""

    def not_connected(self, target: Target | None, answer: Answer) -> None:
        """Called once for each connection that gets `answer` instead of what it asked for."""

    def bytes_moved(self) -> None: ...

    def connection_ended(self, connection: Connection) -> None:
        """Nothing of `connection` is left: no socket, no task. Called once, last."""


class Connection(asyncio.Protocol):
    """From the accepted socket to the end of everything that was made for it. Also a RelayOwner."""

    def __init__(self, owner: ConnectionOwner, accepted: socket.socket) -> None:
        """Takes `accepted` over. Must be called on the event loop."""
        self.tally = owner.tally
        self.scratch = owner.scratch
        self.idle_timeout_s = owner.limits.idle_timeout_s
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()
        self._ended = False
        self._aborted = False
        self._answered = False
        self._transport: asyncio.Transport | None = None
        self._relay: Relay | None = None
        self._opening: asyncio.Task[None] | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        # Sockets and tasks that are still there.
        self._parts = 0
        self._attaching = self._start(self._attach(accepted), "attach an egress connection")

    def abort(self) -> None:
        """End everything at once. Idempotent; `connection_ended` follows."""
        self._aborted = True
        if self._opening is not None:
            self._opening.cancel()
        if self._relay is not None:
            self._relay.abort()
        if self._transport is not None:
            self._transport.abort()

    # --- asyncio.Protocol, until a relay or a handler takes over ----------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._parts += 1
        self._head_timer = self._loop.call_later(
            self._owner.limits.head_timeout_s, self._on_head_timeout
        )

    def data_received(self, data: bytes) -> None:
        if self._answered or self._aborted:
            return
        self._received += data
        if self._opening is None:
            self._read_head()
        if len(self._received) >= self._owner.limits.buffer_bytes and self._transport is not None:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        if self._opening is None or self._transport is None:
            return False
        if unix_peer_is_gone(self._transport):
            self.abort()
            return False
        self._ended = True
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_head_timer()
        if self._opening is not None:
            self._opening.cancel()
        self._client_closed()

    # --- the head -------------------------------------------------------------------------------

    def _read_head(self) -> None:
        head_max_bytes = self._owner.limits.head_max_bytes
        end = self._received.find(END_OF_HEAD, 0, head_max_bytes)
        target: Target | None = None
        try:
            if end >= 0:
                end += len(END_OF_HEAD)
                target = parse_head(bytes(self._received[:end]))
                host, port = target.parse()
                self._owner.admit(self)
            elif len(self._received) >= head_max_bytes:
                raise malformed(f"the head has more than {head_max_bytes} bytes")
            else:
                return
        except NotConnected as error:
            self._answer(target, error.answer)
            return
        del self._received[:end]
        self._cancel_head_timer()
        handler = self._owner.internal_handler(host, port)
        if handler is not None:
            self._enter(handler)
            return
        self._opening = self._start(
            self._open(target, host, port), f"open egress to {target.host}:{target.port}"
        )

    def _on_head_timeout(self) -> None:
        if self._answered:
            self.abort()
        else:
            limit_s = self._owner.limits.head_timeout_s
            self._answer(None, malformed(f"no request came within {limit_s:g} s").answer)

    def _answer(self, target: Target | None, answer: Answer) -> None:
        self._answered = True
        self._received.clear()
        self._owner.not_connected(target, answer)
        if self._transport is not None:
            self._transport.write(answer.encode())
            self._transport.close()
            # A client that does not even take this is cut off.
            self._cancel_head_timer()
            self._head_timer = self._loop.call_later(
                self._owner.limits.head_timeout_s, self._on_head_timeout
            )

    def _cancel_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()

    # --- what follows ---------------------------------------------------------------------------

    def _enter(self, handler: InternalHandler) -> None:
        assert self._transport is not None
        self._answered = True
        self._owner.tally.connections += 1
        early, ended = self._take_early()
        InternalSide(handler(), self._client_closed).start(self._transport, early, ended=ended)

    async def _open(self, target: Target, host: Host, port: int) -> None:
        try:
            far = await self._owner.reach(host, port)
        except NotConnected as error:
            self._answer(target, error.answer)
            return
        except Exception:
            self._answer(target, failed("EIO", "the worker failed; see its own log").answer)
            raise
        assert self._transport is not None
        self._relay = Relay(self, self._transport, far, take_early=self._take_early)
        self._attaching = self._start(
            self._attach_far(self._relay, far), f"attach egress to {target.host}:{target.port}"
        )

    def _take_early(self) -> tuple[bytes, bool]:
        early = bytes(self._received)
        self._received.clear()
        return early, self._ended

    # --- RelayOwner, and the end ----------------------------------------------------------------

    def bytes_moved(self) -> None:
        self._owner.bytes_moved()

    def side_opened(self) -> None:
        self._parts += 1
        self._owner.tally.connections += 1

    def side_closed(self) -> None:
        self._part_ended()

    def _client_closed(self) -> None:
        self._transport = None
        self._part_ended()

    # The tasks that attach a socket end within the next turns of the loop. They are never
    # cancelled, and until they end the transport is not aborted from `connection_made`: on uvloop
    # a protocol would not hear of its end, or a descriptor would be closed twice.

    async def _attach(self, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: self, accepted)
        except OSError:  # it was closed already
            accepted.close()
        if self._aborted:
            self.abort()

    async def _attach_far(self, relay: Relay, far: socket.socket) -> None:
        try:
            await self._loop.create_connection(lambda: relay.far, sock=far)
        except OSError:
            far.close()
            self.abort()
        relay.attached()

    def _start(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        self._parts += 1
        task = self._loop.create_task(work, name=name)
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._loop.call_exception_handler(
                {"message": f"the task '{task.get_name()}' failed", "exception": error}
            )
            self.abort()
        self._part_ended()

    def _part_ended(self) -> None:
        self._parts -= 1
        if self._parts == 0:
            self._relay = None
            self._owner.connection_ended(self)
