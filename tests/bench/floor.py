"""The floor: aiohttp that reads a body and answers a constant, as a program of its own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import uvloop
from aiohttp import web

from tests.harness.sdk_http import Connection

ROOT = Path(__file__).resolve().parents[2]


async def handle(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(body=b'{"text":"hello world"}', content_type="application/json")


async def serve(port: int) -> None:
    app = web.Application()
    app.router.add_post("/", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.get_running_loop().create_future()


def start_floor(port: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "tests.bench.floor", str(port)], cwd=ROOT)


async def until_answers(host: str, request: bytes) -> None:
    for _ in range(500):
        try:
            connection = await Connection.open(host)
            await connection.send(request)
            await connection.close()
        except (OSError, AssertionError):
            await asyncio.sleep(0.02)
        else:
            return
    raise RuntimeError(f"nothing answers at {host}")


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
