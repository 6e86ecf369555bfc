"""`/healthz` (this process turns), `/readyz` (it can serve calls now), `/metrics` (counters).

Anybody can ask: which parts do not work is told, the reasons name machines and are in the log, and in the
management API (`problems`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import orjson
import structlog
from aiohttp import web

_log = structlog.get_logger(__name__)

Check = Callable[[], Awaitable[str | None]]
"""Returns None when the part works, else what is wrong."""

_SEE_LOG = "does not work; the log says why"

Gauges = Callable[[], Mapping[str, float]]


class HealthApi:
    """Tells the truth about this process to load balancers and orchestrators."""

    def __init__(self, *, checks: Mapping[str, Check], gauges: Gauges) -> None:
        self._checks = dict(checks)
        self._beside: dict[str, Check] = {}
        self._told: dict[str, str] = {}
        self._gauges = [gauges]
        self.draining = False

    def watch(
        self,
        *,
        checks: Mapping[str, Check] | None = None,
        beside: Mapping[str, Check] | None = None,
        gauges: Gauges = dict,
    ) -> None:
        """Another part of the program. `beside`: it serves calls without these."""
        self._checks.update(checks or {})
        self._beside.update(beside or {})
        self._gauges.append(gauges)

    async def healthz(self, _request: web.Request) -> web.Response:
        return _json(200, {"status": "ok"})

    async def readyz(self, _request: web.Request) -> web.Response:
        """200 when every part answers that calls need and we are not stopping, else 503 with those that do
        not. `degraded` are parts without which calls are accepted."""
        found = await self.problems()
        problems = {name: _SEE_LOG for name in found if name in self._checks}
        if self.draining:
            problems["program"] = "is stopping"
        degraded = {name: _SEE_LOG for name in found if name in self._beside}
        more = {"degraded": degraded} if degraded else {}
        if problems:
            return _json(503, {"status": "not ready", "problems": problems, **more})
        return _json(200, {"status": "ready", **more})

    async def problems(self) -> dict[str, str]:
        """By the name of the part, with addresses: not for strangers. What changed is logged."""
        found = {}
        for name, check in (self._checks | self._beside).items():
            problem = await check()
            if problem is not None:
                found[name] = problem
        if found != self._told:
            self._told = found
            _log.warning("parts_do_not_work" if found else "all_parts_work", problems=found)
        return found

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
