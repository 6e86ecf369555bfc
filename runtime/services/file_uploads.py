"""Uploads on their way: from a signed form or address to bytes in the store, waiting to be reported.

Order of steps, so that a program killed between any two leaves no bytes without a name:

    1. the signature is checked, before a byte of the file is taken (`open_form`, `open_put`)
    2. the upload's record is inserted; it names the blob that will be (`receiving`). One grant, one record:
       who comes second is refused
    3. the bytes arrive in a file of this machine; what breaks off here leaves no blob, so the record goes and
       the grant can be used again
    4. the bytes go into the store under a key that no other attempt ever had
    5. the record becomes `stored`. If it is gone (space deleted, swept), the bytes are removed here

An upload whose way into the store was cancelled keeps its record: the store may finish behind our back, and
the sweeper removes what came of it. The same holds when the store does not answer to the removal.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from runtime.errors import (
    ConflictError,
    NotFoundError,
    OursError,
    UnavailableError,
)
from runtime.files.paths import check_path, file_id_of
from runtime.files.post_policy import open_policy
from runtime.files.refusals import param_invalid, used
from runtime.files.signed_urls import UrlSigner
from runtime.messages import Blob, Upload
from runtime.ports import Clock, FileRecords, FileStore
from runtime.services.file_headers import checked_headers, checked_meta, checked_type
from runtime.services.file_spaces import FileSpaces
from runtime.services.file_upload_room import FileUploadRoom, RoomLimits
from runtime.services.space_status import require_running

_log = structlog.get_logger(__name__)

_ATTEMPT_BYTES = 6
"""Of randomness in a blob's key, beside the upload's id: no two attempts ever have one key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a checked form or address allows: one upload. Sizes in bytes, `expires_ms` since 1970."""

    upload_id: str
    space_id: str
    file_id: str
    path: str
    owner_id: str | None
    """The user behind it; None: a backend or the management side."""
    trusted: bool
    max_bytes: int
    expires_ms: int
    left_s: float
    """The longest time that the bytes may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedFile:
    """The bytes of an upload in a file of this machine. `md5` in lower-case hex, `size` in bytes."""

    path: Path
    size: int
    md5: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadLimits:
    """Bytes and seconds."""

    max_bytes: int
    room: RoomLimits
    ttl_s: float
    """How long a grant is good for, and how long afterwards its upload may be reported."""
    store_s: float
    """The longest way of the bytes into the store. Shorter than the sweeper's grace."""


class FileUploads:
    """See the module. `policy_key`: of `post_policy.KEY_PURPOSE`."""

    def __init__(
        self,
        *,
        records: FileRecords,
        files: FileStore,
        spaces: FileSpaces,
        policy_key: bytes,
        urls: UrlSigner,
        clock: Clock,
        limits: UploadLimits,
    ) -> None:
        self._records = records
        self._files = files
        self._spaces = spaces
        self._policy_key = policy_key
        self._urls = urls
        self._clock = clock
        self._limits = limits
        self._room = FileUploadRoom(records=records, clock=clock, limits=limits.room)

    def open_form(self, fields: Mapping[str, str]) -> Grant:
        """What the fields before the file allow; their names in any case. Nothing is stored yet.

        Raises InvalidParameterError (`ParamInvalid`: a field is missing), SignatureRefusedError."""
        lowered = {name.lower(): value for name, value in fields.items()}
        policy = open_policy(self._policy_key, lowered, now_ms=self._clock.now_ms())
        return self._grant(
            upload_id=policy.upload_id,
            space_id=policy.space_id,
            path=policy.path,
            owner_id=policy.owner_id,
            trusted=policy.trusted,
            max_bytes=policy.max_bytes,
            expires_ms=policy.expires_ms,
        )

    def open_put(
        self, space_id: str, path: str, query: Mapping[str, str], content_type: str
    ) -> Grant:
        """What a signed address allows. `content_type` as the request has it, empty for none; `path` decoded.

        Raises InvalidParameterError (the path is none), SignatureRefusedError."""
        check_path(path)
        signed = self._urls.open_put(
            space_id, path, query, content_type, now_ms=self._clock.now_ms()
        )
        return self._grant(
            upload_id=signed.upload_id,
            space_id=space_id,
            path=path,
            owner_id=None,
            trusted=True,
            max_bytes=self._limits.max_bytes,
            expires_ms=signed.expires_ms,
        )

    @asynccontextmanager
    async def receiving(self, grant: Grant) -> AsyncIterator[UploadUnderWay]:
        """Use the grant: take its bytes inside, and `store` them on what this yields.

        Left without `store`, by an error or not, the upload never was and the grant is good again.
        Raises SignatureRefusedError (used already), NotFoundError (space gone or paused),
        TooManyUploadsError, UnavailableError."""
        under_way = UploadUnderWay(
            await self._begin(grant), self._records, self._files, self._clock, self._limits
        )
        try:
            yield under_way
        finally:
            if under_way.untouched:
                await self._forget(under_way.upload)

    async def _begin(self, grant: Grant) -> Upload:
        require_running(await self._spaces.get(grant.space_id))
        await self._room.check(grant.space_id, owner_id=grant.owner_id, trusted=grant.trusted)
        now_ms = self._clock.now_ms()
        ttl_ms = round(self._limits.ttl_s * 1000)
        upload = Upload(
            upload_id=grant.upload_id,
            space_id=grant.space_id,
            file_id=grant.file_id,
            path=grant.path,
            owner_id=grant.owner_id,
            trusted=grant.trusted,
            blob_key=blob_key(grant.space_id, grant.upload_id),
            begun_ms=now_ms,
            expires_ms=max(grant.expires_ms, now_ms) + ttl_ms,
        )
        try:
            await self._records.begin_upload(upload)
        except ConflictError:
            raise used("this upload form or address") from None
        return upload

    async def _forget(self, upload: Upload) -> None:
        try:
            await self._records.forget_upload(upload.upload_id)
        except OursError as error:
            _log.warning("upload_left_to_sweep", upload=upload.upload_id, error=error.message)

    def _grant(
        self,
        *,
        upload_id: str,
        space_id: str,
        path: str,
        owner_id: str | None,
        trusted: bool,
        max_bytes: int,
        expires_ms: int,
    ) -> Grant:
        left_s = (expires_ms - self._clock.now_ms()) / 1000
        return Grant(
            upload_id=upload_id,
            space_id=space_id,
            file_id=file_id_of(space_id, path),
            path=path,
            owner_id=owner_id,
            trusted=trusted,
            max_bytes=min(max_bytes, self._limits.max_bytes),
            expires_ms=expires_ms,
            left_s=min(left_s, self._limits.ttl_s),  # a clock that was set back gives no more
        )


class UploadUnderWay:
    """The one use of a grant, from its record to its bytes in the store."""

    def __init__(
        self,
        upload: Upload,
        records: FileRecords,
        files: FileStore,
        clock: Clock,
        limits: UploadLimits,
    ) -> None:
        self.upload = upload
        self.untouched = True
        """Nothing of it can be in the store."""
        self._records = records
        self._files = files
        self._clock = clock
        self._limits = limits

    async def store(
        self,
        file: ReceivedFile,
        *,
        content_type: str | None,
        headers: Mapping[str, str],
        meta: Mapping[str, str],
    ) -> Blob:
        """Take the file over; afterwards the upload can be reported. Once.

        `headers` by name in any case, others than `STORED_HEADERS` are left out; `meta` by what followed
        `x-oss-meta-`, as it was spelt. No type: that of the path's extension. Raises InvalidParameterError
        (a value cannot be a header), StorageFullError, UnavailableError, NotFoundError (the space was
        deleted or the upload swept meanwhile)."""
        if not self.untouched:
            raise ValueError(f"upload {self.upload.upload_id} was stored before")
        blob = Blob(
            key=self.upload.blob_key,
            size=file.size,
            md5=file.md5,
            content_type=checked_type(content_type, self.upload.path),
            headers=checked_headers(headers),
            meta=checked_meta(meta),
        )
        not_before_ms = await self._behind_the_present()
        self.untouched = False
        try:
            async with asyncio.timeout(self._limits.store_s):
                await self._files.take_file(blob.key, file.path)
        except (asyncio.CancelledError, TimeoutError) as error:
            await self._remove(blob)  # and the record stays: see the module
            if isinstance(error, TimeoutError):
                raise self._too_slow(file) from error
            raise
        except BaseException:
            self.untouched = await self._remove(blob)
            raise
        try:
            await self._records.finish_upload(
                self.upload.upload_id, blob, stored_ms=max(self._clock.now_ms(), not_before_ms)
            )
        except NotFoundError:
            await self._remove(blob)
            raise _gone(self.upload) from None
        except ConflictError as error:  # no other attempt has this record
            raise UnavailableError(error.message) from error
        return blob

    async def _behind_the_present(self) -> int:
        """Reports go by the times at which uploads were stored. An upload that comes after a report is the
        newer one, though its gateway's clock be late."""
        record = await self._records.read(self.upload.space_id, self.upload.file_id)
        return 0 if record is None else record.stored_ms + 1

    def _too_slow(self, file: ReceivedFile) -> UnavailableError:
        return UnavailableError(
            f"the file store did not take {file.size} bytes within {self._limits.store_s:g} s"
        )

    async def _remove(self, blob: Blob) -> bool:
        try:
            await self._files.delete(blob.key)
        except OursError as error:
            _log.warning("upload_left_to_sweep", key=blob.key, error=error.message)
            return False
        return True


def blob_key(space_id: str, upload_id: str) -> str:
    """A new key in the file store; `upload_of` knows whose it is."""
    return f"files/{space_id}/{upload_id}-{secrets.token_hex(_ATTEMPT_BYTES)}"


def upload_of(key: str) -> str:
    """The upload that a blob came with."""
    return key.rpartition("/")[2].partition("-")[0]


def _gone(upload: Upload) -> NotFoundError:
    return NotFoundError(
        param_invalid("id", "").code,
        f"the upload of {upload.path[:120]!r} is void: its space was deleted, or it took too long",
    )
