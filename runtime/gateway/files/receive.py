"""From a checked grant to bytes in the store: what uploads by form and by signed address share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import structlog
from aiohttp import web

from runtime.gateway.bodies import BodyBudget, BodyTooLargeError
from runtime.gateway.files.shares import ClientKey, UploadShares
from runtime.gateway.spool import BodyChunks, LowestRate, SpoolLimits, spooled
from runtime.gateway.under_way import UnderWay
from runtime.messages import Blob
from runtime.ports import Clock
from runtime.services.file_uploads import FileUploads, Grant, ReceivedFile, UploadUnderWay

_log = structlog.get_logger(__name__)

META_PREFIX = "x-oss-meta-"

OriginCheck = Callable[[web.Request, str], Awaitable[None]]
"""Whether the page that a request comes from may call this space. Raises OriginRefusedError, and
NotFoundError for an unknown space."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveDeps:
    """`spool_dir` exists and belongs to this process alone; on the file store's own disk the bytes are not
    copied once more. Seconds."""

    uploads: FileUploads
    check_origin: OriginCheck
    spool_dir: Path
    at_once: UnderWay
    shares: UploadShares
    client_key: ClientKey
    budget: BodyBudget
    """Of all bodies that are read into memory."""
    idle_timeout_s: float
    """Longest wait for the next bytes."""
    lowest_rate: LowestRate
    clock: Clock
    fields_timeout_s: float
    """Longest time for all fields before the file."""

    def room(self, request: web.Request, grant: Grant) -> AbstractContextManager[None]:
        """For one upload. By signed forms and addresses only: strangers cannot fill it. Raises
        OverloadedError when it is entered."""
        return self.at_once.one(*self.shares.of(grant, self.client_key(request)))

    def body_of(self, request: web.Request) -> BodyChunks:
        """As it comes, not too slowly."""
        return BodyChunks(
            request, idle_s=self.idle_timeout_s, lowest=self.lowest_rate, clock=self.clock
        )


def check_announced(request: web.Request, max_bytes: int) -> None:
    """Raises BodyTooLargeError for a body whose length is told and is too much: before a byte is taken."""
    if request.content_length is not None and request.content_length > max_bytes:
        raise BodyTooLargeError(f"the body has more than {max_bytes} bytes")


async def receive(
    deps: ReceiveDeps,
    under_way: UploadUnderWay,
    grant: Grant,
    chunks: AsyncIterator[bytes],
    *,
    content_type: str | None,
    fields: Mapping[str, str],
    at_end: Callable[[], Awaitable[None]] | None = None,
) -> Blob:
    """Take the bytes and store them. `fields` are form fields or header fields: those that a download
    repeats, and `x-oss-meta-*`. `at_end` runs when all bytes are here and may still refuse them.

    Raises BodyTooLargeError, and what `spooled` and `UploadUnderWay.store` raise.
    """
    meta = {
        name[len(META_PREFIX) :]: value
        for name, value in fields.items()
        if name.lower().startswith(META_PREFIX)
    }
    async with spooled(
        chunks,
        directory=deps.spool_dir,
        limits=SpoolLimits(max_bytes=grant.max_bytes, total_s=grant.left_s),
        digest="md5",
    ) as file:
        if at_end is not None:
            await at_end()
        blob = await under_way.store(
            ReceivedFile(path=file.path, size=file.size_bytes, md5=file.digest),
            content_type=content_type,
            headers=fields,
            meta=meta,
        )
    _log.info("file_received", space=grant.space_id, upload=grant.upload_id, size_bytes=blob.size)
    return blob


def etag_of(blob: Blob) -> str:
    """In its quotes, as OSS writes it."""
    return f'"{blob.md5.upper()}"'
