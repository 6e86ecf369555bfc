"""From a signed form or address to bytes that wait for their report."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

from runtime.errors import (
    InvalidParameterError,
    NotFoundError,
    StorageFullError,
    UnavailableError,
)
from runtime.files.refusals import SignatureRefusedError
from runtime.messages import SpaceStatus, UploadState
from runtime.services.file_uploads import Grant, upload_of
from tests.harness.file_stage import MAX_BYTES, SPACE_ID, TTL_S, FileStage, StageSpace


@pytest.fixture
def stage() -> FileStage:
    return FileStage()


async def grant_of(stage: FileStage, path: str = "a.png") -> Grant:
    return stage.uploads.open_form(await stage.form(stage.user(), path))


async def put_grant(stage: FileStage, content_type: str = "text/html") -> Grant:
    signed = await stage.service.sign_put(
        SPACE_ID, content_type="text/html", filename="index.html", size=240, file_id="/索 引.html"
    )
    assert signed.url is not None
    parts = urlsplit(signed.url)
    assert f"{parts.scheme}://{parts.netloc}" == "http://127.0.0.1:8700"
    space_id, _, path = unquote(parts.path).removeprefix("/oss/").partition("/")
    return stage.uploads.open_put(space_id, path, dict(parse_qsl(parts.query)), content_type)


async def test_a_form_grants_one_upload(stage: FileStage) -> None:
    grant = await grant_of(stage)
    assert (grant.space_id, grant.path, grant.owner_id, grant.trusted, grant.max_bytes) == (
        SPACE_ID,
        "a.png",
        "ann",
        False,
        MAX_BYTES,
    )
    assert grant.left_s == TTL_S
    assert not stage.records._uploads  # nothing is stored yet


async def test_bytes_headers_and_words_are_stored(stage: FileStage) -> None:
    grant = await grant_of(stage)
    async with stage.uploads.receiving(grant) as under_way:
        assert stage.records._uploads[grant.upload_id].state is UploadState.RECEIVING
        blob = await under_way.store(
            stage.bytes.receive(b"bytes"),
            content_type=None,
            headers={"Cache-Control": "no-cache", "Other": "x"},
            meta={"userId": "halo"},
        )
    assert stage.bytes.blobs == {blob.key: b"bytes"}
    assert (blob.size, blob.content_type) == (5, "image/png")
    assert blob.headers == {"cache-control": "no-cache"}
    assert blob.meta == {"user-id": "halo"}
    assert upload_of(blob.key) == grant.upload_id
    assert stage.records._uploads[grant.upload_id].state is UploadState.STORED


async def test_a_form_is_for_one_upload(stage: FileStage) -> None:
    fields = await stage.form(stage.user(), "a.png")
    await stage.post(fields, b"first")
    with pytest.raises(SignatureRefusedError, match="was used"):
        await stage.post(fields, b"second")
    await stage.service.report(stage.user(), {"id": fields["id"]})
    with pytest.raises(SignatureRefusedError, match="was used"):
        await stage.post(fields, b"third")
    assert await stage.content(fields["id"]) == b"first"


async def test_of_two_posts_at_once_one_is_refused(stage: FileStage) -> None:
    grant = await grant_of(stage)
    async with stage.uploads.receiving(grant):
        with pytest.raises(SignatureRefusedError):
            async with stage.uploads.receiving(grant):
                pytest.fail("two uploads under one grant")


async def test_a_form_whose_body_broke_off_is_good_again(stage: FileStage) -> None:
    fields = await stage.form(stage.user(), "a.png")
    with pytest.raises(ConnectionError):
        async with stage.uploads.receiving(stage.uploads.open_form(fields)):
            raise ConnectionError
    assert not stage.records._uploads
    await stage.post(fields, b"whole")


async def test_a_bad_header_leaves_the_form_good(stage: FileStage) -> None:
    grant = await grant_of(stage)
    with pytest.raises(InvalidParameterError):
        async with stage.uploads.receiving(grant) as under_way:
            await under_way.store(
                stage.bytes.receive(b"x"), content_type="a\nb", headers={}, meta={}
            )
    assert not stage.records._uploads
    assert not stage.bytes.blobs


async def test_a_full_store_refuses_and_leaves_nothing(stage: FileStage) -> None:
    async def full(key: str, _source: object) -> None:
        stage.bytes.blobs[key] = b"a part"
        raise StorageFullError("the disk")

    stage.bytes.take_file = full  # type: ignore[method-assign, assignment]
    with pytest.raises(StorageFullError):
        await stage.post(await stage.form(stage.user(), "a.png"), b"x")
    assert not stage.bytes.blobs
    assert not stage.records._uploads


async def test_a_cancelled_way_into_the_store_keeps_its_record_for_the_sweeper(
    stage: FileStage,
) -> None:
    started = asyncio.Event()

    async def slow(key: str, _source: object) -> None:
        stage.bytes.blobs[key] = b"a part"
        started.set()
        await asyncio.Event().wait()

    stage.bytes.take_file = slow  # type: ignore[method-assign, assignment]
    task = asyncio.create_task(stage.post(await stage.form(stage.user(), "a.png"), b"x"))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not stage.bytes.blobs
    (upload,) = stage.records._uploads.values()
    stage.bytes.blobs[upload.blob_key] = b"the store had it after all"
    await stage.sweep_all()
    stage.check_agreement()
    assert not stage.bytes.blobs


async def test_a_store_that_does_not_answer_is_not_waited_for(stage: FileStage) -> None:
    stage.uploads._limits = replace(stage.uploads._limits, store_s=0.0)

    async def slow(_key: str, _source: object) -> None:
        await asyncio.Event().wait()

    stage.bytes.take_file = slow  # type: ignore[method-assign, assignment]
    with pytest.raises(UnavailableError, match="did not take 1 bytes"):
        await stage.post(await stage.form(stage.user(), "a.png"), b"x")
    assert len(stage.records._uploads) == 1  # the sweeper's


async def test_a_space_that_is_gone_or_paused_takes_nothing(stage: FileStage) -> None:
    grant = await grant_of(stage)
    stage.spaces[SPACE_ID] = StageSpace(status=SpaceStatus.PAUSED)
    with pytest.raises(NotFoundError, match="paused"):
        async with stage.uploads.receiving(grant):
            pytest.fail("paused")
    stage.spaces.clear()
    with pytest.raises(NotFoundError):
        async with stage.uploads.receiving(grant):
            pytest.fail("gone")
    assert not stage.records._uploads


async def test_a_space_deleted_while_bytes_come_keeps_none_of_them(stage: FileStage) -> None:
    grant = await grant_of(stage)
    async with stage.uploads.receiving(grant) as under_way:
        await stage.remains.remove_space(SPACE_ID)
        file = stage.bytes.receive(b"x")
        with pytest.raises(NotFoundError, match="void"):
            await under_way.store(file, content_type=None, headers={}, meta={})
    assert not stage.bytes.blobs
    assert not stage.records._uploads


async def test_a_put_needs_the_type_that_was_signed(stage: FileStage) -> None:
    grant = await put_grant(stage)
    assert (grant.path, grant.trusted, grant.owner_id) == ("索 引.html", True, None)
    with pytest.raises(SignatureRefusedError):
        await put_grant(stage, "image/png")


async def test_a_put_to_what_is_no_path_is_refused(stage: FileStage) -> None:
    with pytest.raises(InvalidParameterError):
        stage.uploads.open_put(SPACE_ID, "a/../b", {}, "")


async def test_a_clock_that_was_set_back_gives_no_more_time(stage: FileStage) -> None:
    fields = await stage.form(stage.user(), "a.png")
    stage.clock.advance(-10 * TTL_S)
    grant = stage.uploads.open_form(fields)
    assert grant.left_s == TTL_S
    async with stage.uploads.receiving(grant):
        # Kept as long as the form could work again.
        upload = stage.records._uploads[grant.upload_id]
        assert upload.expires_ms == grant.expires_ms + TTL_S * 1000


async def test_names_of_fields_come_in_any_case(stage: FileStage) -> None:
    fields = await stage.form(stage.user(), "a.png")
    assert stage.uploads.open_form({name.upper(): value for name, value in fields.items()})
