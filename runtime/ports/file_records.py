"""What is known of the files of all spaces, and of the uploads on their way to be files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from runtime.messages import Blob, FileRecord, Upload


class FileRecords(ABC):
    """Records of files and of uploads. The bytes are elsewhere (`FileStore`): this knows their keys only.

    Every change is one compare-and-set of one record. A confirmed change survives kill -9. Times come from
    the caller, ms since 1970. Paths and ids may be any text without lone surrogates.

    The order of steps that never leaves a record without bytes, nor bytes without an end, is the caller's:

        receive   begin_upload -> bytes into the file store -> finish_upload
        report    stored_uploads -> put (the old blob's key becomes stale) -> spend_upload
                  -> stale bytes away -> put without `stale`
        delete    put (blob None, its key stale) -> bytes away -> remove
        sweep     expired_uploads: is the blob the record's? no: put (its key becomes stale, which a report
                  under way loses against) -> forget_upload
                  unfinished: bytes of the stale keys away -> put without `stale`, or remove

    A sweep takes what is over for a grace that is longer than any upload may last.
    """

    # --- uploads --------------------------------------------------------------------------------

    @abstractmethod
    async def begin_upload(self, upload: Upload) -> None:
        """Note an upload that begins (`receiving`, without a blob).

        Raises ConflictError when its id was used before, in whatever state: of several callers with one
        id exactly one gets through. Not idempotent: that is its use."""

    @abstractmethod
    async def finish_upload(self, upload_id: str, blob: Blob, *, stored_ms: int) -> Upload:
        """`receiving` becomes `stored`; returns what it is now.

        Idempotent for the same blob. Raises NotFoundError when there is no such upload any more (it was
        swept, or its space deleted: the caller removes the bytes), ConflictError when it is stored with
        another blob, or spent."""

    @abstractmethod
    async def spend_upload(self, upload_id: str) -> None:
        """`stored` becomes `spent`: its blob is a file's now, its grant stays used. Idempotent; one that
        is not there, or not stored, stays as it is."""

    @abstractmethod
    async def forget_upload(self, upload_id: str) -> None:
        """Remove it, in whatever state: as far as its own time goes, the grant may be used again. The
        caller has removed its bytes, or they are a file's. Idempotent."""

    @abstractmethod
    async def read_upload(self, upload_id: str) -> Upload | None:
        """In whatever state; None when there is none."""

    @abstractmethod
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
        """Uploads of this file that are `stored` and whose time is not over (`now_ms < expires_ms`),
        newest first (`stored_ms`, then id), at most `limit`. With `owner_id` only this user's, with `trusted`
        only those of trusted grants; else everybody's. Empty when there are none."""

    @abstractmethod
    async def open_uploads(self, space_id: str, *, owner_id: str | None = None, limit: int) -> int:
        """How many uploads of a space (with `owner_id`: of this user in it) are `receiving` or `stored`,
        counted up to `limit`: for a bound. A count of a moment, uploads begin meanwhile."""

    @abstractmethod
    async def expired_uploads(
        self, *, before_ms: int, limit: int, after: Upload | None = None
    ) -> Sequence[Upload]:
        """Uploads of all spaces, in whatever state, with `expires_ms < before_ms`, oldest first (then by id),
        at most `limit`. With `after` only those behind that one, which need not be there any more. One that
        cannot be read is logged and left out, and does not count."""

    # --- files ----------------------------------------------------------------------------------

    @abstractmethod
    async def read(self, space_id: str, file_id: str) -> FileRecord | None:
        """The record, also one without a blob; None when there is none."""

    @abstractmethod
    async def read_many(self, space_id: str, file_ids: Sequence[str]) -> Mapping[str, FileRecord]:
        """Those that are there, by id, as `read`. Any number of ids, also repeated ones."""

    @abstractmethod
    async def put(self, record: FileRecord, *, expected_version: int | None) -> FileRecord:
        """Insert (None) or replace the record if it is still of that version; returns it with its new
        version (`record.version` itself does not count).

        Raises ConflictError when it changed meanwhile, is gone, or (None) is there already: nothing was
        written, read it again. Not idempotent: a repetition after a lost answer raises ConflictError."""

    @abstractmethod
    async def remove(self, record: FileRecord) -> None:
        """Remove the record if it is still of `record.version`. One that is gone is a success; raises
        ConflictError when it changed meanwhile."""

    @abstractmethod
    async def page(
        self,
        space_id: str,
        *,
        prefix: str = "",
        keyword: str = "",
        after: str | None = None,
        limit: int,
    ) -> Sequence[FileRecord]:
        """Files of a space that have a blob, by path (order of code points), at most `limit`.

        Only paths that begin with `prefix` and contain `keyword`, both exact text; only those behind
        the path `after`, which need not exist. Fewer than `limit`: there are no more. Raises
        UnavailableError when too many paths had to be looked at to fill the page: ask with a prefix."""

    @abstractmethod
    async def unfinished(
        self, *, before_ms: int, limit: int, after: FileRecord | None = None
    ) -> Sequence[FileRecord]:
        """Records of all spaces with stale bytes or without a blob, with `modified_ms < before_ms`,
        oldest first (then by space and id), at most `limit`. With `after` only those behind that one, which
        may have changed. One that cannot be read is logged and left out, and does not count."""

    @abstractmethod
    async def delete_space(self, space_id: str) -> None:
        """Remove all records of the space's files and uploads. The bytes are the caller's. Idempotent."""
