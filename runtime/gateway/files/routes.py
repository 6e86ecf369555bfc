"""The addresses of files below `/oss`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Handler

from runtime.errors import YunhanError
from runtime.files.refusals import SignatureRefusedError
from runtime.gateway.bodies import BodyTooLargeError
from runtime.gateway.cross_origin import add_headers
from runtime.gateway.door import Door
from runtime.gateway.files.answers import refusal
from runtime.gateway.files.download import DownloadDeps, download
from runtime.gateway.files.expectations import wait_for_handler
from runtime.gateway.files.form_upload import upload_by_form
from runtime.gateway.files.put_upload import upload_by_put
from runtime.gateway.files.receive import ReceiveDeps

FORM_PATH = "/oss"
FILE_PATH = "/oss/{space}/{path:.+}"

CLIENT_IS_GONE = 499
"""Nobody reads it."""


def add_file_routes(
    app: web.Application,
    *,
    door: Door | None,
    receive: ReceiveDeps,
    downloads: DownloadDeps,
    preflight: Handler,
) -> None:
    """Add them behind all other routes below `/oss`: the first that fits answers.

    `door` None: whoever comes here was let in already, as sandboxes of a worker. Of the others forms are
    counted, and addresses that were not signed here; not what the management side signed, and not downloads,
    which pages ask for by the dozen and CDNs from one address."""

    async def form(request: web.Request) -> web.StreamResponse:
        if door is not None:
            await door.let_in(request)
        return await upload_by_form(receive, request)

    async def put(request: web.Request) -> web.StreamResponse:
        if door is None:
            return await upload_by_put(receive, request)
        door.let_in_uncounted(request)
        try:
            return await upload_by_put(receive, request)
        except SignatureRefusedError:
            await door.let_in(request)
            raise

    async def get(request: web.Request) -> web.StreamResponse:
        if door is not None:
            door.let_in_uncounted(request)
        return await download(downloads, request)

    for path in (FORM_PATH, f"{FORM_PATH}/"):
        app.router.add_post(path, _answered(form), expect_handler=wait_for_handler)
        app.router.add_route("OPTIONS", path, preflight)
    app.router.add_put(FILE_PATH, _answered(put), expect_handler=wait_for_handler)
    app.router.add_get(FILE_PATH, _answered(get))
    app.router.add_route("OPTIONS", FILE_PATH, preflight)


def _answered(handle: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Handler:
    """Its errors as answers, and answers as pages of browsers may read them."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = await answer(request)
        if not response.prepared:
            add_headers(request, response)
        return response

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handle(request)
        except (YunhanError, BodyTooLargeError) as error:
            return refusal(request, error)
        except Exception as error:  # noqa: BLE001 - a bug answers 500 and is logged, the server goes on
            if isinstance(error, ConnectionError) and _is_gone(request):
                return web.Response(status=CLIENT_IS_GONE)
            return refusal(request, error)

    return handler


def _is_gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()
