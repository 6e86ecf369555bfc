"""Files as they are told: name, size, type, and an address that opens them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runtime.files.paths import path_in_address
from runtime.files.refusals import param_invalid
from runtime.messages import FileRecord
from runtime.services.file_addresses import FileAddresses


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """A file as it is listed. `url` opens it; a private one for a while."""

    record: FileRecord
    name: str
    size: int
    content_type: str
    url: str
    private: bool


class FileEntries:
    """Makes entries. `url_ttl_s`, `url_ttl_max_s`: how long signed addresses are good, in seconds."""

    def __init__(self, addresses: FileAddresses, *, url_ttl_s: int, url_ttl_max_s: int) -> None:
        self._addresses = addresses
        self._url_ttl_s = url_ttl_s
        self._url_ttl_max_s = url_ttl_max_s

    def ttl_s(self, wanted: Any) -> int:
        """How long an address shall be good, of what was asked for (None: the default). More than the bound
        becomes the bound: apps ask for what the original gave.

        Raises InvalidParameterError (`ParamInvalid`) for what is no number of seconds."""
        if wanted is None:
            return self._url_ttl_s
        if isinstance(wanted, float) and wanted.is_integer():
            wanted = int(wanted)
        if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 1:
            raise param_invalid("maxAge", "maxAge must be a whole number of seconds, at least 1")
        return min(wanted, self._url_ttl_max_s)

    def of(self, record: FileRecord, *, public: bool, ttl_s: int) -> FileEntry:
        """`public`: everybody may read it. Raises ValueError for a record without a blob."""
        if record.blob is None:
            raise ValueError(f"file {record.file_id} is gone")
        where = record.space_id, record.path
        return FileEntry(
            record=record,
            name=record.path.rpartition("/")[2],
            size=record.blob.size,
            content_type=record.blob.content_type,
            url=self._addresses.public(*where)
            if public
            else self._addresses.private(*where, ttl_s=ttl_s),
            private=not public,
        )


def told(entry: FileEntry) -> dict[str, Any]:
    """As `info` tells it. `path` is what `uploadFile` calls `filePath`. Times in ms since 1970."""
    record = entry.record
    return {
        "id": record.file_id,
        "url": entry.url,
        "name": entry.name,
        "size": entry.size,
        "type": entry.content_type,
        "path": f"{record.space_id}/{path_in_address(record.path)}",
        "gmtCreate": record.created_ms,
        "gmtModified": record.modified_ms,
    }


def first_there(found: Mapping[str, FileRecord], file_ids: Sequence[str]) -> FileRecord | None:
    """The first of these that is a file."""
    for file_id in file_ids:
        record = found.get(file_id)
        if record is not None and record.blob is not None:
            return record
    return None
