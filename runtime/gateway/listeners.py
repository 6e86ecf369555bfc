"""Listening sockets: accepts connections, does the TLS handshake, hands them to `Connections`."""

from __future__ import annotations

import asyncio
import socket
import ssl

import structlog
from aiohttp import web

from runtime.gateway.connections import Connections

ACCEPT_RETRY_S = 1.0
"""Wait after the system could not accept, e.g. because the descriptors are used up."""

_log = structlog.get_logger(__name__)


class Listener(web.BaseSite):
    """Plain HTTP on a bound socket. A site of the runner: it stops like every other, also by `cleanup`.

    The socket belongs to the listener from `start` on."""

    __slots__ = ("_address", "_connections")

    def __init__(
        self,
        runner: web.BaseRunner,
        connections: Connections,
        address: socket.socket,
        *,
        backlog: int,
    ) -> None:
        super().__init__(runner, backlog=backlog)
        self._connections = connections
        self._address = address

    @property
    def name(self) -> str:
        host, port = self._address.getsockname()[:2]
        return f"{self._scheme}://{f'[{host}]' if ':' in host else host}:{port}"

    @property
    def _scheme(self) -> str:
        return "http"

    async def start(self) -> None:
        """Accept from now on. Connections that came since the socket listens are served too."""
        await super().start()
        _bound_unsent(self._address, self._connections.write_stall_s)
        self._server = await asyncio.get_running_loop().create_server(
            self._connections, sock=self._address, backlog=self._backlog
        )


class TlsListener(Listener):
    """The same over TLS.

    asyncio's own TLS servers begin a handshake for whoever connects, and nobody sees how many there are.
    Here no more than `handshakes_max` are under way; further clients wait in the backlog."""

    __slots__ = ("_accepting", "_context", "_handshake_timeout_s", "_handshakes", "_room")

    def __init__(
        self,
        runner: web.BaseRunner,
        connections: Connections,
        address: socket.socket,
        *,
        backlog: int,
        context: ssl.SSLContext,
        handshake_timeout_s: float,
        handshakes_max: int,
    ) -> None:
        super().__init__(runner, connections, address, backlog=backlog)
        self._context = context
        self._handshake_timeout_s = handshake_timeout_s
        self._room = asyncio.Semaphore(handshakes_max)
        self._handshakes: set[asyncio.Task[None]] = set()
        self._accepting: asyncio.Task[None] | None = None

    @property
    def _scheme(self) -> str:
        return "https"

    async def start(self) -> None:
        await web.BaseSite.start(self)
        _bound_unsent(self._address, self._connections.write_stall_s)
        self._address.setblocking(False)  # noqa: FBT003 - its only parameter
        self._address.listen(self._backlog)
        self._accepting = asyncio.create_task(self._accept(), name="accept TLS connections")

    async def stop(self) -> None:
        """As for other sites; connections whose handshake is not over are closed."""
        accepting, self._accepting = self._accepting, None
        if accepting is not None:
            # While this is awaited the youngest handshake begins too: cancelled before its first step, it
            # would leave its socket open.
            await _end(accepting)
            await _end(*self._handshakes)
            self._address.close()
        await super().stop()

    async def _accept(self) -> None:
        """Runs until it is cancelled, whatever happens to single connections."""
        loop = asyncio.get_running_loop()
        while True:
            await self._room.acquire()
            try:
                client, _ = await loop.sock_accept(self._address)
            except Exception as error:  # noqa: BLE001 - a listener that ends would go unnoticed
                self._room.release()
                _log.error("accept_failed", listener=self.name, error=str(error))
                await asyncio.sleep(ACCEPT_RETRY_S)
                continue
            handshake = loop.create_task(self._shake_hands(client), name="TLS handshake")
            self._handshakes.add(handshake)
            handshake.add_done_callback(self._handshake_done)

    async def _shake_hands(self, client: socket.socket) -> None:
        """Ends with the handshake; the connection then belongs to `Connections`."""
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._connections,
                client,
                ssl=self._context,
                ssl_handshake_timeout=self._handshake_timeout_s,
                ssl_shutdown_timeout=self._connections.write_stall_s,
            )
        except OSError as error:  # no TLS at all, no common version, too slow, gone
            self._connections.handshakes_failed += 1
            _log.debug("tls_handshake_failed", error=str(error))

    def _handshake_done(self, handshake: asyncio.Task[None]) -> None:
        self._handshakes.discard(handshake)
        self._room.release()
        if not handshake.cancelled() and (error := handshake.exception()) is not None:
            _log.error("tls_handshake_broken", exc_info=error)


async def _end(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


def _bound_unsent(listening: socket.socket, seconds: float) -> None:
    """Let the system give up on clients that take nothing; accepted sockets inherit it.

    A program sees this only as long as the bytes are in its own buffers, and not below TLS. Where there is no
    such option (it is Linux's), what `Connection` sees has to do."""
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listening.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, round(seconds * 1000))
        )
