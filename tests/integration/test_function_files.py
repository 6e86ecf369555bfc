"""Files of functions: from a sandbox on any rung through the worker's own server into the store."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from runtime.backends.file_records_memory import FileRecordsMemory
from runtime.backends.files_object import open_file_store
from runtime.files.paths import file_id_of
from runtime.files.post_policy import ACCESS_KEY_ID, PostPolicy, sign_policy
from runtime.files.rules import FileRules
from runtime.files.signed_urls import UrlSigner
from runtime.gateway.bodies import BodyBudget
from runtime.gateway.files.download import DownloadDeps
from runtime.gateway.files.receive import ReceiveDeps
from runtime.gateway.files.shares import UploadShares, unknown_client
from runtime.gateway.spool import LowestRate
from runtime.gateway.under_way import UnderWay
from runtime.messages import FileRecord, SpaceStatus, UploadState
from runtime.ports import SystemClock
from runtime.services.file_downloads import FileDownloads
from runtime.services.file_upload_room import RoomLimits
from runtime.services.file_uploads import FileUploads, UploadLimits
from runtime.settings import MIB, Settings
from runtime.wiring.worker_files import INTERNAL_NAME, WorkerFiles
from sandbox.api import Ending, OutcomeKind
from sandbox.egress.access import EgressAccess
from sandbox.egress.policy import NOTHING
from sandbox.testing_functions import RecordingHost
from tests.harness.rung_bench import RungBench, missing

pytestmark = pytest.mark.integration

SPACE_ID = "mp-00000000-0000-4000-8000-000000000001"
KEY = b"p" * 32
LARGE = bytes(range(256)) * (100 * MIB // 256)

FUNCTION = """
const crypto = require('crypto');

const sum = (bytes) => crypto.createHash('sha256').update(bytes).digest('hex');
const actions = {
  buffer: ({ file }, { text, ...options }) =>
    file.uploadFile({ fileBuffer: Buffer.from(text), ...options }),
  path: ({ file }) =>
    file.uploadFile({ filePath: `${__dirname}/large.bin`, cloudPath: '/large.bin' }),
  fetch: async (_, { url }, { httpclient }) => {
    const { status, data } = await httpclient.request(url);
    return { status, sum: sum(data), size: data.length };
  },
};
module.exports = async (ctx) => {
  const { do: act, ...args } = ctx.args;
  try {
    return await actions[act](ctx.mpserverless, args, ctx);
  } catch ({ code, status, message }) {
    return { error: { code, status, message } };
  }
};
"""


@dataclass(frozen=True)
class PublicSpace:
    space_id: str = SPACE_ID
    status: SpaceStatus = SpaceStatus.RUNNING
    file_rules: FileRules = field(default_factory=lambda: FileRules.of(""))


class Spaces:
    async def get(self, space_id: str) -> PublicSpace:
        assert space_id == SPACE_ID
        return PublicSpace()


async def no_check(_request: web.Request, _space_id: str) -> None:
    """A function is no page of another origin."""


class Files:
    """Services over memory, and the host that answers a function's calls about them."""

    def __init__(self, folder: Path) -> None:
        self.records = FileRecordsMemory()
        self.store = open_file_store(f"file://{folder}/store", folder)
        self.clock = SystemClock()
        self.host = ""
        self.methods: list[str] = []
        self._uploads = 0
        spool = folder / "spool"
        spool.mkdir()
        common: dict[str, Any] = {
            "records": self.records,
            "files": self.store,
            "spaces": Spaces(),
            "urls": UrlSigner(KEY),
            "clock": self.clock,
        }
        room = RoomLimits(per_space=10, per_user=10, reserved_percent=0)
        limits = UploadLimits(max_bytes=len(LARGE), room=room, ttl_s=60, store_s=60)
        self.receive = ReceiveDeps(
            uploads=FileUploads(**common, policy_key=KEY, limits=limits),
            check_origin=no_check,
            spool_dir=spool,
            at_once=UnderWay(4, what="uploads", setting="x"),
            shares=UploadShares(
                at_once_max=4,
                per_space_max=4,
                per_user_max=4,
                per_client_max=0,
                reserved_percent=0,
            ),
            client_key=unknown_client,
            lowest_rate=LowestRate(free_s=10, bytes_per_s=1),
            clock=self.clock,
            budget=BodyBudget(MIB),
            idle_timeout_s=10,
            fields_timeout_s=10,
        )
        self.downloads = DownloadDeps(
            downloads=FileDownloads(**common),
            note_origin=no_check,
            at_once=UnderWay(4, what="downloads", setting="x"),
            per_client_max=0,
            client_key=unknown_client,
        )

    async def on_call(self, method: str, params: bytes, *, user_id: str | None = None) -> bytes:
        """As the worker answers; the report makes the file visible."""
        name = method.removeprefix("serverless.file.resource.")
        self.methods.append(name)
        asked = json.loads(params)
        if name == "generateProximalSign":
            return json.dumps({"success": True, "data": self._sign(asked)}).encode()
        assert name == "report"
        await self._report(asked["id"])
        return b'{"success": true, "data": {}}'

    def _sign(self, asked: dict[str, Any]) -> dict[str, str]:
        self._uploads += 1
        path = asked.get("fileId", "/a.txt").removeprefix("/")
        policy = PostPolicy(
            upload_id=f"upload{self._uploads}",
            space_id=SPACE_ID,
            path=path,
            owner_id=None,
            trusted=True,
            max_bytes=len(LARGE),
            expires_ms=self.clock.now_ms() + 60_000,
        )
        signed = sign_policy(KEY, policy)
        return {
            "id": policy.file_id,
            "ossPath": policy.key,
            "host": self.host,
            "policy": signed.policy,
            "signature": signed.signature,
            "accessKeyId": ACCESS_KEY_ID,
            "cdnDomain": "localhost:8743/oss",
        }

    async def _report(self, file_id: str) -> None:
        now_ms = self.clock.now_ms()
        [upload, *_] = await self.records.stored_uploads(SPACE_ID, file_id, now_ms=now_ms, limit=1)
        assert upload.state is UploadState.STORED
        record = FileRecord(
            space_id=SPACE_ID,
            file_id=file_id,
            path=upload.path,
            owner_id=None,
            blob=upload.blob,
            created_ms=now_ms,
            modified_ms=now_ms,
        )
        await self.records.put(record, expected_version=None)

    async def content(self, path: str) -> bytes:
        record = await self.records.read(SPACE_ID, file_id_of(SPACE_ID, path))
        assert record is not None
        assert record.blob is not None
        return b"".join([chunk async for chunk in self.store.stream(record.blob.key)])


class Host(RecordingHost):
    """Answers calls about files."""

    def __init__(self, files: Files) -> None:
        super().__init__()
        self._files = files

    async def on_call(self, method: str, params: bytes, *, user_id: str | None = None) -> bytes:
        return await self._files.on_call(method, params, user_id=user_id)


@pytest.fixture(params=["process", "bubblewrap", "landlock", "docker"])
def rung(request: pytest.FixtureRequest) -> str:
    rung: str = request.param
    if reason := missing(rung):
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    return rung


@pytest.fixture
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("f"))


@asynccontextmanager
async def serving(rung: str, folder: Path, files: Files) -> AsyncIterator[RungBench]:
    """As the worker builds it: the server is named to the sandboxes before it is open."""
    server = WorkerFiles()
    access = EgressAccess(policy=NOTHING, internal=server.internal)
    async with (
        RungBench(rung, folder, access).open() as bench,
        server.open(
            Settings(),
            receive=files.receive,
            downloads=files.downloads,
            walled=rung != "process",
        ) as files.host,
    ):
        yield bench


@pytest.fixture
async def bench(
    rung: str, files: Files, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RungBench]:
    async with serving(rung, tmp_path_factory.mktemp("b"), files) as bench:
        yield bench


def value(ending: Ending) -> Any:
    assert ending.kind is OutcomeKind.OK, ending
    return json.loads(ending.value or b"")


async def test_a_buffer_goes_up_and_comes_back(bench: RungBench, files: Files) -> None:
    sandbox = await bench.bound(FUNCTION)
    options: dict[str, Any] = {
        "text": "云函数 ☁",
        "fileName": "函数.txt",
        "cloudPath": "/from/函数.txt",
    }
    uploaded = value(await bench.run(sandbox, "buffer", Host(files), **options))
    assert uploaded["fileUrl"] == f"https://localhost:8743/oss/{SPACE_ID}/from/函数.txt"
    assert files.methods == ["generateProximalSign", "report"]
    assert (await files.content("from/函数.txt")).decode() == "云函数 ☁"
    url = uploaded["fileUrl"].replace("https://localhost:8743/oss", files.host)
    fetched = value(await bench.run(sandbox, "fetch", url=url))
    assert fetched == {
        "status": 200,
        "sum": hashlib.sha256("云函数 ☁".encode()).hexdigest(),
        "size": 13,
    }
    await sandbox.stop()


async def test_a_large_file_is_streamed(bench: RungBench, files: Files) -> None:
    # Beside its code: /tmp of a sandbox is its memory.
    sandbox = await bench.bound(FUNCTION, assets={"large.bin": LARGE})
    ending = await bench.run(sandbox, "path", Host(files), timeout_s=120)
    assert "error" not in value(ending), value(ending)
    record = await files.records.read(SPACE_ID, file_id_of(SPACE_ID, "large.bin"))
    assert record is not None
    assert record.blob is not None
    assert (record.blob.size, record.blob.md5) == (len(LARGE), hashlib.md5(LARGE).hexdigest())
    peak_mb = ending.usage.peak_memory_mb
    assert peak_mb is not None
    print(f"peak memory of the sandbox: {peak_mb} MB")
    assert peak_mb < 160  # 60 to 80 without any work; a file in memory comes on top
    await sandbox.stop()


async def test_a_refusal_reaches_the_function(bench: RungBench, files: Files) -> None:
    sandbox = await bench.bound(FUNCTION)
    tampered = files.receive.uploads
    tampered._policy_key = b"q" * 32
    options: dict[str, Any] = {"text": "x", "fileName": "a.txt"}
    said = value(await bench.run(sandbox, "buffer", Host(files), **options))
    assert (said["error"]["code"], said["error"]["status"]) == ("SignatureDoesNotMatch", 403)
    assert files.methods == ["generateProximalSign"]
    await sandbox.stop()


async def test_other_addresses_are_not_there(bench: RungBench, files: Files) -> None:
    sandbox = await bench.bound(FUNCTION)
    base = files.host.removesuffix("/oss")
    for path, status in (("/", 404), ("/client", 404), ("/oss", 405), (f"/oss/{SPACE_ID}/no", 404)):
        assert value(await bench.run(sandbox, "fetch", url=base + path))["status"] == status
    await sandbox.stop()


@pytest.mark.parametrize("rung", ["bubblewrap", "landlock"], indirect=True)
async def test_while_it_is_not_open_connections_end(
    rung: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    access = EgressAccess(policy=NOTHING, internal=WorkerFiles().internal)
    async with RungBench(rung, tmp_path_factory.mktemp("b"), access).open() as bench:
        sandbox = await bench.bound(FUNCTION)
        for _ in range(3):
            said = value(await bench.run(sandbox, "fetch", url=f"http://{INTERNAL_NAME}/oss"))
            assert said["error"]["message"]
        await sandbox.stop()
