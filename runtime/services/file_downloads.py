"""Files on their way out: which version of which file a request may have, and its bytes.

A file is found by space and path. One that not everybody may read needs a signed address
(`serverless.file.resource.info` gives it); the signature opens the path, whatever version is there.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass

from runtime.errors import CallerError, ConflictError, NotFoundError
from runtime.files.paths import check_path, file_id_of
from runtime.files.signed_urls import UrlSigner, is_signed
from runtime.messages import Blob, FileRecord
from runtime.ports import Clock, FileRecords, FileStore
from runtime.services.file_spaces import FileSpaces
from runtime.services.space_status import require_running


class PrivateFileError(CallerError):
    """The file needs a signed address. Said also where there is no such file. HTTP: 403."""

    def __init__(self) -> None:
        super().__init__(
            "AccessDenied",
            "this file is private: file.info gives those who may read it a signed address",
        )


class FileReplacedError(ConflictError):
    """Other bytes took the place of these before the first of them was read: find the file again, once."""

    def __init__(self) -> None:
        super().__init__("FileReplaced", "the file was replaced meanwhile; try again")


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """One version of a file that the request may have."""

    record: FileRecord
    blob: Blob
    private: bool
    """Not everybody may have it: no shared cache may keep it."""


class FileDownloads:
    """See the module."""

    def __init__(
        self,
        *,
        records: FileRecords,
        files: FileStore,
        spaces: FileSpaces,
        urls: UrlSigner,
        clock: Clock,
    ) -> None:
        self._records = records
        self._files = files
        self._spaces = spaces
        self._urls = urls
        self._clock = clock

    async def find(self, space_id: str, path: str, query: Mapping[str, str]) -> Download:
        """The file at a path (decoded) of a space. One read.

        Raises NotFoundError (no such space or file, space paused), InvalidParameterError (no path),
        PrivateFileError, SignatureRefusedError (changed or expired, though public), UnavailableError."""
        check_path(path)
        space = await self._spaces.get(space_id)
        require_running(space)
        private = not space.file_rules.is_public(path)
        if is_signed(query):
            self._urls.open_get(space_id, path, query, now_ms=self._clock.now_ms())
        elif private:
            raise PrivateFileError
        record = await self._records.read(space_id, file_id_of(space_id, path))
        if record is None or record.blob is None:
            raise NotFoundError("NoSuchKey", f"there is no file {path[:120]!r} in this space")
        return Download(record=record, blob=record.blob, private=private)

    async def chunks(self, download: Download, start: int = 0, length: int | None = None) -> Chunks:
        """The bytes from `start`, `length` of them (None: all), in chunks of at most 1 MiB.

        The first chunk is there when this returns, so that its errors come before an answer begins:
        FileReplacedError (call `find` again), UnavailableError."""
        stream = self._files.stream(download.blob.key, start, length)
        try:
            first = await anext(stream, None)
        except NotFoundError:
            raise FileReplacedError from None
        return Chunks(first, stream)


class Chunks:
    """Bytes under way, to be closed when they are not exhausted."""

    def __init__(self, first: bytes | None, rest: AsyncGenerator[bytes, None]) -> None:
        self._first = first
        self._rest = rest

    def __aiter__(self) -> Chunks:
        return self

    async def __anext__(self) -> bytes:
        """Raises UnavailableError when the store breaks off."""
        first, self._first = self._first, None
        return await anext(self._rest) if first is None else first

    async def aclose(self) -> None:
        """Let go of the store. Idempotent."""
        await self._rest.aclose()
