"""Files and uploads to try adapters of `FileRecords` with."""

from __future__ import annotations

import hashlib

from runtime.messages import Blob, FileRecord, Upload

SPACE, OTHER = "mp-1", "mp-11"
"""The one's id begins with the other's."""
NOW = 1_800_000_000_000
HOUR = 3_600_000


def blob_of(name: str, *, size: int = 3) -> Blob:
    """One of its own for each name."""
    return Blob(
        key=f"files/mp-1/{name}",
        size=size,
        md5=hashlib.md5(name.encode(), usedforsecurity=False).hexdigest(),
        content_type="image/png",
    )


def file_of(
    path: str, *, space_id: str = SPACE, owner_id: str | None = "user-1", blob: str = "1"
) -> FileRecord:
    """A file as it is after its first report; its id follows from the path alone."""
    return FileRecord(
        space_id=space_id,
        file_id=hashlib.sha256(path.encode()).hexdigest()[:32],
        path=path,
        owner_id=owner_id,
        blob=blob_of(blob),
        created_ms=NOW,
        modified_ms=NOW,
    )


def upload_of(
    upload_id: str,
    *,
    space_id: str = SPACE,
    file_id: str = "file-1",
    owner_id: str | None = "user-1",
    expires_ms: int = NOW + HOUR,
) -> Upload:
    """An upload that begins."""
    return Upload(
        upload_id=upload_id,
        space_id=space_id,
        file_id=file_id,
        path="ä/中.png",
        owner_id=owner_id,
        trusted=owner_id is None,
        blob_key=f"files/{space_id}/{upload_id}",
        begun_ms=NOW,
        expires_ms=expires_ms,
    )
