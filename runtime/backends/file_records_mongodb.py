"""Records of files and uploads in a document database: collections `files` and `uploads`.

Every change is one change of one document whose filter says what must still hold. Queries are equalities or
short ranges of indexed fields (see `control_mongodb`); what an index does not cover follows in a stage of its
own, because the embedded server reads a whole collection for an index with a condition beside it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, TypeVar

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

from runtime.backends.documents_mongodb import Document, durable, translated
from runtime.backends.file_records.codec import (
    blob_to_document,
    file_from_document,
    file_key,
    file_to_document,
    readable,
    upload_from_document,
    upload_to_document,
)
from runtime.backends.file_records.path_windows import PathSpan, windows
from runtime.errors import ConflictError, NotFoundError, UnavailableError
from runtime.messages import Blob, FileRecord, Upload, UploadState
from runtime.ports import FileRecords

_IDS_AT_ONCE = 50
"""Ids in one `$in`: the embedded server's cost grows with the square."""
_VERSION_BITS = 62
"""As many as a document's integer holds for sure; chance never gives one twice."""
_UNFINISHED: Document = {"$gt": 0}
"""As the index says it; the embedded server uses a partial index only for the same words."""

_RECEIVING = UploadState.RECEIVING.value
_STORED = UploadState.STORED.value
_SPENT = UploadState.SPENT.value

T = TypeVar("T")


class FileRecordsMongodb(FileRecords):
    """See `FileRecords`. Call `ensure_indexes` once per program start.

    `page_s`: a page that is not filled after so many seconds (a rare keyword among very many files) raises
    UnavailableError.
    """

    def __init__(self, database: AsyncDatabase[Document], *, page_s: float = 20.0) -> None:
        self._files = durable(database, "files")
        self._uploads = durable(database, "uploads")
        self._page_s = page_s

    async def ensure_indexes(self) -> None:
        """Make what is missing. Idempotent. Raises UnavailableError."""
        with translated("make indexes of the file records"):
            await self._files.create_indexes(
                [
                    IndexModel([("s", ASCENDING), ("p", ASCENDING)]),
                    IndexModel([("s", ASCENDING), ("k", ASCENDING), ("p", ASCENDING)]),
                    IndexModel([("u", ASCENDING)], partialFilterExpression={"u": _UNFINISHED}),
                ]
            )
            await self._uploads.create_indexes(
                [
                    IndexModel([("s", ASCENDING), ("st", ASCENDING), ("o", ASCENDING)]),
                    IndexModel([("s", ASCENDING), ("f", ASCENDING), ("st", ASCENDING)]),
                    IndexModel([("e", ASCENDING)]),
                ]
            )

    # --- uploads --------------------------------------------------------------------------------

    async def begin_upload(self, upload: Upload) -> None:
        with translated(f"begin upload {upload.upload_id}"):
            try:
                await self._uploads.insert_one(upload_to_document(upload))
            except DuplicateKeyError:
                raise ConflictError(
                    "AlreadyExists",
                    f"upload {upload.upload_id} was begun before; ask for a new address to upload to",
                ) from None

    async def finish_upload(self, upload_id: str, blob: Blob, *, stored_ms: int) -> Upload:
        stored = {"st": _STORED, "x": blob_to_document(blob), "d": stored_ms}
        with translated(f"finish upload {upload_id}"):
            await self._uploads.update_one({"_id": upload_id, "st": _RECEIVING}, {"$set": stored})
        upload = await self.read_upload(upload_id)
        if upload is None:
            raise NotFoundError("UploadNotFound", f"upload {upload_id} does not exist any more")
        if upload.state is not UploadState.STORED or upload.blob != blob:
            raise ConflictError("Conflict", f"upload {upload_id} was finished otherwise meanwhile")
        return upload

    async def spend_upload(self, upload_id: str) -> None:
        with translated(f"spend upload {upload_id}"):
            await self._uploads.update_one(
                {"_id": upload_id, "st": _STORED}, {"$set": {"st": _SPENT}}
            )

    async def forget_upload(self, upload_id: str) -> None:
        with translated(f"forget upload {upload_id}"):
            await self._uploads.delete_one({"_id": upload_id})

    async def read_upload(self, upload_id: str) -> Upload | None:
        with translated(f"read upload {upload_id}"):
            document = await self._uploads.find_one({"_id": upload_id})
        return upload_from_document(document) if document else None

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
        if limit < 1:
            return []
        rest: Document = {"e": {"$gt": now_ms}} | _of(owner_id)
        if trusted:
            rest["w"] = True
        stages: list[Document] = [
            {"$match": {"s": space_id, "f": file_id, "st": _STORED}},
            {"$match": rest},
            {"$sort": {"d": DESCENDING, "_id": DESCENDING}},
            {"$limit": limit},
        ]
        with translated(f"look for uploads of file {file_id} in space {space_id}"):
            documents = await (await self._uploads.aggregate(stages)).to_list()
        return [upload_from_document(each) for each in documents]

    async def open_uploads(self, space_id: str, *, owner_id: str | None = None, limit: int) -> int:
        count = 0
        with translated(f"count uploads of space {space_id}"):
            for state in (_RECEIVING, _STORED):
                if count < limit:
                    count += await self._uploads.count_documents(
                        {"s": space_id, "st": state} | _of(owner_id), limit=limit - count
                    )
        return count

    async def expired_uploads(
        self, *, before_ms: int, limit: int, after: Upload | None = None
    ) -> Sequence[Upload]:
        with translated("look for expired uploads"):
            return await _oldest(
                self._uploads,
                upload_from_document,
                field="e",
                condition={"$lt": before_ms},
                after=None if after is None else (after.expires_ms, after.upload_id),
                limit=limit,
            )

    # --- files ----------------------------------------------------------------------------------

    async def read(self, space_id: str, file_id: str) -> FileRecord | None:
        with translated(f"read file {file_id} of space {space_id}"):
            document = await self._files.find_one({"_id": file_key(space_id, file_id)})
        return file_from_document(document) if document else None

    async def read_many(self, space_id: str, file_ids: Sequence[str]) -> Mapping[str, FileRecord]:
        keys = [file_key(space_id, each) for each in dict.fromkeys(file_ids)]
        found: dict[str, FileRecord] = {}
        with translated(f"read {len(keys)} files of space {space_id}"):
            for start in range(0, len(keys), _IDS_AT_ONCE):
                some = {"_id": {"$in": keys[start : start + _IDS_AT_ONCE]}}
                async for each in self._files.find(some):
                    found[each["f"]] = file_from_document(each)
        return found

    async def put(self, record: FileRecord, *, expected_version: int | None) -> FileRecord:
        new = replace(record, version=secrets.randbits(_VERSION_BITS))
        document = file_to_document(new)
        with translated(f"put file {record.file_id} of space {record.space_id}"):
            if expected_version is None:
                try:
                    await self._files.insert_one(document)
                except DuplicateKeyError:
                    raise _changed(record) from None
                return new
            result = await self._files.replace_one(
                {"_id": document["_id"], "v": expected_version}, document
            )
        if not result.matched_count:
            raise _changed(record)
        return new

    async def remove(self, record: FileRecord) -> None:
        key = file_key(record.space_id, record.file_id)
        with translated(f"remove file {record.file_id} of space {record.space_id}"):
            result = await self._files.delete_one({"_id": key, "v": record.version})
            if result.deleted_count or await self._files.find_one({"_id": key}, {"_id": 1}) is None:
                return
        raise _changed(record)

    async def page(
        self,
        space_id: str,
        *,
        prefix: str = "",
        keyword: str = "",
        after: str | None = None,
        limit: int,
    ) -> Sequence[FileRecord]:
        found: list[FileRecord] = []
        if limit < 1:
            return found
        now = asyncio.get_running_loop().time
        until = now() + self._page_s
        with translated(f"list files of space {space_id}"):
            span = PathSpan.of(prefix, after)
            async with aclosing(windows(self._files, space_id, span)) as spans:
                async for window in spans:
                    found += await self._visible(space_id, window, keyword, limit - len(found))
                    if len(found) >= limit:
                        break
                    if now() > until:
                        raise UnavailableError(
                            f"only {len(found)} files of space {space_id} were found within"
                            f" {self._page_s:.0f} s of searching; ask with a longer prefix"
                        )
        return found

    async def unfinished(
        self, *, before_ms: int, limit: int, after: FileRecord | None = None
    ) -> Sequence[FileRecord]:
        key = None if after is None else file_key(after.space_id, after.file_id)
        with translated("look for unfinished files"):
            return await _oldest(
                self._files,
                file_from_document,
                field="u",
                condition={**_UNFINISHED, "$lt": before_ms},
                after=None if after is None or key is None else (after.modified_ms, key),
                limit=limit,
            )

    async def delete_space(self, space_id: str) -> None:
        with translated(f"delete file records of space {space_id}"):
            async with aclosing(windows(self._files, space_id, PathSpan())) as spans:
                async for window in spans:
                    await self._files.delete_many(window.condition(space_id))
            await self._uploads.delete_many({"s": space_id})

    async def _visible(
        self, space_id: str, window: PathSpan, keyword: str, limit: int
    ) -> list[FileRecord]:
        """Up to `limit` files of a window; those that cannot be read do not count."""
        rest: Document = {"x": {"$ne": None}}
        if keyword:
            contains = {"$indexOfBytes": ["$p", {"$literal": keyword}]}
            rest["$expr"] = {"$gte": [contains, 0]}
        found: list[FileRecord] = []
        while True:
            wanted = limit - len(found)
            stages: list[Document] = [
                {"$match": window.condition(space_id)},
                {"$match": rest},
                {"$sort": {"p": ASCENDING}},
                {"$limit": wanted},
            ]
            documents = await (await self._files.aggregate(stages)).to_list()
            found += readable(documents, file_from_document)
            if len(documents) < wanted or len(found) == limit:
                return found
            window = window.behind(documents[-1]["p"])


async def _oldest(
    collection: AsyncCollection[Document],
    read: Callable[[Mapping[str, Any]], T],
    *,
    field: str,
    condition: Document,
    after: tuple[int, str] | None,
    limit: int,
) -> list[T]:
    """By `field` (a time) and `_id`, behind `after`. Raises the driver's errors."""
    found: list[T] = []
    while len(found) < limit:
        wanted = limit - len(found)
        stages: list[Document] = [{"$match": {field: condition}}]
        if after is not None:
            later = {field: {"$gt": after[0]}}
            stages.append({"$match": {"$or": [later, {field: after[0], "_id": {"$gt": after[1]}}]}})
        stages += [{"$sort": {field: ASCENDING, "_id": ASCENDING}}, {"$limit": wanted}]
        documents = await (await collection.aggregate(stages)).to_list()
        found += readable(documents, read)
        if len(documents) < wanted:
            break
        after = documents[-1][field], documents[-1]["_id"]
    return found


def _of(owner_id: str | None) -> Document:
    return {} if owner_id is None else {"o": owner_id}


def _changed(record: FileRecord) -> ConflictError:
    return ConflictError(
        "Conflict",
        f"file {record.file_id} of space {record.space_id} was changed meanwhile; try again",
    )
