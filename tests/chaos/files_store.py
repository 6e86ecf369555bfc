"""What lies in the file store of a space and what is recorded of it, read behind the program's back."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient

from runtime.backends.file_records.codec import file_from_document
from runtime.data_dir import DataDir
from runtime.messages import FileRecord
from tests.chaos.files_history import Content
from tests.harness.distributed import DistributedProgram
from tests.harness.program import Program
from tests.harness.program_processes import database_url

_DATABASE = "yunhan_files"
_WAYS = ("spool", "job-spool", "drafts")
"""Folders of what is under way: empty when nothing is."""


@dataclass(frozen=True, slots=True)
class StoredBytes:
    """Of one blob: how many, and their MD5 in lower-case hex."""

    size: int
    md5: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Everything that is kept of the files of one space."""

    blobs: Mapping[str, StoredBytes]
    """By key."""
    records: tuple[FileRecord, ...]
    uploads: int = 0
    """Records of uploads, in whatever state."""
    under_way: tuple[str, ...] = field(default=())
    """Files of uploads that nobody takes any more."""

    @property
    def orphans(self) -> set[str]:
        """Bytes that no record has."""
        return self.blobs.keys() - {each.blob.key for each in self.records if each.blob}


def disagreements(
    kept: Kept, *, listed: Mapping[str, int], found: Mapping[str, Content]
) -> Iterator[str]:
    """After all sweeps. `listed`: paths and sizes as the space lists them; `found`: what was downloaded."""
    yield from (f"bytes without a record: {key}" for key in sorted(kept.orphans))
    for record in kept.records:
        if record.blob is None or record.stale:
            yield f"{record.path}: a record that no sweep ended (stale {list(record.stale)})"
            continue
        there = kept.blobs.get(record.blob.key)
        if there is None:
            yield f"{record.path}: a record without bytes, {record.blob.key}"
        elif there != StoredBytes(record.blob.size, record.blob.md5):
            yield f"{record.path}: the record says {record.blob.size} bytes, MD5 {record.blob.md5}: {there}"
    if kept.uploads:
        yield f"{kept.uploads} uploads that no sweep ended"
    yield from (f"left of an upload: {name}" for name in kept.under_way)
    recorded = {each.path: each.blob.size for each in kept.records if each.blob}
    for path in sorted(recorded.keys() | listed.keys()):
        if recorded.get(path) != listed.get(path):
            yield f"{path}: listed with {listed.get(path)} bytes, recorded with {recorded.get(path)}"
    downloaded = {path for path, content in found.items() if content is not None}
    yield from (f"{path}: listed, but not there" for path in sorted(listed.keys() - downloaded))
    yield from (f"{path}: there, but not listed" for path in sorted(downloaded - listed.keys()))


class Behind:
    """Reads a program's stores. The program runs."""

    def __init__(self, program: Program, space_id: str) -> None:
        self._program = program
        self._space_id = space_id

    async def waiting(self) -> Counter[str]:
        """What sweeps have to end or to forget, once its time is over: uploads by state, and `unfinished`
        records of files that are gone or have stale bytes. Empty when there is nothing."""
        async with self._client() as client:
            database = client[_DATABASE]
            uploads = await database["uploads"].find({}, {"st": 1}).to_list()
            found = Counter(str(each["st"]) for each in uploads)
            found["unfinished"] = await database["files"].count_documents({"u": {"$exists": True}})
        return +found

    async def read(self) -> Kept:
        """All of it."""
        async with self._client() as client:
            database = client[_DATABASE]
            records = await database["files"].find({"s": self._space_id}).to_list()
            uploads = await database["uploads"].count_documents({})
        return Kept(
            blobs=self._blobs(),
            records=tuple(map(file_from_document, records)),
            uploads=uploads,
            under_way=tuple(self.under_way()),
        )

    def under_way(self) -> list[str]:
        """Files of uploads on their way into the store."""
        folders = (each for name in _WAYS for each in self._top.rglob(name))
        return sorted(
            str(each.relative_to(self._top)) for folder in folders for each in folder.iterdir()
        )

    def _blobs(self) -> dict[str, StoredBytes]:
        blobs = self._store / "blobs"
        return {
            str(each.relative_to(blobs)): _bytes_of(each)
            for each in (blobs / "files" / self._space_id).rglob("*")
            if each.is_file()
        }

    @property
    def _store(self) -> Path:
        if isinstance(self._program, DistributedProgram):
            return self._program.data_dir / "shared" / "files"
        return DataDir(self._program.data_dir).files

    @property
    def _top(self) -> Path:
        """Of all directories of its processes."""
        if isinstance(self._program, DistributedProgram):
            return self._program.root
        return self._program.data_dir

    def _client(self) -> AsyncMongoClient[dict[str, Any]]:
        if isinstance(self._program, DistributedProgram):
            return AsyncMongoClient(self._program.documents.url)
        return AsyncMongoClient(database_url(self._program))


def _bytes_of(path: Path) -> StoredBytes:
    with path.open("rb") as file:
        digest = hashlib.file_digest(
            file, lambda: hashlib.new("md5", usedforsecurity=False)
        ).hexdigest()
    return StoredBytes(path.stat().st_size, digest)
