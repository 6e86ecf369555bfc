"""Records of files and uploads in memory: for tests, and as the model of what the port means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count

from runtime.errors import ConflictError, NotFoundError
from runtime.messages import Blob, FileRecord, Upload, UploadState
from runtime.ports import FileRecords

_OPEN = frozenset({UploadState.RECEIVING, UploadState.STORED})


class FileRecordsMemory(FileRecords):
    """See `FileRecords`."""

    def __init__(self) -> None:
        self._files: dict[tuple[str, str], FileRecord] = {}
        self._uploads: dict[str, Upload] = {}
        self._versions = count(1)

    # --- uploads --------------------------------------------------------------------------------

    async def begin_upload(self, upload: Upload) -> None:
        if upload.upload_id in self._uploads:
            raise ConflictError("AlreadyExists", f"upload {upload.upload_id} was begun before")
        self._uploads[upload.upload_id] = upload

    async def finish_upload(self, upload_id: str, blob: Blob, *, stored_ms: int) -> Upload:
        upload = self._uploads.get(upload_id)
        if upload is None:
            raise NotFoundError("UploadNotFound", f"upload {upload_id} does not exist any more")
        if upload.state is UploadState.RECEIVING:
            upload = replace(upload, state=UploadState.STORED, blob=blob, stored_ms=stored_ms)
            self._uploads[upload_id] = upload
        if upload.state is not UploadState.STORED or upload.blob != blob:
            raise ConflictError("Conflict", f"upload {upload_id} was finished otherwise meanwhile")
        return upload

    async def spend_upload(self, upload_id: str) -> None:
        upload = self._uploads.get(upload_id)
        if upload is not None and upload.state is UploadState.STORED:
            self._uploads[upload_id] = replace(upload, state=UploadState.SPENT)

    async def forget_upload(self, upload_id: str) -> None:
        self._uploads.pop(upload_id, None)

    async def read_upload(self, upload_id: str) -> Upload | None:
        return self._uploads.get(upload_id)

    async def stored_uploads(
        self,
        space_id: str,
        file_id: str,
        *,
        now_ms: int,
        owner_id: str | None = None,
        trusted: bool = False,
        limit: int,
    ) -> Sequence[Upload]:
        found = [
            each
            for each in self._uploads.values()
            if (each.space_id, each.file_id) == (space_id, file_id)
            and each.state is UploadState.STORED
            and each.expires_ms > now_ms
            and owner_id in {None, each.owner_id}
            and (each.trusted or not trusted)
        ]
        found.sort(key=lambda each: (each.stored_ms, each.upload_id), reverse=True)
        return found[: max(0, limit)]

    async def open_uploads(self, space_id: str, *, owner_id: str | None = None, limit: int) -> int:
        found = sum(
            each.space_id == space_id and each.state in _OPEN and owner_id in {None, each.owner_id}
            for each in self._uploads.values()
        )
        return min(found, limit)

    async def expired_uploads(
        self, *, before_ms: int, limit: int, after: Upload | None = None
    ) -> Sequence[Upload]:
        found = [
            each
            for each in self._uploads.values()
            if each.expires_ms < before_ms and (after is None or _age(each) > _age(after))
        ]
        return sorted(found, key=_age)[: max(0, limit)]

    # --- files ----------------------------------------------------------------------------------

    async def read(self, space_id: str, file_id: str) -> FileRecord | None:
        return self._files.get((space_id, file_id))

    async def read_many(self, space_id: str, file_ids: Sequence[str]) -> Mapping[str, FileRecord]:
        found = {each: self._files.get((space_id, each)) for each in file_ids}
        return {file_id: record for file_id, record in found.items() if record is not None}

    async def put(self, record: FileRecord, *, expected_version: int | None) -> FileRecord:
        key = record.space_id, record.file_id
        there = self._files.get(key)
        if (there.version if there is not None else None) != expected_version:
            raise _changed(record)
        self._files[key] = replace(record, version=next(self._versions))
        return self._files[key]

    async def remove(self, record: FileRecord) -> None:
        key = record.space_id, record.file_id
        there = self._files.get(key)
        if there is not None and there.version != record.version:
            raise _changed(record)
        self._files.pop(key, None)

    async def page(
        self,
        space_id: str,
        *,
        prefix: str = "",
        keyword: str = "",
        after: str | None = None,
        limit: int,
    ) -> Sequence[FileRecord]:
        found = [
            each
            for each in self._files.values()
            if each.space_id == space_id
            and each.blob is not None
            and each.path.startswith(prefix)
            and keyword in each.path
            and (after is None or each.path > after)
        ]
        return sorted(found, key=lambda each: each.path)[: max(0, limit)]

    async def unfinished(
        self, *, before_ms: int, limit: int, after: FileRecord | None = None
    ) -> Sequence[FileRecord]:
        found = [
            each
            for each in self._files.values()
            if (each.stale or each.blob is None)
            and each.modified_ms < before_ms
            and (after is None or _change(each) > _change(after))
        ]
        return sorted(found, key=_change)[: max(0, limit)]

    async def delete_space(self, space_id: str) -> None:
        self._files = {key: each for key, each in self._files.items() if key[0] != space_id}
        self._uploads = {
            key: each for key, each in self._uploads.items() if each.space_id != space_id
        }


def _age(upload: Upload) -> tuple[int, str]:
    return upload.expires_ms, upload.upload_id


def _change(record: FileRecord) -> tuple[int, str, str]:
    return record.modified_ms, record.space_id, record.file_id


def _changed(record: FileRecord) -> ConflictError:
    return ConflictError(
        "Conflict",
        f"file {record.file_id} of space {record.space_id} was changed meanwhile; try again",
    )
