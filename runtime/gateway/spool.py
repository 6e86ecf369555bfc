"""Receiving a large body into a temporary file, under bounds of bytes and of time."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Literal, TypeVar

from aiohttp import web

from runtime.errors import CallerError, StorageFullError, UnavailableError, is_full
from runtime.gateway.bodies import BodyTooLargeError
from runtime.ports import Clock, SystemClock
from runtime.threads import FILE_WRITERS, run_to_end

_WRITE_BYTES = 1024 * 1024

T = TypeVar("T")

Digest = Literal["sha256", "md5"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolLimits:
    """`total_s`: longest time from the first byte to the last."""

    max_bytes: int
    total_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Spooled:
    """A received file. `digest`: of all its bytes, in lower-case hex digits."""

    path: Path
    digest: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LowestRate:
    """How long a body may keep us waiting: `free_s` for all of it, and what its bytes need at `bytes_per_s`.

    What came fast pays for what comes slowly: connections of phones stop and go."""

    free_s: float
    bytes_per_s: int

    def allowed_s(self, size_bytes: int) -> float:
        """For the bytes that are here."""
        return self.free_s + size_bytes / self.bytes_per_s


class BodyChunks:
    """A request's body as it arrives, never an empty piece.

    Raises CallerError when nothing came for `idle_s`, when the body came slower than `lowest`, and when it
    broke off. Only waiting for the client counts, not what is done with the bytes meanwhile.
    """

    def __init__(
        self,
        request: web.Request,
        *,
        idle_s: float,
        lowest: LowestRate | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._content = request.content
        self._idle_s = idle_s
        self._lowest = lowest
        self._clock = clock or SystemClock()
        self._waited_s = 0.0
        self._size_bytes = 0

    def __aiter__(self) -> BodyChunks:
        return self

    async def __anext__(self) -> bytes:
        began = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._idle_s):
                chunk = await self._content.readany()
        except TimeoutError:
            raise CallerError(
                "RequestTimeout", f"no byte of the body arrived for {self._idle_s:g} s"
            ) from None
        except (web.RequestPayloadError, OSError) as error:
            raise CallerError("InvalidBody.Format", f"the body broke off: {error}") from None
        if not chunk:
            raise StopAsyncIteration
        self._waited_s += self._clock.monotonic() - began
        self._size_bytes += len(chunk)
        self._check_rate()
        return chunk

    def _check_rate(self) -> None:
        lowest = self._lowest
        if lowest is not None and self._waited_s > lowest.allowed_s(self._size_bytes):
            raise CallerError(
                "RequestTimeout",
                f"{self._size_bytes} bytes came in {self._waited_s:.0f} s; the lowest rate is"
                f" {lowest.bytes_per_s} bytes/s after {lowest.free_s:g} s",
            )


@asynccontextmanager
async def spooled(
    chunks: AsyncIterator[bytes],
    *,
    directory: Path,
    limits: SpoolLimits,
    digest: Digest,
) -> AsyncIterator[Spooled]:
    """All chunks as a file, which is gone afterwards if it is still there.

    Raises BodyTooLargeError as soon as the bound is passed, CallerError when it took too long,
    StorageFullError when the disk is full, UnavailableError when the file cannot be written otherwise.
    """
    path = directory / f"{uuid.uuid4().hex}.part"
    try:
        yield await _receive(chunks, path, limits, digest)
    finally:
        await run_to_end(partial(path.unlink, missing_ok=True), executor=FILE_WRITERS)


async def _receive(
    chunks: AsyncIterator[bytes], path: Path, limits: SpoolLimits, digest: Digest
) -> Spooled:
    writer = _Writer(await _in_thread(lambda: path.open("xb"), path), digest)
    try:
        async with asyncio.timeout(limits.total_s):
            async for chunk in chunks:
                if writer.add(chunk) > limits.max_bytes:
                    raise BodyTooLargeError(f"the body has more than {limits.max_bytes} bytes")
                if writer.pending_bytes >= _WRITE_BYTES:
                    await _in_thread(writer.flush, path)
        await _in_thread(writer.flush, path)
    except TimeoutError:
        raise CallerError(
            "RequestTimeout", f"the upload did not end within {limits.total_s:g} s"
        ) from None
    finally:
        await run_to_end(writer.close, executor=FILE_WRITERS)
    return Spooled(path=path, digest=writer.digest(), size_bytes=writer.size_bytes)


class _Writer:
    """Collects chunks, hashes and writes them in larger pieces (in a thread)."""

    def __init__(self, file: BinaryIO, digest: Digest) -> None:
        self._file = file
        # MD5 is the entity tag that clients expect. It protects nothing, and is needed also where it is
        # switched off for what does.
        self._hash = hashlib.new(digest, usedforsecurity=digest != "md5")
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
        pieces = self._pending
        self._pending = []
        self.pending_bytes = 0
        for piece in pieces:
            self._hash.update(piece)
        self._file.writelines(pieces)
        self._file.flush()

    def close(self) -> None:
        with suppress(OSError):  # what it could not write was not flushed, and that was told
            self._file.close()

    def digest(self) -> str:
        return self._hash.hexdigest()


async def _in_thread(work: Callable[[], T], path: Path) -> T:
    try:
        return await run_to_end(work, executor=FILE_WRITERS)
    except OSError as error:
        if is_full(error):
            raise StorageFullError(f"the folder {path.parent} for uploads under way") from error
        raise UnavailableError(f"the upload cannot be written here: {error.strerror}") from error
