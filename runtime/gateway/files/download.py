"""`GET` and `HEAD /oss/{space}/{path}`: a file, or a part of it, to whoever may have it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, aclosing
from dataclasses import dataclass
from typing import cast

import structlog
from aiohttp import web

from runtime.errors import CallerError
from runtime.gateway.cross_origin import add_headers
from runtime.gateway.files.addresses import file_address
from runtime.gateway.files.answers import INVALID_RANGE, PRECONDITION_FAILED, refusal
from runtime.gateway.files.conditions import Validators, precondition_status, range_holds
from runtime.gateway.files.download_headers import (
    download_headers,
    not_modified_headers,
    validators_of,
)
from runtime.gateway.files.ranges import ByteRange, UnsatisfiableRangeError, parse_range
from runtime.gateway.files.shares import ClientKey, client_share
from runtime.gateway.request_id import request_id_of
from runtime.gateway.under_way import UnderWay
from runtime.services.file_downloads import Download, FileDownloads, FileReplacedError

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadDeps:
    """`note_origin` takes down whether the page that asks may read the answer; no file is refused for that.
    `at_once` bounds the answers whose bytes are under way, `per_client_max` those to one client (0: no
    bound): each has one or two chunks in memory, and lasts as long as its client is slow."""

    downloads: FileDownloads
    note_origin: Callable[[web.Request, str], Awaitable[None]]
    at_once: UnderWay
    per_client_max: int
    client_key: ClientKey

    def room(self, request: web.Request) -> AbstractContextManager[None]:
        """For one answer. Raises OverloadedError when it is entered."""
        setting = "YUNHAN_FILE_DOWNLOADS_MAX_PER_CLIENT"
        client = self.client_key(request)
        return self.at_once.one(*client_share(client, self.per_client_max, setting))


async def download(deps: DownloadDeps, request: web.Request) -> web.StreamResponse:
    """The file. Errors before the first byte are raised; behind it the connection is cut, so that nobody
    takes a part for the whole."""
    try:
        return await _download(deps, request)
    except FileReplacedError:
        return await _download(deps, request)  # the version that took its place


async def _download(deps: DownloadDeps, request: web.Request) -> web.StreamResponse:
    space_id, path = file_address(request.rel_url.raw_path)
    await deps.note_origin(request, space_id)
    found = await deps.downloads.find(space_id, path, request.query)
    now = validators_of(found.blob, found.record.modified_ms)
    headers = download_headers(found.blob, now, private=found.private)
    match precondition_status(_conditions(request), now):
        case 304:
            return web.Response(status=304, headers=not_modified_headers(headers))
        case 412:
            raise CallerError(
                PRECONDITION_FAILED, f"the file has another version now, its ETag is {now.etag}"
            )
    size = found.blob.size
    try:
        part = _wanted(request, now, size)
    except UnsatisfiableRangeError:
        error = CallerError(INVALID_RANGE, f"the file has {size} bytes, none in the range wanted")
        return refusal(request, error, {"Content-Range": f"bytes */{size}"})
    if part is not None:
        headers["Content-Range"] = part.content_range(size)
    response = web.StreamResponse(status=200 if part is None else 206, headers=headers)
    response.content_length = size if part is None else part.length
    add_headers(request, response)
    if request.method == "HEAD" or size == 0:
        await response.prepare(request)
        return response
    with deps.room(request):
        chunks = await deps.downloads.chunks(
            found, 0 if part is None else part.start, response.content_length
        )
        await _send(request, response, chunks, found)
    return response


async def _send(
    request: web.Request,
    response: web.StreamResponse,
    chunks: AsyncIterator[bytes],
    found: Download,
) -> None:
    """One chunk at a time, as the client takes them (`Connections` bounds how long it may take nothing)."""
    left = response.content_length or 0
    failure: Exception | None = None
    async with aclosing(cast("AsyncGenerator[bytes, None]", chunks)):
        try:
            await response.prepare(request)
            async for chunk in chunks:
                left -= len(chunk)
                await response.write(chunk)
        except ConnectionError:
            return  # the client went away
        except Exception as error:  # noqa: BLE001 - the answer has begun, no other can follow
            failure = error
    if left or failure is not None:
        _log.error(
            "download_broke_off",
            request_id=request_id_of(request),
            space=found.record.space_id,
            file=found.record.file_id,
            missing_bytes=left,
            exc_info=failure,
        )
        request.protocol.force_close()


def _wanted(request: web.Request, now: Validators, size: int) -> ByteRange | None:
    """Only GET has ranges (RFC 9110, 14.2)."""
    if request.method != "GET" or not range_holds(request.headers.get("if-range"), now):
        return None
    return parse_range(request.headers.get("range"), size)


def _conditions(request: web.Request) -> dict[str, str]:
    names = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")
    return {
        name: ", ".join(lines) for name in names if (lines := request.headers.getall(name, None))
    }
