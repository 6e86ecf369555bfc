"""Receiving a large body into a temporary file, under bounds of bytes and of time."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

from aiohttp import web

from runtime.errors import CallerError, UnavailableError
from runtime.gateway.bodies import BodyTooLargeError
from runtime.services.packages import UploadedPackage
from runtime.threads import run_to_end

_WRITE_BYTES = 1024 * 1024

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolLimits:
    """`idle_s`: longest wait for the next bytes; `total_s`: longest upload."""

    max_bytes: int
    idle_s: float
    total_s: float


@asynccontextmanager
async def spooled(
    request: web.Request, *, directory: Path, limits: SpoolLimits
) -> AsyncIterator[UploadedPackage]:
    """The request's body as a file, which is gone afterwards.

    Raises BodyTooLargeError as soon as the bound is passed, CallerError when the body came too slowly or
    broke off, UnavailableError when it cannot be written.
    """
    if request.content_length is not None and request.content_length > limits.max_bytes:
        raise _too_large(limits)
    path = directory / f"{uuid.uuid4().hex}.part"
    try:
        yield await _receive(request, path, limits)
    finally:
        await run_to_end(partial(path.unlink, missing_ok=True))


async def _receive(request: web.Request, path: Path, limits: SpoolLimits) -> UploadedPackage:
    writer = _Writer(await _in_thread(lambda: path.open("xb")))
    try:
        async with asyncio.timeout(limits.total_s):
            while chunk := await _next_chunk(request, limits):
                if writer.add(chunk) > limits.max_bytes:
                    raise _too_large(limits)
                if writer.pending_bytes >= _WRITE_BYTES:
                    await _in_thread(writer.flush)
        await _in_thread(writer.flush)
    except TimeoutError:
        raise CallerError(
            "RequestTimeout", f"the upload did not end within {limits.total_s:g} s"
        ) from None
    finally:
        await run_to_end(writer.close)
    return UploadedPackage(path=path, digest=writer.digest(), size_bytes=writer.size_bytes)


async def _next_chunk(request: web.Request, limits: SpoolLimits) -> bytes:
    """Empty at the end of the body."""
    try:
        async with asyncio.timeout(limits.idle_s):
            return await request.content.readany()
    except TimeoutError:
        raise CallerError(
            "RequestTimeout", f"no byte of the body arrived for {limits.idle_s:g} s"
        ) from None
    except (web.RequestPayloadError, OSError) as error:
        raise CallerError("InvalidBody.Format", f"the body broke off: {error}") from None


class _Writer:
    """Collects chunks, hashes and writes them in larger pieces (in a thread)."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._pending: list[bytes] = []
        self.pending_bytes = 0
        self.size_bytes = 0

    def add(self, chunk: bytes) -> int:
        """Returns the size so far."""
        self._pending.append(chunk)
        self.pending_bytes += len(chunk)
        self.size_bytes += len(chunk)
        return self.size_bytes

    def flush(self) -> None:
        piece = b"".join(self._pending)
        self._pending.clear()
        self.pending_bytes = 0
        self._hash.update(piece)
        self._file.write(piece)
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def digest(self) -> str:
        return self._hash.hexdigest()


async def _in_thread(work: Callable[[], T]) -> T:
    try:
        return await run_to_end(work)
    except OSError as error:
        raise UnavailableError(f"the upload cannot be written here: {error.strerror}") from error


def _too_large(limits: SpoolLimits) -> BodyTooLargeError:
    return BodyTooLargeError(f"the body has more than {limits.max_bytes} bytes")
