"""The gateway's aiohttp application: which handler answers which path. No logic."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from runtime.gateway.client_api import ClientApi
from runtime.gateway.connections import request_began
from runtime.gateway.cross_origin import CLIENT_METHODS, preflight
from runtime.gateway.framing import ends_connection, speaks
from runtime.gateway.health import HealthApi, add_health_routes
from runtime.gateway.request_id import HEADER, request_id_of
from runtime.gateway.server_api import ServerApi
from runtime.gateway.triggers.api import TriggerApi
from runtime.services import envelope
from runtime.trigger.addresses import PATH_FORM
from runtime.trigger.paths import PATH_PREFIX


def make_app(
    *,
    client: ClientApi,
    server: ServerApi,
    management: Handler,
    upload: Handler,
    download: Handler,
    health: HealthApi,
    triggers: TriggerApi,
) -> web.Application:
    """All routes of one gateway. Which requests are for triggers depends on the host name: they are taken out
    before any route."""
    app = web.Application(middlewares=[_triggers_first(triggers), _json_errors])
    app.on_response_prepare.append(_own_headers(health))
    for path, handler in (("/client", client.handle), ("/server", server.handle)):
        app.router.add_post(path, handler)
        # An endpoint with a trailing slash gives this: the SDKs only join texts (client protocol §1).
        app.router.add_post(f"/{path}", handler)
    for path in ("/client", "//client"):
        app.router.add_route("OPTIONS", path, preflight(CLIENT_METHODS))
    app.router.add_get("/", management)
    app.router.add_post("/", management)
    app.router.add_put("/oss/deployments/{deployment_id}.zip", upload)
    app.router.add_get("/oss/deployments/{deployment_id}.zip", download)
    add_health_routes(app, health)
    return app


def _triggers_first(triggers: TriggerApi) -> Middleware:
    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        request_began(request)
        if not speaks(request):
            if request.transport is not None:
                request.transport.abort()  # an answer would repeat the version
            return web.Response(status=505)  # goes nowhere
        if triggers.is_misdirected(request):
            text = "this connection was made for another host name than the request is for"
            return _refused(request, 421, "MisdirectedRequest", text)
        address = triggers.address_of(request)
        return await (handler(request) if address is None else triggers.handle(request, address))

    return middleware


def _own_headers(health: HealthApi) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    async def add(request: web.Request, response: web.StreamResponse) -> None:
        """For every answer, the framework's own too: the id, and a server name that tells no versions."""
        if HEADER not in response.headers:
            response.headers[HEADER] = request_id_of(request)
        response.headers["Server"] = "yunhan"
        if health.draining or ends_connection(request):
            response.force_close()
            response.headers["Connection"] = "close"

    return add


@web.middleware
async def _json_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answers of the framework itself (404, 405, ...) as JSON: no client of ours reads HTML."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        code = "NotFound" if error.status == 404 else error.reason.replace(" ", "")
        text = f"{request.method} {request.path}: {error.reason}"
        if error.status == 404 and request.path.startswith(PATH_PREFIX):
            text += f"; HTTP triggers answer at {PATH_FORM}{{space id}}{request.path}"
        response = _refused(request, error.status, code, text)
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response


def _refused(request: web.Request, status: int, code: str, message: str) -> web.Response:
    return web.Response(
        status=status,
        body=envelope.failure(code, message, request_id=request_id_of(request)),
        content_type="application/json",
        charset="utf-8",
    )
