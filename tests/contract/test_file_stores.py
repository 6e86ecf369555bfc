"""The file store contract over every kind of store, and what is special about each."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.backends.files_object import open_file_store
from runtime.errors import UnavailableError
from runtime.ports import FileStore
from runtime.settings import SettingsError
from runtime.testing.file_store import FileStoreContract

_S3_SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(*server.get_host_and_port(), flush=True)
sys.stdin.read()  # ends with the test process
server.stop()
"""


_PUT_FOREVER = """
import asyncio, itertools, pathlib, sys
from runtime.backends.files_object import open_file_store

async def main(folder):
    store = open_file_store("file:", folder / "files")
    for number in itertools.count():
        (folder / "source").write_bytes(b"%d," % number * 100_000)
        await store.put_file(f"code/{number}.zip", folder / "source")
        print(number, flush=True)

asyncio.run(main(pathlib.Path(sys.argv[1])))
"""


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An S3 server with one bucket `bucket`, as a child process on a free loopback port."""
    log = tmp_path_factory.mktemp("s3") / "log"
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            [sys.executable, "-c", _S3_SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as server,
    ):
        try:
            assert server.stdout is not None
            address = server.stdout.readline().split()
            assert len(address) == 2, f"the S3 server does not start: {log.read_text()}"
            endpoint = f"http://{address[0]}:{address[1]}"
            request = urllib.request.Request(f"{endpoint}/bucket", method="PUT")
            with urllib.request.urlopen(request, timeout=10):
                pass
            yield endpoint
        finally:
            server.kill()


@pytest.fixture
def s3_url(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an empty prefix."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    return f"s3://bucket/{uuid.uuid4()}/files?endpoint={s3_endpoint}"


class TestMemoryFileStore(FileStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> FileStore:
        return open_file_store("memory:", tmp_path)


class TestLocalFileStore(FileStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> FileStore:
        return open_file_store("file:", tmp_path / "files")

    async def test_blobs_are_there_after_a_restart(self, store: FileStore, tmp_path: Path) -> None:
        (tmp_path / "source").write_bytes(b"x")
        await store.put_file("code/a.zip", tmp_path / "source")
        again = open_file_store(f"file://{tmp_path}/files", tmp_path / "elsewhere")
        assert await again.list_keys("") == ["code/a.zip"]
        assert not (tmp_path / "elsewhere").exists()

    async def test_a_put_leaves_no_draft(self, store: FileStore, tmp_path: Path) -> None:
        (tmp_path / "source").write_bytes(b"x")
        await store.put_file("code/a.zip", tmp_path / "source")
        found = sorted(path for path in (tmp_path / "files").rglob("*") if path.is_file())
        assert found == [tmp_path / "files/blobs/code/a.zip"]

    async def test_bytes_are_synced_before_they_get_their_name_and_folders_after_it(
        self, store: FileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "source").write_bytes(b"x")
        blob = tmp_path / "files/blobs/code/a.zip"
        synced: list[tuple[str, bool]] = []
        fsync = os.fsync

        def watch(descriptor: int) -> None:
            found = os.fstat(descriptor)
            what = "draft"
            for folder in (blob.parent, blob.parent.parent):
                if folder.exists() and os.path.samestat(found, folder.stat()):
                    what = folder.name
            synced.append((what, blob.exists()))
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", watch)
        await store.put_file("code/a.zip", tmp_path / "source")
        assert synced == [("draft", False), ("code", True), ("blobs", True)]

    def test_old_drafts_are_swept_and_young_ones_are_not(self, tmp_path: Path) -> None:
        drafts = tmp_path / "files/drafts"
        drafts.mkdir(parents=True)
        (drafts / "old").write_bytes(b"x")
        (drafts / "young").write_bytes(b"x")
        os.utime(drafts / "old", (0, 0))
        open_file_store("file:", tmp_path / "files")
        assert [path.name for path in drafts.iterdir()] == ["young"]

    @pytest.mark.integration
    async def test_what_was_acknowledged_survives_a_kill(self, tmp_path: Path) -> None:
        with subprocess.Popen(  # noqa: ASYNC220 - the test has nothing else to do
            [sys.executable, "-c", _PUT_FOREVER, str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
        ) as child:
            assert child.stdout is not None
            for line in child.stdout:
                if line == "10\n":
                    child.kill()
                last = int(line)
        store = open_file_store("file:", tmp_path / "files")
        keys = await store.list_keys("code/")
        assert set(keys) >= {f"code/{number}.zip" for number in range(last + 1)}
        for key in keys:
            number = key.removeprefix("code/").removesuffix(".zip")
            content = b"".join([chunk async for chunk in store.stream(key)])
            assert content == b"%s," % number.encode() * 100_000

    def test_a_folder_that_cannot_be_used(self, tmp_path: Path) -> None:
        (tmp_path / "files").write_text("a file")
        with pytest.raises(SettingsError, match="cannot be used"):
            open_file_store("file:", tmp_path / "files")


@pytest.mark.integration
class TestS3FileStore(FileStoreContract):
    @pytest.fixture
    def store(self, s3_url: str, tmp_path: Path) -> FileStore:
        return open_file_store(s3_url, tmp_path)

    async def test_stores_do_not_see_beyond_their_prefix(
        self, store: FileStore, s3_url: str, tmp_path: Path
    ) -> None:
        (tmp_path / "source").write_bytes(b"x")
        await store.put_file("a", tmp_path / "source")
        other = open_file_store(s3_url.replace("/files?", "/other?"), tmp_path)
        assert await other.list_keys("") == []
        assert await other.size("a") is None

    async def test_a_missing_bucket_is_ours_not_a_missing_key(
        self, s3_url: str, tmp_path: Path
    ) -> None:
        (tmp_path / "source").write_bytes(b"x")
        store = open_file_store(s3_url.replace("//bucket/", "//no-bucket/"), tmp_path)
        with pytest.raises(UnavailableError, match="no such bucket"):
            await store.get_file("a", tmp_path / "target")
        with pytest.raises(UnavailableError, match="no such bucket"):
            await store.put_file("a", tmp_path / "source")
        with pytest.raises(UnavailableError):
            await store.list_keys("")

    async def test_a_server_that_does_not_answer(self, s3_url: str, tmp_path: Path) -> None:
        (tmp_path / "source").write_bytes(b"x")
        nobody = s3_url.partition("?")[0] + "?endpoint=http://127.0.0.1:9"  # the discard port
        store = open_file_store(nobody, tmp_path)
        with pytest.raises(UnavailableError, match="file store s3://bucket/"):
            await store.get_file("a", tmp_path / "target")
        with pytest.raises(UnavailableError):
            await store.put_file("a", tmp_path / "source")
        with pytest.raises(UnavailableError):
            await store.size("a")


@pytest.mark.parametrize(
    "url",
    [
        *("", "http://host/x", "s3:", "s3://", "s3://B_cket", "s3://key:secret@bucket"),
        *("s3://bucket?endpont=http://x", "file://host/path", "/path"),
    ],
)
def test_an_address_that_names_no_store(url: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="YUNHAN_FILES_URL") as caught:
        open_file_store(url, tmp_path)
    assert "secret@" not in str(caught.value)
