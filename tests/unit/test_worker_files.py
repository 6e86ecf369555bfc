"""The worker's own server for its sandboxes, as a gate hands connections to it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest
import uvloop

from runtime.gateway.files.download import DownloadDeps
from runtime.gateway.files.receive import ReceiveDeps
from runtime.settings import Settings
from runtime.wiring.worker_files import INTERNAL_NAME, WorkerFiles
from sandbox.egress.gate import EgressGate
from sandbox.egress.names import Names
from tests.harness.polling import until

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
NO_DEPS = cast("ReceiveDeps", None), cast("DownloadDeps", None)
"""Nothing that is asked for here comes so far."""
CONNECT = f"CONNECT {INTERNAL_NAME}:80 HTTP/1.1\r\nHost: {INTERNAL_NAME}:80\r\n\r\n".encode()
ASK = b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"


@asynccontextmanager
async def gate_of(server: WorkerFiles, folder: Path) -> AsyncIterator[EgressGate]:
    gate = EgressGate(folder / "egress", names=Names(), internal=server.internal)
    try:
        yield gate
    finally:
        await gate.close()


async def ask(folder: Path, text: bytes = CONNECT + ASK) -> tuple[asyncio.StreamWriter, bytes]:
    """The connection, and what comes until there is an answer or the end."""
    reader, writer = await asyncio.open_unix_connection(str(folder / "egress"))
    writer.write(text)
    said = b""
    while b"404 Not Found" not in said and (piece := await reader.read(4096)):
        said += piece
    return writer, said


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


async def serves_and_closes(folder: Path) -> None:
    server, settings = WorkerFiles(), Settings()
    receive, downloads = NO_DEPS
    async with gate_of(server, folder) as gate:
        writer, said = await ask(folder)
        assert b"404" not in said
        await close(writer)
        async with server.open(settings, receive=receive, downloads=downloads, walled=True) as host:
            assert host == "http://files.yunhan.internal/oss"
            kept, said = await ask(folder)
            assert said.startswith(b"HTTP/1.1 200 ")
            assert b"404 Not Found" in said
            await until(lambda: gate.open_connections == 1, "only the last connection is open")
        await until(lambda: gate.open_connections == 0, "its end reached the gate")
        await close(kept)
        writer, said = await ask(folder)
        assert b"404" not in said
        await close(writer)
        await until(lambda: gate.open_connections == 0, "the gate is empty")


async def a_gate_that_closes_ends_its_connections(folder: Path) -> None:
    server = WorkerFiles()
    receive, downloads = NO_DEPS
    async with server.open(Settings(), receive=receive, downloads=downloads, walled=True):
        async with gate_of(server, folder) as gate:
            writer, said = await ask(folder)
            assert b"404 Not Found" in said
            assert gate.open_connections == 1
        assert gate.open_connections == 0
        await close(writer)


async def silence_is_cut(folder: Path) -> None:
    server = WorkerFiles()
    receive, downloads = NO_DEPS
    settings = Settings(head_timeout_s=0.01)
    async with (
        server.open(settings, receive=receive, downloads=downloads, walled=True),
        gate_of(server, folder) as gate,
    ):
        writer, said = await ask(folder, CONNECT)
        assert said.startswith(b"HTTP/1.1 200 ")
        await until(lambda: gate.open_connections == 0, "the silent connection is gone")
        await close(writer)


async def without_walls_it_is_on_loopback(_folder: Path) -> None:
    server = WorkerFiles()
    receive, downloads = NO_DEPS
    async with server.open(Settings(), receive=receive, downloads=downloads, walled=False) as host:
        address, _, path = host.removeprefix("http://").partition("/")
        assert path == "oss"
        name, _, port = address.partition(":")
        assert name == "127.0.0.1"
        reader, writer = await asyncio.open_connection(name, int(port))
        writer.write(ASK)
        assert (await reader.readline()).startswith(b"HTTP/1.1 404")
        await close(writer)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((name, int(port)))


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    "test",
    [
        serves_and_closes,
        a_gate_that_closes_ends_its_connections,
        silence_is_cut,
        without_walls_it_is_on_loopback,
    ],
)
def test_the_server(test: object, loop: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert callable(test)
    errors: list[object] = []
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: errors.append(context))
        runner.run(test(tmp_path_factory.mktemp("g")))
    assert errors == []
