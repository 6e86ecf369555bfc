"""The HTTP side of files: how many bodies may come and go at once, and who is let in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from runtime.errors import NotFoundError
from runtime.gateway.bodies import BodyBudget
from runtime.gateway.cross_origin import CrossOrigin
from runtime.gateway.door import Door
from runtime.gateway.files.download import DownloadDeps
from runtime.gateway.files.receive import ReceiveDeps
from runtime.gateway.files.shares import ClientKey, UploadShares, unknown_client
from runtime.gateway.spool import LowestRate
from runtime.gateway.under_way import UnderWay
from runtime.services.directory import SpaceDirectory
from runtime.wiring.common import Common

_Check = Callable[[web.Request, str], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileHttp:
    """What `add_file_routes` needs."""

    receive: ReceiveDeps
    downloads: DownloadDeps


def outside(common: Common, budget: BodyBudget, door: Door, origins: CrossOrigin) -> FileHttp:
    """Of a gateway, for clients."""
    return _file_http(
        common,
        budget,
        check=_checks_origin(common.directory, origins),
        note=_notes_origin(common.directory, origins),
        client_key=door.client_key,
    )


def inside(common: Common, budget: BodyBudget) -> FileHttp:
    """Of a worker, for its sandboxes: they are no browsers, and are counted by what else they do."""

    async def nothing(_request: web.Request, _space_id: str) -> None:
        return

    return _file_http(common, budget, check=nothing, note=nothing, client_key=unknown_client)


def _file_http(
    common: Common, budget: BodyBudget, *, check: _Check, note: _Check, client_key: ClientKey
) -> FileHttp:
    settings, files = common.settings, common.files
    return FileHttp(
        receive=ReceiveDeps(
            uploads=files.uploads,
            check_origin=check,
            spool_dir=common.spool,
            at_once=UnderWay(
                settings.file_uploads_max,
                what="uploads of files",
                setting="YUNHAN_FILE_UPLOADS_MAX",
                clock=common.clock,
            ),
            shares=UploadShares(
                at_once_max=settings.file_uploads_max,
                per_space_max=settings.file_uploads_max_per_space,
                per_user_max=settings.file_uploads_max_per_user,
                per_client_max=settings.file_uploads_max_per_client,
                reserved_percent=settings.file_uploads_max_reserved_percent,
            ),
            client_key=client_key,
            budget=budget,
            idle_timeout_s=settings.body_timeout_s,
            lowest_rate=LowestRate(
                free_s=settings.file_upload_free_s,
                bytes_per_s=settings.file_upload_min_bytes_per_s,
            ),
            clock=common.clock,
            fields_timeout_s=settings.body_timeout_s,
        ),
        downloads=DownloadDeps(
            downloads=files.downloads,
            note_origin=note,
            at_once=UnderWay(
                settings.file_downloads_max,
                what="downloads of files",
                setting="YUNHAN_FILE_DOWNLOADS_MAX",
                clock=common.clock,
            ),
            per_client_max=settings.file_downloads_max_per_client,
            client_key=client_key,
        ),
    )


def _checks_origin(directory: SpaceDirectory, origins: CrossOrigin) -> _Check:
    async def check(request: web.Request, space_id: str) -> None:
        if "Origin" in request.headers:
            space = await directory.get(space_id)
            origins.check(request, space.space_id, space.access)

    return check


def _notes_origin(directory: SpaceDirectory, origins: CrossOrigin) -> _Check:
    async def note(request: web.Request, space_id: str) -> None:
        if "Origin" in request.headers:
            try:
                space = await directory.get(space_id)
            except NotFoundError:
                return  # said when the file is looked for
            origins.note(request, space.access)

    return note
