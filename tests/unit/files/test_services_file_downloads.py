"""Which version of which file a request may have."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest

from runtime.errors import InvalidParameterError, NotFoundError
from runtime.files.refusals import SignatureRefusedError
from runtime.messages import SpaceStatus
from runtime.services.file_downloads import Chunks, FileReplacedError, PrivateFileError
from tests.harness.file_stage import SPACE_ID, FileStage, StageSpace

RULES = '{"file": {"p.png": {".read": false}, "*": {".write": true}}}'


@pytest.fixture
def stage() -> FileStage:
    return FileStage(rules=RULES)


async def all_of(chunks: Chunks) -> bytes:
    return b"".join([chunk async for chunk in chunks])


def private_query(stage: FileStage, path: str) -> dict[str, str]:
    url = stage.addresses.private(SPACE_ID, path, ttl_s=60)
    return dict(parse_qsl(urlsplit(url).query))


async def test_a_public_file_is_found_by_its_path(stage: FileStage) -> None:
    await stage.upload(stage.user(), "图.png", b"12345")
    download = await stage.downloads.find(SPACE_ID, "图.png", {"x-oss-process": "a"})
    assert not download.private
    assert await all_of(await stage.downloads.chunks(download)) == b"12345"
    assert await all_of(await stage.downloads.chunks(download, 1, 3)) == b"234"
    assert await all_of(await stage.downloads.chunks(download, 5, 1)) == b""


async def test_a_private_file_needs_a_signed_address(stage: FileStage) -> None:
    await stage.upload(stage.backend(), "p.png", b"1")
    for path in ("p.png",):
        with pytest.raises(PrivateFileError):
            await stage.downloads.find(SPACE_ID, path, {})
    download = await stage.downloads.find(SPACE_ID, "p.png", private_query(stage, "p.png"))
    assert download.private
    with pytest.raises(SignatureRefusedError):
        await stage.downloads.find(SPACE_ID, "p.png", private_query(stage, "a.png"))
    query = private_query(stage, "p.png")
    stage.clock.advance(60)
    with pytest.raises(SignatureRefusedError, match="expired"):
        await stage.downloads.find(SPACE_ID, "p.png", query)


async def test_whether_a_private_file_exists_is_not_told(stage: FileStage) -> None:
    with pytest.raises(PrivateFileError):
        await stage.downloads.find(SPACE_ID, "p.png", {})


async def test_what_is_not_there_is_not_found(stage: FileStage) -> None:
    await stage.service.delete(
        stage.user(), {"id": await stage.upload(stage.user(), "gone.png", b"1")}
    )
    await stage.post(await stage.form(stage.user(), "unreported.png"), b"1")
    for path in ("gone.png", "unreported.png", "never.png"):
        with pytest.raises(NotFoundError) as caught:
            await stage.downloads.find(SPACE_ID, path, {})
        assert caught.value.code == "NoSuchKey"
    with pytest.raises(NotFoundError):
        await stage.downloads.find("mp-2", "a.png", {})
    with pytest.raises(InvalidParameterError):
        await stage.downloads.find(SPACE_ID, "a//b", {})


async def test_a_paused_space_serves_nothing(stage: FileStage) -> None:
    await stage.upload(stage.user(), "a.png", b"1")
    stage.spaces[SPACE_ID] = StageSpace(status=SpaceStatus.PAUSED)
    with pytest.raises(NotFoundError, match="paused"):
        await stage.downloads.find(SPACE_ID, "a.png", {})


async def test_a_file_that_is_replaced_before_its_first_byte_is_found_again(
    stage: FileStage,
) -> None:
    await stage.upload(stage.user(), "a.png", b"old")
    download = await stage.downloads.find(SPACE_ID, "a.png", {})
    await stage.upload(stage.user(), "a.png", b"new")
    with pytest.raises(FileReplacedError):
        await stage.downloads.chunks(download)
    download = await stage.downloads.find(SPACE_ID, "a.png", {})
    assert await all_of(await stage.downloads.chunks(download)) == b"new"


async def test_a_download_that_is_given_up_lets_go_of_the_store(stage: FileStage) -> None:
    await stage.upload(stage.user(), "a.png", b"123")
    download = await stage.downloads.find(SPACE_ID, "a.png", {})
    chunks = await stage.downloads.chunks(download)
    await chunks.aclose()
    await chunks.aclose()
    assert [chunk async for chunk in chunks] == [b"1"]  # the one that was read ahead
