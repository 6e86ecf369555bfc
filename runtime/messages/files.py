"""Files of a space, their bytes, and uploads on their way to be files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

STORED_HEADERS = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "expires",
)
"""Headers of an upload that its downloads repeat, besides `content-type` (spec: client protocol §7)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """Bytes in the `FileStore` and what is told of them. Never changed: new bytes are a new blob."""

    key: str
    """In the file store: `files/{space}/{upload id}`, never a name that a user chose."""
    size: int
    """Bytes."""
    md5: str
    """32 lower-case hex digits; in quotes and upper case it is the ETag."""
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)
    """Some of `STORED_HEADERS`, lower case, with the values as they came."""
    meta: Mapping[str, str] = field(default_factory=dict)
    """The uploader's own words: what followed `x-oss-meta-`, lower case, with the values as they came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """A file of a space. The id follows from the space and the path (`runtime.files.paths`), so that an
    overwrite keeps it. Times in ms since 1970."""

    space_id: str
    file_id: str
    path: str
    """Within the space, without a leading slash."""
    owner_id: str | None
    """The user who uploaded it first; None: a backend or the management side did."""
    blob: Blob | None
    """None: the file is deleted, its bytes are being removed. Nobody sees such a record."""
    stale: tuple[str, ...] = ()
    """Keys of bytes that were the file's before and are still to be removed."""
    stored_ms: int = 0
    """`Upload.stored_ms` of the blob, or of that which was deleted: no upload that was stored up to then
    takes its place. 0 = none."""
    created_ms: int
    modified_ms: int
    version: int = 0
    """Given by `FileRecords.put`, different for every state of every file; means nothing else."""


class UploadState(StrEnum):
    """How far an upload got."""

    RECEIVING = "receiving"
    """Its bytes are coming, or whoever took them died."""
    STORED = "stored"
    """Its bytes are in the file store; it is not reported yet."""
    SPENT = "spent"
    """Its bytes are a file's, or were. Kept until its time is over: its grant cannot be used twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """The one use of a grant to upload. Times in ms since 1970."""

    upload_id: str
    """The grant's id: random, unique over all spaces."""
    space_id: str
    file_id: str
    path: str
    """Both of the file that it is to be."""
    owner_id: str | None
    """The user behind the grant; None: a backend or the management side."""
    trusted: bool
    """Whether the grant was given to a backend, a function or the management side."""
    blob_key: str
    """Under which its bytes are, or would be, in the file store: known before the first byte is there."""
    begun_ms: int
    expires_ms: int
    """Until then it may be reported. Not before the end of the grant itself, which would else work again.
    Some time later the sweeper takes what is left of it."""
    state: UploadState = UploadState.RECEIVING
    blob: Blob | None = None
    """Set when stored; `blob.key` is `blob_key`."""
    stored_ms: int = 0
    """When it was stored, but behind the `FileRecord.stored_ms` of that moment, whatever the clocks of two
    gateways say; 0 = not yet."""
