"""Records of files and uploads as documents and back. Pure.

Short names, because they are stored with every document:

    files                             uploads
    _id space id/file id              _id upload id
    s   space id                      s, f, p, o, x as of a file
    f   file id                       w   trusted
    p   path                          b   key of the blob
    o   owner, null = none            t   begun, ms
    x   blob, null = deleted          e   expires, ms
    y   keys of stale blobs           st  state
    c   created, ms                   d   stored, ms
    m   modified, ms
    d   stored, ms
    v   version
    k   whether it is a post          a blob: k key, n size, h MD5, t content type,
        (`path_windows`)                      r headers, u the uploader's own words
    u   modified, ms; only while
        something of it is to be removed

Headers are stored as lists of name and value, so that no name can be a malformed field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import structlog

from runtime.errors import OursError
from runtime.messages import Blob, FileRecord, Upload, UploadState

_log = structlog.get_logger(__name__)

Document = dict[str, Any]
T = TypeVar("T")

POSTS_OF_LOW = 64
"""One record of so many is a low post, by chance; ..."""
POSTS_OF_TALL = POSTS_OF_LOW * 64
"""... one of so many a tall one."""

LOW_POST, TALL_POST = 1, 2


def file_key(space_id: str, file_id: str) -> str:
    """The `_id` of a file; a space id has no slash."""
    return f"{space_id}/{file_id}"


def file_to_document(record: FileRecord) -> Document:
    """All of it: a change replaces the document."""
    document: Document = {
        "_id": file_key(record.space_id, record.file_id),
        "s": record.space_id,
        "f": record.file_id,
        "p": record.path,
        "o": record.owner_id,
        "x": blob_to_document(record.blob) if record.blob is not None else None,
        "y": list(record.stale),
        "c": record.created_ms,
        "m": record.modified_ms,
        "d": record.stored_ms,
        "v": record.version,
        "k": _post(record.version),
    }
    if record.blob is None or record.stale:
        document["u"] = record.modified_ms
    return document


def file_from_document(document: Mapping[str, Any]) -> FileRecord:
    """Raises OursError for a document that makes no record."""
    return _read("file", document, _file)


def upload_to_document(upload: Upload) -> Document:
    """`_id` is the upload id; ids are unique over all spaces."""
    return {
        "_id": upload.upload_id,
        "s": upload.space_id,
        "f": upload.file_id,
        "p": upload.path,
        "o": upload.owner_id,
        "w": upload.trusted,
        "b": upload.blob_key,
        "t": upload.begun_ms,
        "e": upload.expires_ms,
        "st": upload.state.value,
        "x": blob_to_document(upload.blob) if upload.blob is not None else None,
        "d": upload.stored_ms,
    }


def upload_from_document(document: Mapping[str, Any]) -> Upload:
    """Raises OursError for a document that makes no upload."""
    return _read("upload", document, _upload)


def blob_to_document(blob: Blob) -> Document:
    """As a field of the other two."""
    return {
        "k": blob.key,
        "n": blob.size,
        "h": blob.md5,
        "t": blob.content_type,
        "r": [[name, value] for name, value in blob.headers.items()],
        "u": [[name, value] for name, value in blob.meta.items()],
    }


def readable(
    documents: Sequence[Mapping[str, Any]], read: Callable[[Mapping[str, Any]], T]
) -> list[T]:
    """Those that this version can read; one that a newer version wrote must not stop the others."""
    found = []
    for each in documents:
        try:
            found.append(read(each))
        except OursError as error:
            _log.error("file_record_unreadable", record=each.get("_id"), error=error.message)
    return found


def _post(version: int) -> int:
    """Versions are random, so this needs no chance of its own."""
    if version % POSTS_OF_TALL == 0:
        return TALL_POST
    return LOW_POST if version % POSTS_OF_LOW == 0 else 0


def _read(what: str, document: Mapping[str, Any], make: Callable[[Mapping[str, Any]], T]) -> T:
    try:
        return make(document)
    except (KeyError, TypeError, ValueError) as error:
        # without its text, which may hold a stored value
        raise OursError(
            "InternalServerError",
            f"the record of {what} {document.get('_id')} cannot be read ({type(error).__name__});"
            " a newer version may have written it",
        ) from error


def _file(document: Mapping[str, Any]) -> FileRecord:
    return FileRecord(
        space_id=document["s"],
        file_id=document["f"],
        path=document["p"],
        owner_id=document["o"],
        blob=_blob(document["x"]),
        stale=tuple(document["y"]),
        stored_ms=int(document.get("d", 0)),
        created_ms=int(document["c"]),
        modified_ms=int(document["m"]),
        version=int(document["v"]),
    )


def _upload(document: Mapping[str, Any]) -> Upload:
    return Upload(
        upload_id=document["_id"],
        space_id=document["s"],
        file_id=document["f"],
        path=document["p"],
        owner_id=document["o"],
        trusted=document["w"] is True,
        blob_key=document["b"],
        begun_ms=int(document["t"]),
        expires_ms=int(document["e"]),
        state=UploadState(document["st"]),
        blob=_blob(document["x"]),
        stored_ms=int(document["d"]),
    )


def _blob(stored: Mapping[str, Any] | None) -> Blob | None:
    if stored is None:
        return None
    return Blob(
        key=stored["k"],
        size=int(stored["n"]),
        md5=stored["h"],
        content_type=stored["t"],
        headers=dict(stored["r"]),
        meta=dict(stored["u"]),
    )
