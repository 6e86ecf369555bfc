"""The local file store and the disk below it: full disks, handing over, what stays open; and full servers."""

from __future__ import annotations

import errno
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import aclosing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from runtime.backends.files_object import open_file_store
from runtime.errors import NotFoundError, StorageFullError, UnavailableError
from runtime.ports import FileStore
from runtime.testing.file_store_samples import MIB, bytes_of, source_of, streamed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "files"


@pytest.fixture
def store(folder: Path) -> FileStore:
    return open_file_store("file:", folder)


def _files_in(folder: Path) -> list[str]:
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file())


# --- handing over -------------------------------------------------------------------------------


async def test_a_file_on_the_same_file_system_is_not_copied(
    store: FileStore, folder: Path, tmp_path: Path
) -> None:
    source = source_of(tmp_path, b"x")
    source.chmod(0o600)
    before = source.stat().st_ino
    await store.take_file("files/mp-1/u", source)
    blob = folder / "blobs/files/mp-1/u"
    assert blob.stat().st_ino == before
    assert blob.stat().st_mode & 0o777 == (folder / "blobs").stat().st_mode & 0o666


async def test_a_file_that_is_taken_is_synced_before_it_gets_its_name(
    store: FileStore, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = source_of(tmp_path, b"x")
    blob = folder / "blobs/code/a"
    synced: list[tuple[str, bool]] = []
    fsync = os.fsync

    def watch(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        synced.append((name, blob.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watch)
    await store.take_file("code/a", source)
    assert synced == [("source", False), ("code", True), ("blobs", True)]
    synced.clear()
    await store.delete("code/a")
    assert synced == [("code", False)]


async def test_a_file_on_another_file_system_is_copied(
    store: FileStore, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = source_of(tmp_path, b"x")
    rename = Path.replace

    def refuse(path: Path, target: Path) -> Path:
        if path == source:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", refuse)
    await store.take_file("a", source)
    assert await streamed(store, "a") == b"x"
    assert not source.exists()
    assert _files_in(folder) == ["blobs/a"]


# --- no room ------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("take", [True, False])
async def test_a_full_disk_is_a_refusal_of_its_own(
    store: FileStore,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    take: bool,
) -> None:
    await store.put_file("a", source_of(tmp_path, b"old"))

    def full(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    source = source_of(tmp_path, b"new")
    with pytest.raises(StorageFullError, match="no room left") as caught:
        await (store.take_file if take else store.put_file)("a", source)
    assert caught.value.code == "InsufficientStorage"
    assert source.read_bytes() == b"new"
    assert await streamed(store, "a") == b"old"
    assert _files_in(folder) == ["blobs/a"]


@pytest.mark.integration
async def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:  # noqa: ASYNC221
        pytest.skip("no right to mount a small file system")
    try:
        store = open_file_store("file:", disk)
        await store.put_file("a", source_of(tmp_path, bytes_of(2 * MIB)))
        large = source_of(tmp_path, bytes_of(3 * MIB, "large"))
        for put in (store.put_file, store.take_file):
            with pytest.raises(StorageFullError):
                await put("b", large)
            assert large.stat().st_size == 3 * MIB
            assert _files_in(disk) == ["blobs/a"]
        assert await streamed(store, "a") == bytes_of(2 * MIB)
        await store.delete("a")
        await store.take_file("b", large)
        assert not large.exists()
        assert await streamed(store, "b") == bytes_of(3 * MIB, "large")
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)  # noqa: ASYNC221


class _FullServer(BaseHTTPRequestHandler):
    """Refuses what is put; `refusal` is its status and its code."""

    refusal = (507, "XMinioStorageFull")

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        status, code = self.refusal
        body = f"<Error><Code>{code}</Code><Message>InsufficientStorage</Message></Error>".encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def full_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with ThreadingHTTPServer(("127.0.0.1", 0), _FullServer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), name="full server")
        thread.start()
        yield f"s3://bucket/files?endpoint=http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        ((507, "XMinioStorageFull"), StorageFullError),
        ((400, "XMinioAdminBucketQuotaExceeded"), StorageFullError),
        ((403, "QuotaExceeded"), StorageFullError),
        ((403, "AccessDenied"), UnavailableError),
    ],
)
async def test_a_server_without_room(
    full_server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    refusal: tuple[int, str],
    error: type[Exception],
) -> None:
    monkeypatch.setattr(_FullServer, "refusal", refusal)
    store = open_file_store(full_server, tmp_path)
    source = source_of(tmp_path, b"x")
    with pytest.raises(error):
        await store.take_file("a", source)
    assert source.read_bytes() == b"x"


# --- reading ------------------------------------------------------------------------------------


async def test_a_blob_that_is_deleted_is_read_to_its_end(store: FileStore, tmp_path: Path) -> None:
    content = bytes_of(3 * MIB)
    await store.put_file("a", source_of(tmp_path, content))
    stream = store.stream("a", 5)
    received = await anext(aiter(stream))
    await store.delete("a")
    assert received + b"".join([chunk async for chunk in stream]) == content[5:]


def _descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_nothing_stays_open(store: FileStore, tmp_path: Path) -> None:
    await store.put_file("a/b", source_of(tmp_path, bytes_of(2 * MIB)))
    await streamed(store, "a/b")  # the loop's own descriptors are made before they are counted
    before = _descriptors()
    async with aclosing(store.stream("a/b")) as stream:
        await anext(stream)
        assert _descriptors() == before + 1
    await streamed(store, "a/b")
    with pytest.raises(NotFoundError):
        await streamed(store, "a")
    assert _descriptors() == before
