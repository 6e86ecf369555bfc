"""The routes of files over services in memory, with everything that a client needs to sign."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from runtime.backends.file_records_memory import FileRecordsMemory
from runtime.backends.files_object import open_file_store
from runtime.errors import NotFoundError
from runtime.files.paths import file_id_of
from runtime.files.post_policy import ACCESS_KEY_ID, PostPolicy, sign_policy
from runtime.files.rules import FileRules
from runtime.files.signed_urls import UrlSigner
from runtime.gateway.bodies import BodyBudget
from runtime.gateway.cross_origin import FILE_METHODS, CrossOrigin, add_headers, preflight
from runtime.gateway.files.download import DownloadDeps
from runtime.gateway.files.receive import ReceiveDeps
from runtime.gateway.files.routes import add_file_routes
from runtime.gateway.files.shares import UploadShares
from runtime.gateway.spool import LowestRate
from runtime.gateway.under_way import UnderWay
from runtime.messages import AccessConfig, Blob, CorsDomain, FileRecord, SpaceStatus
from runtime.ports import FileStore
from runtime.services.file_downloads import FileDownloads
from runtime.services.file_upload_room import RoomLimits
from runtime.services.file_uploads import FileUploads, UploadLimits
from tests.harness.clock import FakeClock
from tests.harness.doors import open_door

SPACE = "mp-00000000-0000-4000-8000-000000000001"
ORIGIN = "https://shop.example"
KEY = b"k" * 32
BOUNDARY = "----compat4dd1957e6da7f"


@dataclass
class StandSpace:
    space_id: str
    status: SpaceStatus
    file_rules: FileRules


class StandSpaces:
    """One space."""

    def __init__(self, rules: str) -> None:
        self.space = StandSpace(SPACE, SpaceStatus.RUNNING, FileRules.of(rules))

    async def get(self, space_id: str) -> StandSpace:
        if space_id != SPACE:
            raise NotFoundError("InvalidSpaceId.NotFound", f"no space {space_id}")
        return self.space


@dataclass(frozen=True, kw_only=True)
class StandBounds:
    """Wide, for every test that is not about one of them."""

    max_bytes: int = 1 << 20
    open_max: int = 100
    uploads: int = 100
    per_space: int = 100
    per_user: int = 100
    per_client: int = 0
    reserved_percent: int = 0
    downloads: int = 100
    downloads_per_client: int = 0
    free_s: float = 30
    bytes_per_s: int = 1000
    idle_s: float = 30
    fields_s: float = 30


@dataclass
class FileStand:
    app: web.Application
    spool_dir: Path
    records: FileRecordsMemory
    files: FileStore
    spaces: StandSpaces
    clock: FakeClock
    urls: UrlSigner
    uploads: UnderWay
    downloads: UnderWay
    upload_ids: list[str] = field(default_factory=list)
    server: web.Server | None = None

    def fields(self, path: str, *, max_bytes: int = 1 << 30, owner: str = "u") -> dict[str, str]:
        """What a form needs; as new as it can be."""
        self.upload_ids.append(uuid.uuid4().hex)
        policy = PostPolicy(
            upload_id=self.upload_ids[-1],
            space_id=SPACE,
            path=path,
            owner_id=owner,
            trusted=False,
            max_bytes=max_bytes,
            expires_ms=self.clock.now_ms() + 60_000,
        )
        signed = sign_policy(KEY, policy)
        return {
            "key": policy.key,
            "policy": signed.policy,
            "Signature": signed.signature,
            "OSSAccessKeyId": ACCESS_KEY_ID,
        }

    def put_query(self, path: str, content_type: str) -> str:
        self.upload_ids.append(uuid.uuid4().hex)
        return self.urls.put_query(
            SPACE,
            path,
            content_type=content_type,
            upload_id=self.upload_ids[-1],
            expires_s=self.clock.now_ms() // 1000 + 60,
        )

    def get_query(self, path: str) -> str:
        return self.urls.get_query(SPACE, path, expires_s=self.clock.now_ms() // 1000 + 60)

    async def stored(self) -> Blob:
        """Of the newest upload."""
        upload = await self.records.read_upload(self.upload_ids[-1])
        assert upload is not None
        assert upload.blob is not None
        return upload.blob

    async def bytes_of(self, blob: Blob) -> bytes:
        return b"".join([chunk async for chunk in self.files.stream(blob.key)])

    async def nothing_left(self) -> bool:
        """Of an upload that was refused."""
        return (
            await self.records.read_upload(self.upload_ids[-1]) is None
            and not list(self.spool_dir.iterdir())
            and not await self.files.list_keys("files/")
            and (self.uploads.count, self.downloads.count) == (0, 0)
        )

    async def place(
        self,
        path: str,
        content: bytes,
        content_type: str = "image/png",
        *,
        headers: Mapping[str, str] | None = None,
        meta: Mapping[str, str] | None = None,
    ) -> FileRecord:
        """A file that is there."""
        source = self.spool_dir / "placed"
        source.write_bytes(content)
        key = f"files/{SPACE}/{uuid.uuid4().hex}"
        await self.files.take_file(key, source)
        return await self.records.put(
            FileRecord(
                space_id=SPACE,
                file_id=file_id_of(SPACE, path),
                path=path,
                owner_id=None,
                blob=Blob(
                    key=key,
                    size=len(content),
                    md5="ab" * 16,
                    content_type=content_type,
                    headers=headers or {},
                    meta=meta or {},
                ),
                created_ms=784111777000,
                modified_ms=784111777123,
            ),
            expected_version=None,
        )


def form(fields: Mapping[str, str], content: bytes, *, file_type: str = "image/png") -> bytes:
    """As the client SDK's hosts write it."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n'
        f"Content-Type: {file_type}\r\n\r\n"
    )
    return "".join([*parts, head]).encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()


FORM_TYPE = f"multipart/form-data; boundary={BOUNDARY}"


def make_stand(
    folder: Path,
    *,
    rules: str = "",
    bounds: StandBounds | None = None,
    store_url: str = "memory:",
) -> FileStand:
    bounds = bounds or StandBounds()
    records = FileRecordsMemory()
    files = open_file_store(store_url, folder / "store")
    spaces = StandSpaces(rules)
    clock = FakeClock()
    urls = UrlSigner(KEY)
    spool_dir = folder / "spool"
    spool_dir.mkdir()
    uploads = UnderWay(
        bounds.uploads, what="uploads", setting="YUNHAN_FILE_UPLOADS_MAX", clock=clock
    )
    downloads = UnderWay(
        bounds.downloads, what="downloads", setting="YUNHAN_FILE_DOWNLOADS_MAX", clock=clock
    )
    app = web.Application()
    app.on_response_prepare.append(_with_origin)
    add_file_routes(
        app,
        door=open_door(),
        receive=ReceiveDeps(
            uploads=FileUploads(
                records=records,
                files=files,
                spaces=spaces,
                policy_key=KEY,
                urls=urls,
                clock=clock,
                limits=UploadLimits(
                    max_bytes=bounds.max_bytes,
                    room=RoomLimits(
                        per_space=bounds.open_max, per_user=bounds.open_max, reserved_percent=0
                    ),
                    ttl_s=600,
                    store_s=60,
                ),
            ),
            check_origin=_check_origin,
            spool_dir=spool_dir,
            at_once=uploads,
            shares=UploadShares(
                at_once_max=bounds.uploads,
                per_space_max=bounds.per_space,
                per_user_max=bounds.per_user,
                per_client_max=bounds.per_client,
                reserved_percent=bounds.reserved_percent,
            ),
            client_key=_client_key,
            budget=BodyBudget(1 << 24),
            idle_timeout_s=bounds.idle_s,
            lowest_rate=LowestRate(free_s=bounds.free_s, bytes_per_s=bounds.bytes_per_s),
            clock=clock,
            fields_timeout_s=bounds.fields_s,
        ),
        downloads=DownloadDeps(
            downloads=FileDownloads(
                records=records, files=files, spaces=spaces, urls=urls, clock=clock
            ),
            note_origin=_note_origin,
            at_once=downloads,
            per_client_max=bounds.downloads_per_client,
            client_key=_client_key,
        ),
        preflight=preflight(FILE_METHODS),
    )
    return FileStand(app, spool_dir, records, files, spaces, clock, urls, uploads, downloads)


def _client_key(request: web.Request) -> str:
    """What a test says; all requests come from this machine."""
    return request.headers.get("X-Client", "")


_ORIGINS = CrossOrigin()
_ACCESS = AccessConfig(cors=(CorsDomain(domain_id="1", domain="shop.example"),))


async def _check_origin(request: web.Request, space_id: str) -> None:
    _ORIGINS.check(request, space_id, _ACCESS)


async def _note_origin(request: web.Request, _space_id: str) -> None:
    _ORIGINS.note(request, _ACCESS)


async def _with_origin(request: web.Request, response: web.StreamResponse) -> None:
    add_headers(request, response)


@asynccontextmanager
async def serving(stand: FileStand) -> AsyncIterator[int]:
    """The port of a real socket."""
    runner = web.AppRunner(
        stand.app, auto_decompress=False, lingering_time=0.2, shutdown_timeout=0.2
    )
    await runner.setup()
    stand.server = runner.server
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port: int = runner.addresses[0][1]
        yield port
    finally:
        await runner.cleanup()
