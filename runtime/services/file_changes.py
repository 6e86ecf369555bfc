"""The two changes of a file's record: an upload becomes the file, and the file goes.

Each is one compare-and-set, seen by everybody at once; what remains (old bytes, uploads that were used) is
removed afterwards and by the sweeper (`file_remains` says why no bytes are lost or missing). Order of reads:
the record first, then the uploads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import structlog

from runtime.errors import ConflictError, InvalidParameterError, OursError
from runtime.files.refusals import FileDeniedError, param_invalid
from runtime.files.rules import Operation
from runtime.messages import Blob, FileRecord, Upload
from runtime.ports import Clock, FileRecords
from runtime.services.file_entries import first_there
from runtime.services.file_headers import UNKNOWN_TYPE
from runtime.services.file_remains import (
    CHANGES_MAX,
    FileRemains,
    changes_too_often,
    empty_record,
    knows,
)
from runtime.services.file_spaces import FileCaller

_log = structlog.get_logger(__name__)

_NAMED_MAX = 200
"""Characters that an error repeats."""
_UPLOADS_MAX = 100
"""Uploads of one file that one change takes away. Fewer than a record may have stale keys."""


class FileChanges:
    """See the module."""

    def __init__(self, *, records: FileRecords, remains: FileRemains, clock: Clock) -> None:
        self._records = records
        self._remains = remains
        self._clock = clock

    async def report(
        self, caller: FileCaller, file_id: str, content_type: str | None = None
    ) -> FileRecord:
        """The newest stored upload of this file becomes the file; older ones are dropped. An app reports the
        uploads of its user, everybody else those that were signed for a backend, a function or the management
        side, whoever they are for: of what apps upload nobody but its user can say that it is meant.

        Uploads that were stored before the present version are dropped, too. So a repetition succeeds, and
        brings nothing old back. The write rule is asked again, also for a repetition: file and rules may have
        changed since the upload was signed. What it refuses is dropped.

        `content_type` counts when the upload had none that says anything. Raises InvalidParameterError
        (`ParamInvalid`: unknown or expired id), FileDeniedError, UnavailableError."""
        for _ in range(CHANGES_MAX):
            record = await self._records.read(caller.space.space_id, file_id)
            found = await self._uploads(caller, file_id)
            # Whose bytes the record knows, they were reported already: by somebody who has not yet got to
            # saying so, or died before.
            uploads = [each for each in found if record is None or not knows(record, each.blob_key)]
            if not uploads:
                return _reported_before(caller, record, file_id)
            newest = uploads[0]
            owner_id = owner_of(record, caller.user_id)
            allowed = caller.may(newest.path, Operation.WRITE, owner_id)
            if allowed and (record is None or newest.stored_ms > record.stored_ms):
                changed = await self._reported(record, uploads, content_type)
            else:
                changed = await self._dropped(record, uploads)
            try:
                changed = await self._records.put(
                    changed, expected_version=None if record is None else record.version
                )
            except ConflictError:
                continue
            await self._tidy(changed, uploads)
            if not allowed:
                raise FileDeniedError(newest.path, "write")
            if len(found) < _UPLOADS_MAX:
                return _reported_before(caller, changed, file_id)
        raise changes_too_often(file_id)

    async def delete(
        self, caller: FileCaller, file_ids: Sequence[str], *, named: str
    ) -> FileRecord:
        """Delete the first of these files that is there; returns what it was. `named`: as the caller
        wrote it.

        Raises InvalidParameterError (`ParamInvalid`: there is none), FileDeniedError, UnavailableError."""
        for _ in range(CHANGES_MAX):
            found = await self._records.read_many(caller.space.space_id, file_ids)
            record = first_there(found, file_ids)
            if record is None or record.blob is None:
                raise param_invalid("id", f"there is no file {named[:_NAMED_MAX]!r}")
            caller.check_write(record.path, record.owner_id)
            changed = await self._remains.with_stale(record, (record.blob.key,))
            changed = replace(changed, blob=None, modified_ms=self._clock.now_ms())
            try:
                changed = await self._records.put(changed, expected_version=record.version)
            except ConflictError:
                continue
            await self._remains.finish(changed)
            return record
        raise changes_too_often(file_ids[0])

    async def _uploads(self, caller: FileCaller, file_id: str) -> Sequence[Upload]:
        """Those that this caller reports, newest first."""
        if not caller.trusted and caller.user_id is None:
            return ()
        return await self._records.stored_uploads(
            caller.space.space_id,
            file_id,
            now_ms=self._clock.now_ms(),
            owner_id=None if caller.trusted else caller.user_id,
            trusted=caller.trusted,
            limit=_UPLOADS_MAX,
        )

    async def _reported(
        self, record: FileRecord | None, uploads: Sequence[Upload], content_type: str | None
    ) -> FileRecord:
        """The record with the first upload's bytes; to be put."""
        newest, *dropped = uploads
        now_ms = self._clock.now_ms()
        stale = [each.blob_key for each in dropped]
        base = empty_record(newest, now_ms)
        if record is not None and record.blob is None:
            base = replace(base, stale=record.stale)
        elif record is not None and record.blob is not None:
            base = record
            stale.append(record.blob.key)
        changed = await self._remains.with_stale(base, tuple(stale))
        return replace(
            changed,
            blob=_typed(newest.blob, content_type),
            stored_ms=newest.stored_ms,
            modified_ms=now_ms,
        )

    async def _dropped(self, record: FileRecord | None, uploads: Sequence[Upload]) -> FileRecord:
        """The record as it is, with these uploads' bytes to be removed; to be put."""
        base = record or empty_record(uploads[0], self._clock.now_ms())
        return await self._remains.with_stale(base, tuple(each.blob_key for each in uploads))

    async def _tidy(self, record: FileRecord, uploads: Sequence[Upload]) -> None:
        """The change stands: what fails from here on is the sweeper's."""
        try:
            for upload in uploads:
                await self._records.spend_upload(upload.upload_id)
        except OursError as error:
            _log.warning("upload_left_to_sweep", file=record.file_id, error=error.message)
        await self._remains.finish(record)


def owner_of(record: FileRecord | None, maker: str | None) -> str | None:
    """Whose a file is: of one that is not there, whoever makes it."""
    return maker if record is None or record.blob is None else record.owner_id


def _reported_before(caller: FileCaller, record: FileRecord | None, file_id: str) -> FileRecord:
    """The file, though nothing is left to report. Raises InvalidParameterError when there is none,
    FileDeniedError when this caller cannot have made it: it is not to be told that it has."""
    if record is None or record.blob is None:
        raise _nothing_to_report(file_id)
    caller.check_write(record.path, record.owner_id)
    return record


def _typed(blob: Blob | None, content_type: str | None) -> Blob:
    assert blob is not None  # the upload is `stored`
    if content_type is None or blob.content_type != UNKNOWN_TYPE:
        return blob
    return replace(blob, content_type=content_type)


def _nothing_to_report(file_id: str) -> InvalidParameterError:
    return param_invalid(
        "id",
        f"nothing was uploaded for file {file_id[:64]!r}, or too long ago; ask for an upload again",
    )
