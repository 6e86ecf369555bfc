"""File store over the `obstore` library: a local folder, S3-compatible stores, or memory.

What obstore 0.12 leaves to us:

- Its local store writes to a draft beside the file and renames it, but syncs nothing and leaves the
  draft behind when the process dies. Local puts are therefore done here: draft, sync, rename, sync
  of the folders. Everything else goes through obstore for every kind of store.
- Its threads wake the event loop and then need the interpreter once more. When the program ends in
  that moment, Python before 3.14 kills the process (SIGABRT); a pause at the exit prevents it.
- A missing S3 bucket looks like a missing key; it is told apart by the server's error code.
- An upload to S3 that is cancelled or killed leaves its parts on the server, unseen but paid for: a
  bucket should have a lifecycle rule that aborts incomplete multipart uploads.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import time
import uuid
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from obstore.exceptions import BaseError
from obstore.store import LocalStore, MemoryStore, S3Store

from runtime.errors import NotFoundError, UnavailableError
from runtime.ports import FileStore
from runtime.settings import SettingsError, secret_in
from runtime.threads import run_to_end

if TYPE_CHECKING:  # these names do not exist at run time
    from obstore.store import ClientConfig, S3Config

_Backend: TypeAlias = LocalStore | MemoryStore | S3Store

_CHUNK_BYTES = 1024 * 1024
_PART_BYTES = 8 * 1024 * 1024
_PARTS_AT_ONCE = 2
"""Parts of an upload in memory at the same time."""
_DRAFT_MAX_AGE_S = 24 * 3600
"""Older drafts are of a process that died; younger ones may be another process's."""

_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}(/[A-Za-z0-9_-][A-Za-z0-9._-]{0,199})*")
_KEY_MAX = 800
"""S3 allows 1024 bytes with the prefix."""

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_S3_PARAMETERS = frozenset({"endpoint", "region", "virtual_host"})
_CONNECT_TIMEOUT = timedelta(seconds=5)
_READ_TIMEOUT = timedelta(seconds=15)
_REQUEST_TIMEOUT = timedelta(minutes=5)
_RETRY_TIMEOUT = timedelta(seconds=20)
_RETRIES = 3

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
        return ObjectFileStore(
            _open_s3(parts, secret_file), name=f"s3://{parts.netloc}{parts.path}"
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
    """A file store in an obstore store. `name` is for messages."""

    def __init__(self, backend: _Backend, *, name: str) -> None:
        _pause_at_exit()
        self._backend = backend
        self._name = name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name})"

    async def put_file(self, key: str, source: Path) -> None:
        _check_key(key)
        await run_to_end(source.stat)  # a missing source is no missing key
        try:
            with self._translated():
                await self._put(key, source)
        except NotFoundError as error:
            raise UnavailableError(error.message) from error

    async def _put(self, key: str, source: Path) -> None:
        await self._backend.put_async(
            key, source, chunk_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE
        )

    async def get_file(self, key: str, target: Path) -> bool:
        draft = _draft_in(target.parent)
        try:
            async with aclosing(self.stream(key)) as chunks:
                await run_to_end(_append, draft, b"")
                async for chunk in chunks:
                    await run_to_end(_append, draft, chunk)
            await run_to_end(draft.replace, target)
        except BaseException as error:
            await run_to_end(_remove, draft)
            if isinstance(error, NotFoundError):
                return False
            raise
        return True

    async def stream(self, key: str) -> AsyncGenerator[bytes, None]:
        _check_key(key)
        with self._translated():
            found = await self._backend.get_async(key)
            async for chunk in found.stream(min_chunk_size=_CHUNK_BYTES):
                for start in range(0, len(chunk), _CHUNK_BYTES):
                    yield bytes(chunk[start : start + _CHUNK_BYTES])

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
            _sync_folder(folder)
            _sync_folder(folder.parent)
            _sweep(self._drafts)
            backend = LocalStore(self._blobs)
        except (OSError, BaseError) as error:
            raise SettingsError(
                f"the file store's folder {folder} cannot be used: {_brief(error)};"
                " set YUNHAN_FILES_URL or YUNHAN_DATA_DIR"
            ) from error
        super().__init__(backend, name=str(folder))

    async def _put(self, key: str, source: Path) -> None:
        await run_to_end(_place, source, _draft_in(self._drafts), self._blobs, key)


def _open_s3(parts: SplitResult, secret_file: str) -> S3Store:
    parameters = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = sorted(parameters.keys() - _S3_PARAMETERS)
    if unknown or not _BUCKET.fullmatch(parts.netloc):
        problem = f"unknown parameter {unknown[0]!r}" if unknown else "no valid bucket name"
        raise SettingsError(
            f"YUNHAN_FILES_URL: {problem}; use s3://bucket/prefix with the parameters"
            f" {', '.join(sorted(_S3_PARAMETERS))}, and credentials in AWS_ACCESS_KEY_ID and"
            " AWS_SECRET_ACCESS_KEY"
        )
    config: S3Config = {"disable_bulk_delete": True}  # OSS and others do not know bulk deletes
    if secret_file:
        config["secret_access_key"] = secret_in(
            secret_file, "YUNHAN_FILES_SECRET_FILE", encoding="ascii"
        )
    if parameters.get("endpoint"):
        config["endpoint"] = parameters["endpoint"]
    if parameters.get("region"):
        config["region"] = parameters["region"]
    client: ClientConfig = {
        "connect_timeout": _CONNECT_TIMEOUT,
        "read_timeout": _READ_TIMEOUT,
        "timeout": _REQUEST_TIMEOUT,
    }
    if parameters.get("endpoint", "").startswith("http://"):
        client["allow_http"] = True
    return S3Store(
        parts.netloc,
        prefix=unquote(parts.path).strip("/") or None,
        config=config,
        client_options=client,
        retry_config={"max_retries": _RETRIES, "retry_timeout": _RETRY_TIMEOUT},
        virtual_hosted_style_request=parameters.get("virtual_host", "false") == "true",
    )


def _check_key(key: str) -> None:
    """Keys are ours: a bad one is a bug of the caller's code, not a request to refuse."""
    if len(key) > _KEY_MAX or not _KEY.fullmatch(key):
        raise ValueError(f"no valid key of the file store: {key!r}")


def _brief(error: Exception) -> str:
    return str(error).partition("\n")[0]


# --- blocking work ------------------------------------------------------------------------------


def _draft_in(folder: Path) -> Path:
    return folder / f".draft-{uuid.uuid4().hex}"


def _append(draft: Path, chunk: bytes) -> None:
    with draft.open("ab") as file:
        file.write(chunk)


def _remove(draft: Path) -> None:
    draft.unlink(missing_ok=True)


def _place(source: Path, draft: Path, top: Path, key: str) -> None:
    """Put a copy of `source` at `top/key`, so that it survives a loss of power.

    The bytes are synced before they get their name, the folders after it."""
    target = top / key
    try:
        with source.open("rb") as original, draft.open("xb") as copy:
            shutil.copyfileobj(original, copy, _CHUNK_BYTES)
            copy.flush()
            os.fsync(copy.fileno())
        target.parent.mkdir(parents=True, exist_ok=True)
        draft.replace(target)
    except BaseException:
        _remove(draft)
        raise
    for folder in target.parents:
        _sync_folder(folder)
        if folder == top:
            return


def _sync_folder(folder: Path) -> None:
    """Make new names in a folder survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sweep(drafts: Path) -> None:
    oldest = time.time() - _DRAFT_MAX_AGE_S
    for draft in drafts.iterdir():
        with suppress(FileNotFoundError):  # another program sweeps too
            if draft.stat().st_mtime < oldest:
                draft.unlink()
