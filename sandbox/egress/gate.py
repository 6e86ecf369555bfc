"""One sandbox's way to the network: a unix socket that answers CONNECT within policy and bounds."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Mapping
from pathlib import Path

from sandbox.api import SandboxError
from sandbox.channel import check_channel_path
from sandbox.egress.answers import Answer, bound_reached
from sandbox.egress.connection import Connection
from sandbox.egress.counts import EgressCounts, OnRefused, Refusals, Tally, tell_nobody
from sandbox.egress.head import Target
from sandbox.egress.hosts import Host, HostError, parse_port
from sandbox.egress.internal import InternalHandler, internal_hosts
from sandbox.egress.limits import EgressLimits
from sandbox.egress.names import Names
from sandbox.egress.policy import NOTHING, EgressPolicy
from sandbox.egress.route import Route
from sandbox.pace import Pace

_BACKLOG = 128
_PASSING = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR, errno.ECONNABORTED})
_NO_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_RETRY_S = 1.0


class EgressGate:
    """Open from its construction until `close`; used in the loop's thread only.

    Owned by whoever owns the sandbox: no connection, task or socket outlives `close`.
    """

    def __init__(
        self,
        path: Path,
        *,
        names: Names,
        policy: EgressPolicy = NOTHING,
        limits: EgressLimits | None = None,
        on_refused: OnRefused = tell_nobody,
        internal: Mapping[str, InternalHandler] | None = None,
        route: Route | None = None,
    ) -> None:
        """Listen on `path`; must be called on the event loop.

        `internal` maps texts like ``files.yunhan.internal:80`` to handlers; those hosts are reached
        under every policy. `route` is for tests. Raises SandboxError when the socket cannot be made.
        """
        self.limits = limits or EgressLimits()
        self.policy = policy
        """May be replaced at any time, as at the binding; connections that are open stay open."""
        self.tally = Tally()
        # Read in halves, so that what a side holds and what was just read fit the bound together.
        self.scratch = memoryview(bytearray(max(1, self.limits.buffer_bytes // 2)))
        self._path = path
        self._internal = internal_hosts(internal or {})
        self._refusals = Refusals(on_refused, self.limits.refusals_told_max)
        self._route = route or Route(names.share(self.limits.lookups_max), self.limits)
        self._loop = asyncio.get_running_loop()
        self._pace = Pace(self.limits.connects_per_s, self.limits.connects_burst, self._loop.time())
        self._connections: set[Connection] = set()
        self._admitted: set[Connection] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._rest: asyncio.TimerHandle | None = None
        self._listener = _listen(path)
        self._loop.add_reader(self._listener, self._accept)

    @property
    def listening(self) -> bool:
        """False after `close`, and after the socket broke, which the loop's exception handler was
        told; connections that are open live on."""
        return self._listener.fileno() != -1

    @property
    def open_connections(self) -> int:
        """Connections that are there now, those that are being made or refused included."""
        return len(self._connections)

    def counts(self) -> EgressCounts:
        """What happened since the gate was opened."""
        return self.tally.counts()

    def take_untold(self) -> int:
        """Refusals that `on_refused` was not told of since the last call; from now on it is told
        again. For the end of an invocation."""
        return self._refusals.take_untold()

    async def close(self) -> None:
        """Stop listening, remove the socket, end every connection. Idempotent.

        Returns when nothing is left. A cancelled call has ended everything too, but did not wait.
        """
        self._stop_listening()
        for connection in list(self._connections):
            connection.abort()
        await self._empty.wait()

    # --- accepting ------------------------------------------------------------------------------

    def _accept(self) -> None:
        wait_s = self._pace.admit(self._loop.time())
        if wait_s > 0:
            self._rest_for(wait_s)
            return
        try:
            accepted, _ = self._listener.accept()
        except OSError as error:
            self._on_accept_error(error)
            return
        if len(self._connections) >= self.limits.connections_max + self.limits.over_bound_max:
            accepted.close()
            self.tally.refused += 1
            return
        accepted.settimeout(0)
        self._empty.clear()
        self._connections.add(Connection(self, accepted))

    def _rest_for(self, wait_s: float) -> None:
        self._loop.remove_reader(self._listener)
        self._rest = self._loop.call_later(wait_s, self._resume)

    def _resume(self) -> None:
        self._rest = None
        self._loop.add_reader(self._listener, self._accept)

    def _on_accept_error(self, error: OSError) -> None:
        if error.errno in _PASSING:
            return
        self._loop.call_exception_handler(
            {"message": f"the egress socket {self._path} does not accept", "exception": error}
        )
        if error.errno in _NO_RESOURCES:
            self._rest_for(_RETRY_S)
        else:
            self._stop_listening()

    def _stop_listening(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        if self.listening:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._path.unlink(missing_ok=True)

    # --- ConnectionOwner ------------------------------------------------------------------------

    def admit(self, connection: Connection) -> None:
        connections_max, bytes_max = self.limits.connections_max, self.limits.bytes_max
        if len(self._admitted) >= connections_max:
            raise bound_reached(f"more than {connections_max} connections are open")
        if bytes_max is not None and self.tally.bytes_up + self.tally.bytes_down >= bytes_max:
            raise bound_reached(f"more than {bytes_max} bytes went over the network")
        self._admitted.add(connection)

    def internal_handler(self, host: Host, port: int) -> InternalHandler | None:
        return self._internal.get((host, port)) if isinstance(host, str) else None

    async def reach(self, host: Host, port: int) -> socket.socket:
        return await self._route.reach(host, port, self.policy)

    def not_connected(self, target: Target | None, answer: Answer) -> None:
        if not answer.is_refusal:
            self.tally.failed += 1
            return
        self.tally.refused += 1
        if target is not None:
            port: int | None = None
            with contextlib.suppress(HostError):
                port = parse_port(target.port)
            self._refusals.tell(target.host, port, answer.reason)

    def bytes_moved(self) -> None:
        bytes_max = self.limits.bytes_max
        if bytes_max is not None and self.tally.bytes_up + self.tally.bytes_down > bytes_max:
            for connection in list(self._connections):
                connection.abort()

    def connection_ended(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._admitted.discard(connection)
        if not self._connections:
            self._empty.set()


def _listen(path: Path) -> socket.socket:
    check_channel_path(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.settimeout(0)
        listener.bind(os.fspath(path))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise SandboxError(
            f"the socket {path} cannot be made: {error.strerror}.",
            what_next="Check that the directory exists and is writable.",
        ) from error
    return listener
