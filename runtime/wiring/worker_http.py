"""The small HTTP server of a separate worker: health and metrics, nothing that changes anything."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Handler

from runtime.gateway.connections import Connections, request_began
from runtime.gateway.health import HealthApi, add_health_routes
from runtime.settings import Settings
from runtime.wiring.listeners import Addresses, make_connections, serve

_SHUTDOWN_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerHttp:
    """Ready to listen. It answers until the very end: a worker that drains says so."""

    settings: Settings
    runner: web.AppRunner
    connections: Connections

    async def listen(self, addresses: Addresses) -> None:
        """Nothing without YUNHAN_WORKER_HTTP."""
        await serve(self.runner, self.connections, addresses, None, self.settings)


async def build_worker_http(
    settings: Settings, health: HealthApi, stack: AsyncExitStack
) -> WorkerHttp:
    """Its connections are bounded like a gateway's, and closed when `stack` is left."""
    app = web.Application(middlewares=[_bounded])
    add_health_routes(app, health)
    runner = web.AppRunner(app, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    connections = make_connections(runner, settings)
    stack.callback(connections.abort)
    stack.push_async_callback(runner.cleanup)
    return WorkerHttp(settings=settings, runner=runner, connections=connections)


@web.middleware
async def _bounded(request: web.Request, handler: Handler) -> web.StreamResponse:
    request_began(request)
    return await handler(request)
