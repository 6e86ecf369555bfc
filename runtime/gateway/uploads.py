"""`PUT` and `GET /oss/deployments/{deployment_id}.zip`: code packages by signed address (spec: §5)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from runtime.errors import CallerError, ConflictError, YunhanError
from runtime.gateway.bodies import BodyTooLargeError
from runtime.gateway.door import Door
from runtime.gateway.management.answers import (
    REQUEST_ID_HEADER,
    ApiError,
    failure,
    internal_error,
)
from runtime.gateway.management.forms import parse_form
from runtime.gateway.package_addresses import AddressRefusedError, PackageAddresses
from runtime.gateway.spool import BodyChunks, SpoolLimits, spooled
from runtime.gateway.under_way import UnderWay
from runtime.ids import new_management_request_id
from runtime.services.packages import PackageService, UploadedPackage

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadDeps:
    """What the handlers need. `spool_dir` exists and belongs to this process alone."""

    door: Door
    packages: PackageService
    addresses: PackageAddresses
    spool_dir: Path
    zip_max_bytes: int
    in_flight_max: int
    idle_timeout_s: float


class UploadHandlers(NamedTuple):
    """Handlers for the path `/oss/deployments/{deployment_id}.zip`."""

    upload: Handler
    """PUT."""
    download: Handler
    """GET and HEAD."""


def upload_handlers(deps: UploadDeps) -> UploadHandlers:
    """Both handlers over one count of uploads in flight."""
    api = _PackageApi(deps)
    return UploadHandlers(upload=api.upload, download=api.download)


class _PackageApi:
    def __init__(self, deps: UploadDeps) -> None:
        self._deps = deps
        self._under_way = UnderWay(
            deps.in_flight_max, what="uploads", setting="YUNHAN_UPLOADS_IN_FLIGHT_MAX"
        )

    async def upload(self, request: web.Request) -> web.StreamResponse:
        """Empty 200, also for the same bytes again; else an error as of the management API."""
        return await _answered(request, self._deps.door, self._upload)

    async def download(self, request: web.Request) -> web.StreamResponse:
        """The zip."""
        return await _answered(request, self._deps.door, self._download)

    async def _upload(self, request: web.Request, request_id: str) -> web.StreamResponse:
        deployment_id = request.match_info["deployment_id"]
        space_id, left_s = self._open_address(request, "PUT")
        with self._under_way.one():
            async with self._spooled(request, left_s) as package:
                await self._deps.packages.accept(space_id, deployment_id, package)
        _log.info(
            "package_uploaded",
            space=space_id,
            deployment=deployment_id,
            size_bytes=package.size_bytes,
        )
        headers = {REQUEST_ID_HEADER: request_id, "ETag": f'"{package.digest}"'}
        return web.Response(headers=headers)

    async def _download(self, request: web.Request, request_id: str) -> web.StreamResponse:
        deployment_id = request.match_info["deployment_id"]
        space_id, _ = self._open_address(request, "GET")
        size_bytes, chunks = await self._deps.packages.read(space_id, deployment_id)
        response = web.StreamResponse(
            headers={
                REQUEST_ID_HEADER: request_id,
                "Content-Type": "application/zip",
                "Content-Length": str(size_bytes),
            }
        )
        await response.prepare(request)
        if request.method != "HEAD":
            async for chunk in chunks:
                await response.write(chunk)
        await response.write_eof()
        return response

    def _open_address(self, request: web.Request, method: str) -> tuple[str, int]:
        query = parse_form(request.rel_url.raw_query_string, part="query")
        return self._deps.addresses.open(method, request.match_info["deployment_id"], query)

    @asynccontextmanager
    async def _spooled(self, request: web.Request, left_s: int) -> AsyncIterator[UploadedPackage]:
        max_bytes = self._deps.zip_max_bytes
        if request.content_length is not None and request.content_length > max_bytes:
            raise ApiError(413, "EntityTooLarge", f"the body has more than {max_bytes} bytes")
        try:
            async with spooled(
                BodyChunks(request, idle_s=self._deps.idle_timeout_s),
                directory=self._deps.spool_dir,
                limits=SpoolLimits(max_bytes=max_bytes, total_s=left_s),
                digest="sha256",
            ) as zipped:
                yield UploadedPackage(
                    path=zipped.path, digest=zipped.digest, size_bytes=zipped.size_bytes
                )
        except BodyTooLargeError as error:
            raise ApiError(413, "EntityTooLarge", str(error)) from None


async def _answered(
    request: web.Request,
    door: Door,
    handle: Callable[[web.Request, str], Awaitable[web.StreamResponse]],
) -> web.StreamResponse:
    request_id = new_management_request_id()
    try:
        door.let_in_uncounted(request)
        return await handle(request, request_id)
    except (YunhanError, ApiError) as error:
        return failure(_refined(error), request_id=request_id, host=request.host)
    except Exception:  # noqa: BLE001 - a bug answers 500 and is logged, the server goes on
        _log.exception("package_request_failed", request_id=request_id)
        return internal_error(request_id=request_id, host=request.host)


def _refined(error: YunhanError | ApiError) -> YunhanError | ApiError:
    """HTTP statuses that differ from the management API's."""
    if isinstance(error, AddressRefusedError):
        return ApiError(403, error.code, error.message)
    if isinstance(error, ConflictError):
        return ApiError(409, error.code, error.message)
    if isinstance(error, CallerError) and error.code == "RequestTimeout":
        return ApiError(408, error.code, error.message)
    return error
