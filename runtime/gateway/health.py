"""`/healthz` (this process turns), `/readyz` (it can serve calls now), `/metrics` (counters)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import orjson
from aiohttp import web

Check = Callable[[], Awaitable[str | None]]
"""Returns None when the part works, else what is wrong."""

Gauges = Callable[[], Mapping[str, float]]


class HealthApi:
    """Tells the truth about this process to load balancers and orchestrators."""

    def __init__(self, *, checks: Mapping[str, Check], gauges: Gauges) -> None:
        self._checks = dict(checks)
        self._gauges = [gauges]
        self.draining = False

    def watch(self, *, checks: Mapping[str, Check], gauges: Gauges) -> None:
        """Another part of the program."""
        self._checks.update(checks)
        self._gauges.append(gauges)

    async def healthz(self, _request: web.Request) -> web.Response:
        return _json(200, {"status": "ok"})

    async def readyz(self, _request: web.Request) -> web.Response:
        """200 when every part answers and we are not stopping, else 503 with the reasons."""
        problems = {"program": "is stopping"} if self.draining else {}
        for name, check in self._checks.items():
            problem = await check()
            if problem is not None:
                problems[name] = problem
        if problems:
            return _json(503, {"status": "not ready", "problems": problems})
        return _json(200, {"status": "ready"})

    async def metrics(self, _request: web.Request) -> web.Response:
        """Prometheus text format."""
        figures = {name: value for gauges in self._gauges for name, value in gauges().items()}
        lines = [f"yunhan_{name} {value:g}\n" for name, value in sorted(figures.items())]
        return web.Response(text="".join(lines), content_type="text/plain")


def add_health_routes(app: web.Application, health: HealthApi) -> None:
    """The same paths in every program."""
    app.router.add_get("/healthz", health.healthz)
    app.router.add_get("/readyz", health.readyz)
    app.router.add_get("/metrics", health.metrics)


def _json(status: int, body: object) -> web.Response:
    return web.Response(
        status=status, body=orjson.dumps(body), content_type="application/json", charset="utf-8"
    )
