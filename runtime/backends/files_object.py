"""File store over the `obstore` library: a local folder, S3-compatible stores, or memory.

What obstore 0.12 leaves to us:

- Its local store writes to a draft beside the file and renames it, but syncs nothing and leaves the
  draft behind when the process dies; it reads in small pieces. Local puts and streams are therefore done
  here (`files.local_disk`). Everything else goes through obstore for every kind of store.
- Its threads wake the event loop and then need the interpreter once more. When the program ends in
  that moment, Python before 3.14 kills the process (SIGABRT); a pause at the exit prevents it.
- A missing S3 bucket looks like a missing key; it is told apart by the server's error code.
- An upload to S3 that is cancelled or killed leaves its parts on the server, unseen but paid for: a
  bucket should have a lifecycle rule that aborts incomplete multipart uploads.
"""

from __future__ import annotations

import atexit
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import unquote, urlsplit

from obstore.exceptions import BaseError
from obstore.store import LocalStore, MemoryStore, S3Store

from runtime.backends.files import local_disk
from runtime.backends.files.local_disk import CHUNK_BYTES, BlobReader
from runtime.backends.files.s3_address import S3Address, parse_s3_address
from runtime.errors import NotFoundError, StorageFullError, UnavailableError, is_full
from runtime.ports import FileStore
from runtime.settings import SettingsError, secret_in
from runtime.threads import FILE_READERS, FILE_WRITERS, run_to_end

if TYPE_CHECKING:  # these names do not exist at run time
    from obstore import GetOptions, GetResult
    from obstore.store import ClientConfig, S3Config

_Backend: TypeAlias = LocalStore | MemoryStore | S3Store

_PART_BYTES = 8 * 1024 * 1024
_PARTS_AT_ONCE = 2
"""Parts of an upload in memory at the same time."""

_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}(/[A-Za-z0-9_-][A-Za-z0-9._-]{0,199})*")
_KEY_MAX = 800
"""S3 allows 1024 bytes with the prefix."""

_CONNECT_TIMEOUT = timedelta(seconds=5)
_READ_TIMEOUT = timedelta(seconds=15)
_REQUEST_TIMEOUT = timedelta(minutes=5)
_STREAM_TIMEOUT = timedelta(hours=6)
"""Of a download as a whole, which is as slow as who asked for it."""
_RETRY_TIMEOUT = timedelta(seconds=20)
_RETRIES = 3

_SERVER_FULL = re.compile(r"status code: 507 |<Code>(InsufficientStorage|\w*QuotaExceeded)</Code>")
"""How servers say in an error that they have no room; `QuotaExceeded` is Ceph's, MinIO's has a prefix."""

_EXIT_PAUSE_S = 0.05
"""Far longer than the library's threads need to let go of the interpreter."""


@cache
def _pause_at_exit() -> None:
    atexit.register(time.sleep, _EXIT_PAUSE_S)


def open_file_store(url: str, default_folder: Path, *, secret_file: str = "") -> FileStore:
    """The store that a URL names; makes a local folder, but asks no server yet.

    `file:` (in `default_folder`), `file:///path`, `memory:` (gone with the process), or
    `s3://bucket/prefix?endpoint=https://host&region=name&virtual_host=true` with the credentials of
    the environment (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, ...). `virtual_host` is for
    endpoints that contain the bucket's name, as Alibaba's OSS wants them. The secret key may be in
    `secret_file` instead. Raises SettingsError.
    """
    parts = urlsplit(url)
    if parts.scheme == "s3" and parts.netloc:
        address = parse_s3_address(parts)
        return ObjectFileStore(
            _open_s3(address, secret_file, _REQUEST_TIMEOUT),
            name=f"s3://{parts.netloc}{parts.path}",
            streams=_open_s3(address, secret_file, _STREAM_TIMEOUT),
        )
    if parts.scheme == "memory":
        return ObjectFileStore(MemoryStore(), name="memory:")
    if parts.scheme == "file" and not parts.netloc:
        return LocalFileStore(Path(unquote(parts.path)) if parts.path else default_folder)
    raise SettingsError(
        f"YUNHAN_FILES_URL: no file store has the scheme {parts.scheme!r} or such an address; use"
        " file:, file:///path or s3://bucket/prefix?endpoint=https://..."
    )


class ObjectFileStore(FileStore):
    """A file store in an obstore store. `name` is for messages; `streams` is the same store with other
    time-outs, for what may last."""

    def __init__(self, backend: _Backend, *, name: str, streams: _Backend | None = None) -> None:
        _pause_at_exit()
        self._backend = backend
        self._streams = backend if streams is None else streams
        self._name = name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name})"

    async def put_file(self, key: str, source: Path) -> None:
        await self._store(key, source, self._put)

    async def _store(
        self, key: str, source: Path, put: Callable[[str, Path], Awaitable[None]]
    ) -> None:
        _check_key(key)
        await run_to_end(source.stat, executor=FILE_WRITERS)  # a missing source is no missing key
        try:
            with self._translated():
                await put(key, source)
        except NotFoundError as error:
            raise UnavailableError(error.message) from error

    async def _put(self, key: str, source: Path) -> None:
        await self._backend.put_async(
            key, source, chunk_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE
        )

    async def get_file(self, key: str, target: Path) -> bool:
        draft = local_disk.draft_in(target.parent)
        try:
            async with aclosing(self.stream(key)) as chunks:
                await run_to_end(local_disk.append, draft, b"")
                async for chunk in chunks:
                    await run_to_end(local_disk.append, draft, chunk)
            await run_to_end(draft.replace, target)
        except BaseException as error:
            await run_to_end(local_disk.remove, draft)
            if isinstance(error, NotFoundError):
                return False
            raise
        return True

    async def stream(
        self, key: str, start: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        _check_key(key)
        _check_range(start, length)
        found = await self._found(key, start, length)
        if found is None:
            return
        try:
            with self._translated():
                async for chunk in found.stream(min_chunk_size=CHUNK_BYTES):
                    for at in range(0, len(chunk), CHUNK_BYTES):
                        yield bytes(chunk[at : at + CHUNK_BYTES])
        except NotFoundError as error:  # deleted, and the connection was lost, too
            raise UnavailableError(error.message) from error

    async def _found(self, key: str, start: int, length: int | None) -> GetResult | None:
        """The blob's range as it begins to come; None for one that lies behind its end."""
        options: GetOptions = {}
        if length is not None:
            options["range"] = (start, start + length)
        elif start:
            options["range"] = {"offset": start}
        try:
            with self._translated():
                if length != 0:  # stores know no empty range
                    return await self._streams.get_async(key, options=options)
        except UnavailableError:
            # stores refuse a range behind the end, each in its own words
            if options and await self._size_of(key) <= start:
                return None
            raise
        await self._size_of(key)
        return None

    async def _size_of(self, key: str) -> int:
        size = await self.size(key)
        if size is None:
            raise NotFoundError("NotFound", f"file store {self._name} has no {key}")
        return size

    async def size(self, key: str) -> int | None:
        _check_key(key)
        try:
            with self._translated():
                return int((await self._backend.head_async(key))["size"])
        except NotFoundError:
            return None

    async def delete(self, key: str) -> None:
        _check_key(key)
        try:
            with self._translated():
                await self._backend.delete_async(key)
        except NotFoundError:
            return

    async def list_keys(self, prefix: str) -> Sequence[str]:
        folder = prefix.rstrip("/")
        if folder:
            _check_key(folder)
        with self._translated():
            found = await self._backend.list(folder or None).collect_async()
        return sorted(str(each["path"]) for each in found)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """The library's errors as ours. Only the first line goes into the message: the rest is a dump."""
        try:
            yield
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise UnavailableError(
                    f"file store {self._name} has no such bucket; make it or correct YUNHAN_FILES_URL"
                ) from error
            raise NotFoundError("NotFound", f"file store {self._name}: {_brief(error)}") from error
        except (BaseError, OSError) as error:
            if is_full(error) or _SERVER_FULL.search(str(error)):
                raise StorageFullError(f"file store {self._name}") from error
            raise UnavailableError(f"file store {self._name} fails: {_brief(error)}") from error


class LocalFileStore(ObjectFileStore):
    """A file store in a folder: `blobs/` below it, and `drafts/` of what is being put.

    Several programs may use the same folder. Makes the folders and sweeps old drafts; raises
    SettingsError when it cannot.
    """

    def __init__(self, folder: Path) -> None:
        self._blobs = folder / "blobs"
        self._drafts = folder / "drafts"
        try:
            self._blobs.mkdir(parents=True, exist_ok=True)
            self._drafts.mkdir(exist_ok=True)
            local_disk.sync_folder(folder)
            local_disk.sync_folder(folder.parent)
            local_disk.sweep(self._drafts)
            backend = LocalStore(self._blobs)
        except (OSError, BaseError) as error:
            raise SettingsError(
                f"the file store's folder {folder} cannot be used: {_brief(error)};"
                " set YUNHAN_FILES_URL or YUNHAN_DATA_DIR"
            ) from error
        super().__init__(backend, name=str(folder))

    async def take_file(self, key: str, source: Path) -> None:
        await self._store(key, source, self._take)

    async def stream(
        self, key: str, start: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """With own hands: the library reads local files in pieces of 8 KiB, a thread's turn for each."""
        _check_key(key)
        _check_range(start, length)
        reader = BlobReader(self._blobs / key, start, length)
        try:
            with self._translated():
                await run_to_end(reader.open, executor=FILE_READERS)
                while chunk := await run_to_end(reader.read, executor=FILE_READERS):
                    yield chunk
        finally:
            reader.close()

    async def delete(self, key: str) -> None:
        await super().delete(key)
        with self._translated():
            await run_to_end(local_disk.sync_removal, self._blobs / key, executor=FILE_WRITERS)

    async def _put(self, key: str, source: Path) -> None:
        await self._write(local_disk.place, source, key)

    async def _take(self, key: str, source: Path) -> None:
        await self._write(local_disk.take, source, key)

    async def _write(
        self, how: Callable[[Path, Path, Path, str], None], source: Path, key: str
    ) -> None:
        draft = local_disk.draft_in(self._drafts)
        await run_to_end(how, source, draft, self._blobs, key, executor=FILE_WRITERS)


def _open_s3(address: S3Address, secret_file: str, request_timeout: timedelta) -> S3Store:
    config: S3Config = {"disable_bulk_delete": True}  # OSS and others do not know bulk deletes
    if secret_file:
        config["secret_access_key"] = secret_in(
            secret_file, "YUNHAN_FILES_SECRET_FILE", encoding="ascii"
        )
    if address.endpoint:
        config["endpoint"] = address.endpoint
    if address.region:
        config["region"] = address.region
    client: ClientConfig = {
        "connect_timeout": _CONNECT_TIMEOUT,
        "read_timeout": _READ_TIMEOUT,
        "timeout": request_timeout,
    }
    if address.endpoint.startswith("http://"):
        client["allow_http"] = True
    return S3Store(
        address.bucket,
        prefix=address.prefix or None,
        config=config,
        client_options=client,
        retry_config={"max_retries": _RETRIES, "retry_timeout": _RETRY_TIMEOUT},
        virtual_hosted_style_request=address.virtual_host,
    )


def _check_key(key: str) -> None:
    """Keys are ours: a bad one is a bug of the caller's code, not a request to refuse."""
    if len(key) > _KEY_MAX or not _KEY.fullmatch(key):
        raise ValueError(f"no valid key of the file store: {key!r}")


def _check_range(start: int, length: int | None) -> None:
    """Likewise."""
    if start < 0 or (length is not None and length < 0):
        raise ValueError(f"no valid range of a blob: {length} bytes from {start}")


def _brief(error: Exception) -> str:
    return str(error).partition("\n")[0]
