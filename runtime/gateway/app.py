"""The gateway's aiohttp application: which handler answers which path. No logic."""

from __future__ import annotations

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from runtime.gateway.client_api import ClientApi
from runtime.gateway.connections import request_began
from runtime.gateway.framing import ends_connection, speaks
from runtime.gateway.health import HealthApi
from runtime.gateway.request_id import HEADER, request_id_of
from runtime.gateway.triggers.api import TriggerApi


def make_app(
    *,
    client: ClientApi,
    management: Handler,
    upload: Handler,
    download: Handler,
    health: HealthApi,
    triggers: TriggerApi,
) -> web.Application:
    """All routes of one gateway. Which requests are for triggers depends on the host name: they are taken out
    before any route."""
    app = web.Application(middlewares=[_triggers_first(triggers), _json_errors])
    app.on_response_prepare.append(_add_own_headers)
    app.router.add_post("/client", client.handle)
    # An endpoint with a trailing slash gives this path: the SDK only joins texts (client protocol §1).
    app.router.add_post("//client", client.handle)
    app.router.add_get("/", management)
    app.router.add_post("/", management)
    app.router.add_put("/oss/deployments/{deployment_id}.zip", upload)
    app.router.add_get("/oss/deployments/{deployment_id}.zip", download)
    app.router.add_get("/healthz", health.healthz)
    app.router.add_get("/readyz", health.readyz)
    app.router.add_get("/metrics", health.metrics)
    return app


def _triggers_first(triggers: TriggerApi) -> Middleware:
    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        request_began(request)
        if not speaks(request):
            if request.transport is not None:
                request.transport.abort()  # an answer would repeat the version
            return web.Response(status=505)  # goes nowhere
        address = triggers.address_of(request)
        return await (handler(request) if address is None else triggers.handle(request, address))

    return middleware


async def _add_own_headers(request: web.Request, response: web.StreamResponse) -> None:
    """For every answer, the framework's own too: the id, and a server name that tells no versions."""
    if HEADER not in response.headers:
        response.headers[HEADER] = request_id_of(request)
    response.headers["Server"] = "yunhan"
    if ends_connection(request):
        response.force_close()
        response.headers["Connection"] = "close"


@web.middleware
async def _json_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answers of the framework itself (404, 405, ...) as JSON: no client of ours reads HTML."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        code = "NotFound" if error.status == 404 else error.reason.replace(" ", "")
        body = {
            "success": False,
            "error": {"code": code, "message": f"{request.method} {request.path}: {error.reason}"},
            "requestId": request_id_of(request),
        }
        allow = error.headers.get("Allow")
        return web.Response(
            status=error.status,
            body=orjson.dumps(body),
            content_type="application/json",
            charset="utf-8",
            headers={"Allow": allow} if allow else None,
        )
