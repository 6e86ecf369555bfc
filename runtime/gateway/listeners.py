"""Listening sockets: accepts connections, does the TLS handshake, hands them to `Connections`."""

from __future__ import annotations

import asyncio
import socket
import ssl

import structlog
from aiohttp import web

from runtime.gateway.connections import Connections

ACCEPTS_AT_ONCE = 16
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
    Here no more than `handshakes_max` are under way: one more ends the oldest, so that clients who connect
    and say nothing keep nobody out."""

    __slots__ = ("_context", "_handshake_timeout_s", "_handshakes", "_handshakes_max", "_retry")

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
        self._handshakes_max = handshakes_max
        self._handshakes: dict[asyncio.Task[None], socket.socket | None] = {}
        """Oldest first, with the socket as long as it is still ours to close."""
        self._retry: asyncio.TimerHandle | None = None

    @property
    def _scheme(self) -> str:
        return "https"

    async def start(self) -> None:
        await web.BaseSite.start(self)
        _bound_unsent(self._address, self._connections.write_stall_s)
        self._address.setblocking(False)  # noqa: FBT003 - its only parameter
        self._address.listen(self._backlog)
        self._watch()

    async def stop(self) -> None:
        """As for other sites; connections whose handshake is not over are closed. Idempotent."""
        if self._retry is not None:
            self._retry.cancel()
        if self._address.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._address)
            self._address.close()
        for handshake in self._handshakes:
            handshake.cancel()
        if self._handshakes:
            await asyncio.wait(self._handshakes)
        await super().stop()

    def _watch(self) -> None:
        asyncio.get_running_loop().add_reader(self._address, self._accept)

    def _accept(self) -> None:
        """Take clients who wait, not all of them at once: the loop has other work."""
        loop = asyncio.get_running_loop()
        for _ in range(ACCEPTS_AT_ONCE):
            try:
                client, _address = self._address.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except Exception as error:  # noqa: BLE001 - a listener that ends would go unnoticed
                _log.error("accept_failed", listener=self.name, error=str(error))
                loop.remove_reader(self._address)
                self._retry = loop.call_later(ACCEPT_RETRY_S, self._watch)
                return
            client.setblocking(False)  # noqa: FBT003 - its only parameter
            self._begin(client)

    def _begin(self, client: socket.socket) -> None:
        under_way = [one for one in self._handshakes if not one.cancelling()]
        if len(under_way) >= self._handshakes_max:
            under_way[0].cancel()
        handshake = asyncio.get_running_loop().create_task(
            self._shake_hands(client), name="TLS handshake"
        )
        self._handshakes[handshake] = client
        handshake.add_done_callback(self._handshake_done)

    async def _shake_hands(self, client: socket.socket) -> None:
        """Ends with the handshake; the connection then belongs to `Connections`. Raises OSError when the
        client speaks no TLS, has no common version, is too slow or gone."""
        task = asyncio.current_task()
        assert task is not None
        self._handshakes[task] = None  # the loop closes it from here on, whatever happens
        await asyncio.get_running_loop().connect_accepted_socket(
            self._connections,
            client,
            ssl=self._context,
            ssl_handshake_timeout=self._handshake_timeout_s,
            ssl_shutdown_timeout=self._connections.write_stall_s,
        )

    def _handshake_done(self, handshake: asyncio.Task[None]) -> None:
        client = self._handshakes.pop(handshake)
        if client is not None:
            client.close()  # cancelled before its first step
        if handshake.cancelled():
            self._connections.handshakes_failed += 1
            return
        error = handshake.exception()
        if isinstance(error, OSError):
            self._connections.handshakes_failed += 1
            _log.debug("tls_handshake_failed", error=str(error))
        elif error is not None:
            _log.error("tls_handshake_broken", exc_info=error)


def _bound_unsent(listening: socket.socket, seconds: float) -> None:
    """Let the system give up on clients that take nothing; accepted sockets inherit it.

    A program sees this only as long as the bytes are in its own buffers, and not below TLS. Where there is no
    such option (it is Linux's), what `Connection` sees has to do."""
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listening.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, round(seconds * 1000))
        )
