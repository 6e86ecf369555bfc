"""The services of files over stores in memory, with a clock that tests turn."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime.backends.file_records_memory import FileRecordsMemory
from runtime.errors import NotFoundError
from runtime.files.rules import FileRules
from runtime.files.signed_urls import UrlSigner
from runtime.messages import Blob, FileRecord, SpaceStatus
from runtime.ports import FileStore
from runtime.services.file_addresses import FileAddresses
from runtime.services.file_changes import FileChanges
from runtime.services.file_downloads import FileDownloads
from runtime.services.file_remains import FileRemains
from runtime.services.file_spaces import FileCaller
from runtime.services.file_sweeper import FileSweeper, FileSweepLimits
from runtime.services.file_upload_room import RoomLimits
from runtime.services.file_uploads import FileUploads, ReceivedFile, UploadLimits
from runtime.services.files import FileLimits, FileService, UploadSide
from tests.harness.clock import FakeClock

SPACE_ID = "mp-00000000-0000-4000-8000-000000000001"
POLICY_KEY = b"p" * 32
HOST = "localhost:8743/oss"
TTL_S = 600
GRACE_S = 900
MAX_BYTES = 1000


@dataclass(frozen=True)
class StageSpace:
    """Implements `FileSpace`."""

    space_id: str = SPACE_ID
    status: SpaceStatus = SpaceStatus.RUNNING
    file_rules: FileRules = field(default_factory=lambda: FileRules.of(""))


class BytesInMemory(FileStore):
    """Blobs, and the files of "this machine" that are put into them: no disk is touched."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.received: dict[Path, bytes] = {}
        self.written_twice: list[str] = []

    def receive(self, data: bytes) -> ReceivedFile:
        path = Path(f"/received/{len(self.received)}")
        self.received[path] = data
        return ReceivedFile(path=path, size=len(data), md5=md5(data))

    async def put_file(self, key: str, source: Path) -> None:
        if key in self.blobs:
            self.written_twice.append(key)
        self.blobs[key] = self.received[source]

    async def take_file(self, key: str, source: Path) -> None:
        await self.put_file(key, source)

    async def get_file(self, key: str, target: Path) -> bool:
        raise NotImplementedError

    async def stream(
        self, key: str, start: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        if key not in self.blobs:
            raise NotFoundError("NotFound", key)
        data = self.blobs[key][start:]
        for each in data if length is None else data[:length]:
            yield bytes([each])

    async def size(self, key: str) -> int | None:
        return len(self.blobs[key]) if key in self.blobs else None

    async def delete(self, key: str) -> None:
        self.blobs.pop(key, None)

    async def list_keys(self, prefix: str) -> Sequence[str]:
        return sorted(key for key in self.blobs if key.startswith(f"{prefix.rstrip('/')}/"))


class FileStage:
    """Everything of one installation. `records` and `files` may be wrapped ones (`file_faults`)."""

    def __init__(
        self,
        *,
        rules: str = "",
        records: Any = None,
        files: Any = None,
        open_max: int = 1000,
        open_max_per_user: int = 1000,
        reserved_percent: int = 0,
        batch_max: int = 100,
    ) -> None:
        self.clock = FakeClock()
        self.space = StageSpace(file_rules=FileRules.of(rules))
        self.spaces: dict[str, StageSpace] = {SPACE_ID: self.space}
        self.records = FileRecordsMemory()
        self.bytes = BytesInMemory()
        seen_records = records(self.records) if records else self.records
        seen_files = files(self.bytes) if files else self.bytes
        urls = UrlSigner(b"u" * 32)
        self.addresses = FileAddresses(
            upload_host=HOST,
            cdn_host="cdn.example.com",
            endpoint="http://127.0.0.1:8700",
            urls=urls,
            clock=self.clock,
        )
        self.remains = FileRemains(records=seen_records, files=seen_files, clock=self.clock)
        self.changes = FileChanges(records=seen_records, remains=self.remains, clock=self.clock)
        self.uploads = FileUploads(
            records=seen_records,
            files=seen_files,
            spaces=self,
            policy_key=POLICY_KEY,
            urls=urls,
            clock=self.clock,
            limits=UploadLimits(
                max_bytes=MAX_BYTES,
                room=RoomLimits(
                    per_space=open_max,
                    per_user=open_max_per_user,
                    reserved_percent=reserved_percent,
                ),
                ttl_s=TTL_S,
                store_s=60.0,
            ),
        )
        self.downloads = FileDownloads(
            records=seen_records, files=seen_files, spaces=self, urls=urls, clock=self.clock
        )
        self.service = FileService(
            records=seen_records,
            changes=self.changes,
            spaces=self,
            addresses=self.addresses,
            policy_key=POLICY_KEY,
            clock=self.clock,
            limits=FileLimits(
                max_bytes=MAX_BYTES,
                sign_ttl_s=TTL_S,
                url_ttl_s=3600,
                url_ttl_max_s=7200,
                page_max=3,
            ),
        )
        self.sweeper = FileSweeper(
            records=seen_records,
            remains=self.remains,
            clock=self.clock,
            limits=FileSweepLimits(every_s=60.0, grace_s=GRACE_S, batch_max=batch_max),
        )

    async def get(self, space_id: str) -> StageSpace:
        """Implements `FileSpaces`."""
        if space_id not in self.spaces:
            raise NotFoundError("InvalidSpaceId.NotFound", space_id)
        return self.spaces[space_id]

    # --- callers --------------------------------------------------------------------------------

    def user(self, user_id: str = "ann") -> FileCaller:
        return FileCaller(self.space, user_id, trusted=False)

    def backend(self, user_id: str | None = None) -> FileCaller:
        return FileCaller(self.space, user_id, trusted=True)

    # --- steps ----------------------------------------------------------------------------------

    async def form(
        self, caller: FileCaller, path: str | None = None, **more: Any
    ) -> dict[str, str]:
        """The fields that the SDKs make of `generateProximalSign`'s answer."""
        params = {"env": "public", "filename": "photo.png", **more}
        if path is not None:
            params["fileId"] = f"/{path}"
        return form_of(await self.service.sign(caller, params, side=UploadSide.CLIENT))

    async def post(self, fields: dict[str, str], data: bytes) -> Blob:
        grant = self.uploads.open_form(fields)
        async with self.uploads.receiving(grant) as under_way:
            return await under_way.store(
                self.bytes.receive(data), content_type="image/png", headers={}, meta={}
            )

    async def upload(self, caller: FileCaller, path: str, data: bytes) -> str:
        """Sign, post, report; the file's id."""
        fields = await self.form(caller, path)
        await self.post(fields, data)
        answer = await self.service.report(caller, {"id": fields["id"]})
        return str(answer["id"])

    async def content(self, file_id: str) -> bytes | None:
        """What the file holds; None when there is no such file. Fails when its bytes are not there."""
        record = await self.records.read(SPACE_ID, file_id)
        if record is None or record.blob is None:
            return None
        data = self.bytes.blobs[record.blob.key]
        assert (record.blob.size, record.blob.md5) == (len(data), md5(data))
        return data

    async def sweep_all(self) -> None:
        """Until nothing is left to be ended, with the time that it takes."""
        for _ in range(5):
            self.clock.advance(2 * TTL_S + GRACE_S + 1)
            while (await self.sweeper.sweep()).done:
                pass

    # --- truth ----------------------------------------------------------------------------------

    @property
    def file_records(self) -> list[FileRecord]:
        return list(self.records._files.values())

    def check_no_file_lacks_bytes(self) -> None:
        for record in self.file_records:
            if record.blob is not None:
                assert record.blob.key in self.bytes.blobs, record
        assert not self.bytes.written_twice

    def check_agreement(self) -> None:
        """After a sweep: records and bytes are the same files, and nothing else is there."""
        self.check_no_file_lacks_bytes()
        assert not self.records._uploads
        assert not [each for each in self.file_records if each.blob is None or each.stale]
        assert {each.blob.key for each in self.file_records if each.blob} == set(self.bytes.blobs)


def form_of(answer: dict[str, Any]) -> dict[str, str]:
    """An answer of `generateProximalSign` as the SDKs send it back, and its `id`."""
    return {
        "id": answer["id"],
        "key": answer["ossPath"],
        "policy": answer["policy"],
        "Signature": answer["signature"],
        "OSSAccessKeyId": answer["accessKeyId"],
    }


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
