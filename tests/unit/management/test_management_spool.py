"""Receiving an upload: bodies that stop, break off or never end leave no file."""

import asyncio
import errno
import hashlib
import io
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest
from aiohttp import web

from runtime.errors import CallerError, StorageFullError, UnavailableError
from runtime.gateway import spool
from runtime.gateway.bodies import BodyTooLargeError
from runtime.gateway.spool import BodyChunks, Digest, SpoolLimits, spooled

LIMITS = SpoolLimits(max_bytes=100, total_s=10)


@dataclass
class Body:
    readany: Callable[[], Awaitable[bytes]]


@dataclass
class FakeRequest:
    content: Body


def request_with(readany: Callable[[], Awaitable[bytes]]) -> web.Request:
    return cast("web.Request", FakeRequest(Body(readany)))


def request_of(*chunks: bytes) -> web.Request:
    left = list(chunks)

    async def readany() -> bytes:
        return left.pop(0) if left else b""

    return request_with(readany)


def left_in(directory: Path) -> list[bytes]:
    return [path.read_bytes() for path in directory.iterdir()]


@pytest.mark.parametrize("digest", ["sha256", "md5"])
async def test_the_file_is_whole_while_it_is_there_and_gone_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digest: Digest
) -> None:
    monkeypatch.setattr(spool, "_WRITE_BYTES", 4)  # several writes
    request = request_of(b"abc", b"def", b"g" * 94)
    async with spooled(
        BodyChunks(request, idle_s=10), directory=tmp_path, limits=LIMITS, digest=digest
    ) as received:
        content = b"abcdef" + b"g" * 94
        assert left_in(tmp_path) == [content]
        assert received.digest == hashlib.new(digest, content).hexdigest()
        assert received.size_bytes == 100
    assert left_in(tmp_path) == []


async def test_the_file_may_be_taken_away(tmp_path: Path) -> None:
    chunks = BodyChunks(request_of(b"abc"), idle_s=10)
    async with spooled(chunks, directory=tmp_path, limits=LIMITS, digest="md5") as received:
        received.path.replace(tmp_path / "elsewhere")
    assert left_in(tmp_path) == [b"abc"]


async def receive(
    request: web.Request, directory: Path, limits: SpoolLimits, idle_s: float = 10
) -> None:
    async with spooled(
        BodyChunks(request, idle_s=idle_s), directory=directory, limits=limits, digest="sha256"
    ):
        pytest.fail("the body was not to be taken")


async def test_one_byte_too_many(tmp_path: Path) -> None:
    with pytest.raises(BodyTooLargeError):
        await receive(request_of(b"x" * 100, b"x"), tmp_path, LIMITS)
    assert left_in(tmp_path) == []


async def test_a_body_that_breaks_off(tmp_path: Path) -> None:
    async def readany() -> bytes:
        raise ConnectionResetError("Connection lost")

    with pytest.raises(CallerError) as caught:
        await receive(request_with(readany), tmp_path, LIMITS)
    assert caught.value.code == "InvalidBody.Format"
    assert left_in(tmp_path) == []


async def test_a_body_that_stops(tmp_path: Path) -> None:
    async def readany() -> bytes:
        await asyncio.Event().wait()
        return b""

    with pytest.raises(CallerError, match="no byte") as caught:
        await receive(request_with(readany), tmp_path, LIMITS, idle_s=0.01)
    assert caught.value.code == "RequestTimeout"
    assert left_in(tmp_path) == []


async def test_a_body_that_trickles_for_ever(tmp_path: Path) -> None:
    async def readany() -> bytes:
        await asyncio.sleep(0)
        return b"x"

    limits = SpoolLimits(max_bytes=10**9, total_s=0.05)
    with pytest.raises(CallerError, match="did not end") as caught:
        await receive(request_with(readany), tmp_path, limits)
    assert caught.value.code == "RequestTimeout"
    assert left_in(tmp_path) == []


async def test_a_cancelled_upload(tmp_path: Path) -> None:
    reading = asyncio.Event()

    async def readany() -> bytes:
        reading.set()
        await asyncio.Event().wait()
        return b""

    task = asyncio.create_task(receive(request_with(readany), tmp_path, LIMITS), name="upload")
    await reading.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert left_in(tmp_path) == []


async def test_a_folder_that_cannot_be_written_is_our_fault(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError):
        await receive(request_of(b"x"), tmp_path / "missing", LIMITS)


async def test_a_full_disk_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class FullDisk(io.BytesIO):
        def writelines(self, lines: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", lambda *_: FullDisk())
    with pytest.raises(StorageFullError):
        await receive(request_of(b"x"), tmp_path, LIMITS)
