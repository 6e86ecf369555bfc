"""Bytes both ways between the sandbox's connection and the one that was made for it.

Protocols, not streams: what one side reads is written to the other in the same turn of the loop,
and a side that does not take what it is sent stops the other one from being read.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import struct
import sys
from collections.abc import Callable
from typing import Protocol, cast

from sandbox.egress.answers import ESTABLISHED
from sandbox.egress.counts import Tally

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class RelayOwner(Protocol):
    """What a relay needs to know and whom it tells. Nothing here may block or raise."""

    tally: Tally
    scratch: memoryview
    """Where every side reads into; free again when `buffer_updated` returns."""
    idle_timeout_s: float

    def bytes_moved(self) -> None:
        """The tally has grown."""

    def side_opened(self) -> None: ...

    def side_closed(self) -> None:
        """Called once for each side that was opened, and for the client's."""


class Relay:
    """One connection that was made. `start` is called by the far side as soon as it is connected.

    Half-closing is passed on. A side that breaks, or nothing moving for `idle_timeout_s`, ends both
    sides at once; so does `abort`.
    """

    def __init__(
        self,
        owner: RelayOwner,
        client: asyncio.Transport,
        far: socket.socket,
        *,
        take_early: Callable[[], tuple[bytes, bool]],
    ) -> None:
        """`take_early` gives what the sandbox sent before the connection was made, and whether it
        has ended its side since."""
        self._owner = owner
        self._take_early = take_early
        self._far_socket = far
        self._loop = asyncio.get_running_loop()
        self._active_s = self._loop.time()
        self._idle: asyncio.TimerHandle | None = None
        self._aborted = False
        self._attached = False
        self._ended_early = False
        self.client = _ClientSide(self, owner)
        self.far = _FarSide(self, owner)
        self.client.other, self.far.other = self.far, self.client
        self.client.transport = client

    def start(self) -> None:
        """Take over the client's connection."""
        client, far = self.client.transport, self.far.transport
        assert client is not None
        assert far is not None
        if self._aborted or client.is_closing():
            self._aborted = True
            return
        half = len(self._owner.scratch)
        client.set_write_buffer_limits(high=half)
        far.set_write_buffer_limits(high=half)
        early, self._ended_early = self._take_early()
        client.set_protocol(self.client)
        client.write(ESTABLISHED)
        if early:
            self._owner.tally.bytes_up += len(early)
            far.write(early)
        if not (self._ended_early or self.far.paused):
            client.resume_reading()
        self._idle = self._loop.call_later(self._owner.idle_timeout_s, self._check_idle)
        self._owner.bytes_moved()

    def attached(self) -> None:
        """The far side's transport has its socket for good: from now on it may be closed."""
        self._attached = True
        client = self.client.transport
        if self._aborted:
            self.abort()
        elif self._ended_early and client is not None and not self.client.eof_received():
            client.close()

    def touch(self) -> None:
        """Something moved."""
        self._active_s = self._loop.time()
        self._owner.bytes_moved()

    def abort(self) -> None:
        """End both sides without flushing; the far side sees a reset. Idempotent."""
        self._aborted = True
        with contextlib.suppress(OSError):
            if self._far_socket.fileno() != -1:
                self._far_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        if self.far.transport is not None and self._attached:
            self.far.transport.abort()
        if self.client.transport is not None:
            self.client.transport.abort()

    def side_lost(self, side: _Side, error: Exception | None) -> None:
        """`side` is closed, by us or by its peer."""
        other = side.other.transport
        if other is None:
            if self._idle is not None:
                self._idle.cancel()
        elif error is not None or not other.is_closing():
            self.abort()
        self._owner.side_closed()

    def _check_idle(self) -> None:
        left_s = self._active_s + self._owner.idle_timeout_s - self._loop.time()
        if left_s > 0:
            self._idle = self._loop.call_later(left_s, self._check_idle)
        else:
            self.abort()


class _Side(asyncio.BufferedProtocol):
    """One of the two ends."""

    other: _Side
    """Set right after the construction of both."""
    transport: asyncio.Transport | None = None
    ended = False
    """Nothing more will be read from here."""
    paused = False
    """This side takes nothing for now."""

    def __init__(self, relay: Relay, owner: RelayOwner) -> None:
        self._relay = relay
        self._owner = owner
        self._scratch = owner.scratch

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._scratch

    def buffer_updated(self, nbytes: int) -> None:
        self.count(nbytes)
        target = self.other.transport
        if target is not None and not target.is_closing():
            # A copy: a transport may keep what it cannot write at once.
            target.write(bytes(self._scratch[:nbytes]))
        self._relay.touch()

    def eof_received(self) -> bool:
        self.ended = True
        target = self.other.transport
        if target is None or target.is_closing():
            return False
        if self.other.ended or self.peer_is_gone():
            target.close()  # flushes first
            return False
        target.write_eof()
        return True

    def pause_writing(self) -> None:
        self.paused = True
        source = self.other.readable_transport()
        if source is not None:
            source.pause_reading()

    def resume_writing(self) -> None:
        self.paused = False
        source = self.other.readable_transport()
        if source is not None:
            source.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._relay.side_lost(self, exc)

    def readable_transport(self) -> asyncio.Transport | None:
        """The transport, while there may be more to read from it."""
        transport = self.transport
        return None if self.ended or transport is None or transport.is_closing() else transport

    def count(self, nbytes: int) -> None:
        raise NotImplementedError

    def peer_is_gone(self) -> bool:
        return False


class _ClientSide(_Side):
    """Towards the sandbox."""

    def count(self, nbytes: int) -> None:
        self._owner.tally.bytes_up += nbytes

    def peer_is_gone(self) -> bool:
        return self.transport is not None and unix_peer_is_gone(self.transport)


class _FarSide(_Side):
    """Towards the host that the sandbox asked for."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._owner.side_opened()
        self._relay.start()

    def count(self, nbytes: int) -> None:
        self._owner.tally.bytes_down += nbytes


def unix_peer_is_gone(transport: asyncio.BaseTransport) -> bool:
    """Whether the other end of a unix socket, after its end of data, is closed both ways rather
    than half. Where the system does not tell, the answer is no."""
    if sys.platform != "linux":
        return False
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), 0)
    return any(events & select.POLLHUP for _, events in poll.poll(0))
