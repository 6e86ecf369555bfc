"""A small gateway on real sockets with tight bounds, under both loops."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from runtime.gateway.connections import Connections, request_began
from runtime.gateway.listeners import Listener, TlsListener
from runtime.tls.contexts import TlsContexts
from tests.harness.polling import until
from tests.unit.tls.tls_support import issue

HOST = "localhost"
BIG = b"x" * (1 << 20)
GET = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"
GET_BIG = GET.replace(b"/ ", b"/big ", 1)
GET_WAIT = GET.replace(b"/ ", b"/wait ", 1)
GET_FAIL = GET.replace(b"/ ", b"/fail ", 1)
BOTH = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])

_NOW = datetime.now(UTC)
CERTIFICATE = issue(HOST, start=_NOW - timedelta(days=1), end=_NOW + timedelta(days=1))

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Long enough for every test that is not about one of them."""

    connections_max: int = 1000
    head_timeout_s: float = 50
    keepalive_s: float = 50
    write_stall_s: float = 50
    handshake_timeout_s: float = 50
    handshakes_max: int = 100
    linger_s: float = 1
    head_fields_max: int = 64
    head_field_max_bytes: int = 8190


@dataclass
class Gateway:
    runner: web.AppRunner
    connections: Connections
    port: int = 0
    tls_port: int = 0
    begun: int = 0
    ended: int = 0
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    clients: list[asyncio.StreamWriter] = field(default_factory=list)

    async def connect(self, *, tls: bool = False, receive_bytes: int = 0) -> Streams:
        """A client's streams; they are closed when the test ends."""
        client = socket.socket()
        client.setblocking(False)
        if receive_bytes:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        port = self.tls_port if tls else self.port
        try:
            await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port))
            reader, writer = await asyncio.open_connection(
                sock=client,
                ssl=ssl.create_default_context(cadata=CERTIFICATE.pem) if tls else None,
                server_hostname=HOST if tls else None,
                limit=1 << 12,
            )
        except OSError:
            client.close()
            raise
        self.clients.append(writer)
        return reader, writer

    async def handle(self, request: web.Request) -> web.Response:
        request_began(request)
        self.begun += 1
        try:
            if request.path == "/fail":
                raise LookupError("a fault of ours")
            if request.path == "/wait":
                await self.go_on.wait()
            body = BIG if request.path == "/big" else request.query.get("n", "ok").encode()
            response = web.Response(body=body)
            await response.prepare(request)
            await response.write_eof()
            return response
        finally:
            self.ended += 1


OnLoop = Callable[[Bounds, Callable[[Gateway], Coroutine[Any, Any, None]]], None]


@asynccontextmanager
async def listening(bounds: Bounds) -> AsyncIterator[Gateway]:
    app = web.Application()
    runner = web.AppRunner(app, shutdown_timeout=0.2)
    gateway: Gateway

    async def handle(request: web.Request) -> web.Response:
        return await gateway.handle(request)

    app.router.add_route("*", "/{any:.*}", handle)
    await runner.setup()
    assert runner.server is not None
    connections = Connections(
        runner.server,
        connections_max=bounds.connections_max,
        head_timeout_s=bounds.head_timeout_s,
        keepalive_s=bounds.keepalive_s,
        write_stall_s=bounds.write_stall_s,
        linger_s=bounds.linger_s,
        head_fields_max=bounds.head_fields_max,
        head_field_max_bytes=bounds.head_field_max_bytes,
    )
    gateway = Gateway(runner, connections)
    contexts = TlsContexts(CERTIFICATE.pair(), lambda _host: None, contexts_max=1)
    try:
        plain = Listener(runner, connections, bound_socket(), backlog=600)
        tls = TlsListener(
            runner,
            connections,
            bound_socket(),
            backlog=600,
            context=contexts.listener_context(),
            handshake_timeout_s=bounds.handshake_timeout_s,
            handshakes_max=bounds.handshakes_max,
        )
        for listener in (plain, tls):
            await listener.start()
        gateway.port, gateway.tls_port = (int(one.name.rpartition(":")[2]) for one in (plain, tls))
        yield gateway
    finally:
        for writer in gateway.clients:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()
        await runner.cleanup()
        connections.abort()
        await until(lambda: not open_or_refusing(connections))


def bound_socket() -> socket.socket:
    address = socket.socket()
    # What the system holds of an answer must be less than an answer.
    address.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
    address.bind(("127.0.0.1", 0))
    return address


def open_or_refusing(connections: Connections) -> int:
    return len(connections) + len(connections._refusing)


async def read_end(reader: asyncio.StreamReader) -> bytes:
    """Everything until the connection ends, by whatever end."""
    got = b""
    with suppress(OSError):
        while chunk := await reader.read(1 << 16):
            got += chunk
    return got


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """Status, headers in lower case, body."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
    headers = {
        name.lower(): value.strip()
        for name, _, value in (line.partition(":") for line in lines[1:])
    }
    body = await reader.readexactly(int(headers["content-length"]))
    return int(lines[0].split()[1]), headers, body


async def trickle(writer: asyncio.StreamWriter, head: bytes, ended: asyncio.Task[bytes]) -> None:
    """One byte at a time, for as long as the other side listens."""
    for byte in head:
        if ended.done():
            return
        writer.write(bytes([byte]))
        await asyncio.sleep(0.005)
    raise AssertionError("the whole head was taken")
