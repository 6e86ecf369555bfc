"""Where functions send and fetch files: a small HTTP server of the worker, for its sandboxes only.

It has the addresses below `/oss` that a gateway has. A sandbox without a network reaches it under a name
inside the worker, over its egress socket and whatever the policy says; one that has the machine's network,
over a loopback port. As outside, a signed form or address opens what it names, and nobody asks where it came
from: a sandbox cannot do more here than anybody who reaches a gateway.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import cast

from aiohttp import web
from aiohttp.typedefs import Handler

from runtime.gateway.connections import Connections, request_began
from runtime.gateway.files.download import DownloadDeps
from runtime.gateway.files.receive import ReceiveDeps
from runtime.gateway.files.routes import FORM_PATH, add_file_routes
from runtime.gateway.listeners import Listener
from runtime.settings import Settings
from sandbox.egress.internal import InternalHandler

INTERNAL_NAME = "files.yunhan.internal"
_PORT = 80
_BACKLOG = 128
_SHUTDOWN_S = 1.0
_BOUNDED_BY_GATES = sys.maxsize
"""Each gate lets only so many connections of its sandbox in (`EgressLimits.connections_max`), and one that is
here may not be refused by another protocol: the gate would not hear of its end."""


class WorkerFiles:
    """Made before the sandboxes, which are given its name; open while the worker's services are there."""

    def __init__(self) -> None:
        self._connections: Connections | None = None

    @property
    def internal(self) -> Mapping[str, InternalHandler]:
        """For `EgressAccess.internal`. Connections that come while it is not open are ended at once."""
        return {f"{INTERNAL_NAME}:{_PORT}": self._protocol}

    @asynccontextmanager
    async def open(
        self,
        settings: Settings,
        *,
        receive: ReceiveDeps,
        downloads: DownloadDeps,
        walled: bool,
    ) -> AsyncIterator[str]:
        """Serve, and yield the `host` of `generateProximalSign` for functions. `walled`: sandboxes have an
        egress socket; otherwise a free loopback port is taken, which raises OSError when there is none."""
        app = web.Application(middlewares=[_bounded])
        add_file_routes(
            app,
            door=None,
            receive=receive,
            downloads=downloads,
            preflight=_no_browser,
        )
        runner = web.AppRunner(app, shutdown_timeout=_SHUTDOWN_S)
        await runner.setup()
        connections = _connections(runner, settings, walled=walled)
        try:
            if walled:
                self._connections = connections
                yield f"http://{INTERNAL_NAME}{FORM_PATH}"
            else:
                listener = Listener(
                    runner, connections, socket.create_server(("127.0.0.1", 0)), backlog=_BACKLOG
                )
                await listener.start()
                yield f"{listener.name}{FORM_PATH}"
        finally:
            self._connections = None
            await runner.cleanup()
            connections.abort()

    def _protocol(self) -> asyncio.Protocol:
        return _Closed() if self._connections is None else self._connections()


class _Closed(asyncio.Protocol):
    """Ends the connection: the worker starts or stops."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).abort()


async def _no_browser(_request: web.Request) -> web.StreamResponse:
    raise web.HTTPMethodNotAllowed("OPTIONS", ["GET", "HEAD", "POST", "PUT"])


@web.middleware
async def _bounded(request: web.Request, handler: Handler) -> web.StreamResponse:
    request_began(request)
    return await handler(request)


def _connections(runner: web.AppRunner, settings: Settings, *, walled: bool) -> Connections:
    assert runner.server is not None
    return Connections(
        runner.server,
        connections_max=_BOUNDED_BY_GATES if walled else settings.connections_max,
        head_timeout_s=settings.head_timeout_s,
        keepalive_s=settings.keepalive_s,
        write_stall_s=settings.write_stall_s,
        linger_s=settings.linger_s,
        head_fields_max=settings.head_fields_max,
        head_field_max_bytes=settings.head_field_max_bytes,
    )
