"""A gate and a server behind it, on both event loops; nothing may be left over after a test."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvloop

from sandbox.egress.gate import EgressGate
from sandbox.egress.internal import InternalHandler
from sandbox.egress.limits import EgressLimits
from sandbox.egress.names import Lookup, Names
from sandbox.egress.policy import EgressPolicy
from sandbox.egress.route import Route
from tests.harness.polling import until

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
LOOPBACK = EgressPolicy.from_text(allow="127.0.0.0/8, localhost")

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def on_both_loops(test: Callable[[], Awaitable[None]]) -> Callable[[str], None]:
    """Runs `test` on each loop, and checks that it leaves no task, no socket and no error."""

    @pytest.mark.parametrize("loop", LOOPS)
    def on_loop(loop: str) -> None:
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(_leaving_nothing(test))

    on_loop.__name__ = getattr(test, "__name__", "test")
    return on_loop


async def _leaving_nothing(test: Callable[[], Awaitable[None]]) -> None:
    errors: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: errors.append(context))
    before = open_sockets()
    await test()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    assert tasks == set()
    gc.collect()
    # Transports close their sockets in the turns after; and others of this process come and go meanwhile.
    await until(lambda: open_sockets().items() <= before.items(), "its sockets are closed")
    assert errors == []


def open_sockets() -> dict[str, str]:
    """Of this process; a loop opens other descriptors of its own when it first needs them."""
    found = {}
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found[entry.name] = str(entry.readlink())
    return {number: what for number, what in found.items() if what.startswith("socket:")}


@dataclass
class Refused:
    """What the gate told of refusals."""

    lines: list[tuple[str, int | None, str]] = field(default_factory=list)

    def __call__(self, host: str, port: int | None, reason: str) -> None:
        self.lines.append((host, port, reason))


@contextlib.asynccontextmanager
async def open_gate(
    *,
    policy: EgressPolicy = LOOPBACK,
    limits: EgressLimits | None = None,
    lookup: Lookup | None = None,
    on_refused: Refused | None = None,
    internal: Mapping[str, InternalHandler] | None = None,
    route: Route | None = None,
) -> AsyncIterator[Gate]:
    with tempfile.TemporaryDirectory(prefix="eg") as folder:
        path = Path(folder) / "egress"
        names = Names(lookup) if lookup else Names()
        gate = EgressGate(
            path,
            names=names,
            policy=policy,
            limits=limits,
            on_refused=on_refused or Refused(),
            internal=internal,
            route=route,
        )
        try:
            yield Gate(gate, path)
        finally:
            await gate.close()
            assert not path.exists()


@dataclass
class Gate:
    """An open gate as the sandbox sees it."""

    gate: EgressGate
    path: Path

    async def connect(self) -> Peer:
        return Peer(*await asyncio.open_unix_connection(self.path))

    async def request(self, host: str, port: int | str) -> tuple[int, dict[str, str], Peer]:
        """The status, the answer's fields and the connection."""
        peer = await self.connect()
        return *await peer.request(host, port), peer

    async def tunnel(self, port: int, host: str = "127.0.0.1") -> Peer:
        status, fields, peer = await self.request(host, port)
        assert status == 200, fields
        return peer

    async def refusal(self, host: str, port: int | str) -> tuple[int, str]:
        """The status and the code of a request that is not granted, after which all is closed."""
        status, fields, peer = await self.request(host, port)
        assert await peer.read_to_end() == b""
        await peer.close()
        return status, fields["X-Egress-Error"]

    async def wait_connections(self, number: int) -> None:
        while self.gate.open_connections != number:
            await asyncio.sleep(0)


@dataclass
class Peer:
    """One end of a connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def request(self, host: str, port: int | str) -> tuple[int, dict[str, str]]:
        self.writer.write(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        return await self.answer()

    async def answer(self) -> tuple[int, dict[str, str]]:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        first, *fields = head.removesuffix("\r\n\r\n").split("\r\n")
        assert first.startswith("HTTP/1.1 ")
        return int(first.split()[1]), dict(line.split(": ", 1) for line in fields)

    async def exchange(self, data: bytes) -> bytes:
        self.writer.write(data)
        return await self.reader.readexactly(len(data))

    async def read_to_end(self) -> bytes:
        """Everything up to the end; a reset is an end."""
        data = bytearray()
        with contextlib.suppress(ConnectionError):
            while chunk := await self.reader.read(65536):
                data += chunk
        return bytes(data)

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    def abort(self) -> None:
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def serve(handle: Serve) -> AsyncIterator[int]:
    """A TCP server on loopback; its port. Ends when its connections have ended."""
    tasks: set[asyncio.Task[None]] = set()

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with contextlib.suppress(ConnectionError):
                await handle(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            tasks.discard(task)

    server = await asyncio.start_server(run, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        while tasks:
            await asyncio.wait(list(tasks))
        await server.wait_closed()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
