"""The other floor: a small message to a Node.js process and back over a unix socket, nothing around it."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import time
from pathlib import Path

SERVER = "require('node:net').createServer((peer) => peer.pipe(peer)).listen(process.argv[1])"
MESSAGE = b"x" * 256
"""About as long as what the runtime sends for a small call."""


def start_echo(node: Path, address: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([node, "-e", SERVER, str(address)])


def wait_for_echo(address: Path) -> None:
    for _ in range(500):
        try:
            echo_one_by_one(address, 1)
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"nothing echoes at {address}")


def echo_one_by_one(address: Path, count: int) -> list[float]:
    """Seconds of each round trip, by blocking calls: no event loop on this side."""
    samples = []
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(address))
        for _ in range(count):
            began = time.perf_counter()
            peer.sendall(MESSAGE)
            peer.recv(len(MESSAGE), socket.MSG_WAITALL)
            samples.append(time.perf_counter() - began)
    return samples


async def echo_in_flight(address: Path, count: int, connections: int) -> float:
    """Round trips per second over this many connections."""
    streams = [await asyncio.open_unix_connection(str(address)) for _ in range(connections)]
    left = iter(range(count))

    async def loop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in left:
            writer.write(MESSAGE)
            await reader.readexactly(len(MESSAGE))

    began = time.perf_counter()
    await asyncio.gather(*(loop(*stream) for stream in streams))
    rate = count / (time.perf_counter() - began)
    for _, writer in streams:
        writer.close()
        await writer.wait_closed()
    return rate
