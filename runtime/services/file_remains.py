"""Bytes that are no file's any more, removed so that a crash at any step loses track of none.

A key is in exactly one place at a time: an upload that may be reported, a record's `blob`, or a record's
`stale`. Into `stale` it comes by a compare-and-set of the record, and from there it never comes back:

    1. key into `stale` (an overwrite, a deletion, or `condemn`): from now on no report uses it
    2. its upload is no longer `stored`, so that no report finds it when the record has forgotten it
    3. bytes away
    4. key out of `stale`

Who reports reads the record first, then the uploads, then compares and sets that record. So if 2 to 4 fall
between its readings, its compare-and-set fails. The record of a file that is gone stays, empty, for a grace:
without it "there was no record" would fit a state that has come back, and old bytes would become a file.
"""

from __future__ import annotations

from dataclasses import replace

import structlog

from runtime.errors import ConflictError, OursError, UnavailableError
from runtime.messages import FileRecord, Upload, UploadState
from runtime.ports import Clock, FileRecords, FileStore
from runtime.services.file_uploads import upload_of

_log = structlog.get_logger(__name__)

CHANGES_MAX = 20
"""Attempts at one compare-and-set: so many others would have to win in a row."""
STALE_MAX = 200
"""Keys in one record. Beyond, its bytes are removed before another key comes."""


class FileRemains:
    """See the module. Any number of programs may do any of this at once."""

    def __init__(self, *, records: FileRecords, files: FileStore, clock: Clock) -> None:
        self._records = records
        self._files = files
        self._clock = clock

    async def finish(self, record: FileRecord) -> bool:
        """Remove the bytes of the record's stale keys. False: something does not answer, which was logged,
        and is left to the sweeper. Idempotent; `record` may be old."""
        try:
            for key in record.stale:
                await self._retire(key)
                await self._files.delete(key)
            if record.stale:
                await self._drop(record)
        except OursError as error:
            _log.warning(
                "file_bytes_left_to_sweep",
                space=record.space_id,
                file=record.file_id,
                blobs=len(record.stale),
                error=error.message,
            )
            return False
        return True

    async def condemn(self, upload: Upload) -> bool:
        """An upload that nobody reported in time: its bytes are stale, it is forgotten. False: it had become
        the file after all, and was only forgotten. Idempotent. Raises UnavailableError."""
        condemned = False
        for _ in range(CHANGES_MAX):
            record = await self._records.read(upload.space_id, upload.file_id)
            if record is not None and knows(record, upload.blob_key):
                break
            try:
                await self._records.put(
                    await self.with_stale(
                        record or empty_record(upload, self._clock.now_ms()), (upload.blob_key,)
                    ),
                    expected_version=None if record is None else record.version,
                )
            except ConflictError:
                continue
            condemned = True
            break
        else:
            raise changes_too_often(upload.file_id)
        await self._records.forget_upload(upload.upload_id)
        return condemned

    async def remove_space(self, space_id: str) -> None:
        """All files and uploads of a space. Records first: no reader ever finds one without its bytes. What
        an upload under way puts afterwards it removes itself, when it finds its record gone.

        Idempotent; to be repeated after a crash, and once the space is gone. Raises UnavailableError."""
        await self._records.delete_space(space_id)
        for key in await self._files.list_keys(f"files/{space_id}"):
            await self._files.delete(key)

    async def with_stale(self, record: FileRecord, keys: tuple[str, ...]) -> FileRecord:
        """The record with these keys as stale ones, too; to be put. Raises UnavailableError: it has too many,
        which cannot be removed now."""
        if len(record.stale) + len(keys) > STALE_MAX and not await self.finish(record):
            raise UnavailableError(f"old bytes of file {record.file_id} cannot be removed now")
        return replace(record, stale=(*record.stale, *keys))

    async def _retire(self, key: str) -> None:
        """Step 2. One that is still `receiving` will find itself gone. A grant that was forgotten may have
        been used again meanwhile (by clocks that jump): that upload has other bytes and is none of ours."""
        upload = await self._records.read_upload(upload_of(key))
        if upload is None or upload.blob_key != key:
            return
        if upload.state is UploadState.RECEIVING:
            await self._records.forget_upload(upload.upload_id)
        else:
            await self._records.spend_upload(upload.upload_id)

    async def _drop(self, record: FileRecord) -> None:
        """Step 4."""
        gone = frozenset(record.stale)
        for _ in range(CHANGES_MAX):
            left = tuple(key for key in record.stale if key not in gone)
            if left == record.stale:
                return
            now_ms = self._clock.now_ms() if record.blob is None else record.modified_ms
            try:
                await self._records.put(
                    replace(record, stale=left, modified_ms=now_ms),
                    expected_version=record.version,
                )
            except ConflictError:
                changed = await self._records.read(record.space_id, record.file_id)
                if changed is None:
                    return
                record = changed
            else:
                return
        raise changes_too_often(record.file_id)


def empty_record(upload: Upload, now_ms: int) -> FileRecord:
    """Of a file that is not there: that an upload could make."""
    return FileRecord(
        space_id=upload.space_id,
        file_id=upload.file_id,
        path=upload.path,
        owner_id=upload.owner_id,
        blob=None,
        created_ms=now_ms,
        modified_ms=now_ms,
    )


def knows(record: FileRecord, key: str) -> bool:
    """Whether these bytes are the file's, or were."""
    return key in record.stale or (record.blob is not None and record.blob.key == key)


def changes_too_often(file_id: str) -> UnavailableError:
    """Others changed the record in every attempt."""
    return UnavailableError(f"file {file_id} changes too often; try again")
