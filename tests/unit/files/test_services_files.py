"""What clients, functions, backends and the management side may do with files."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from dataclasses import replace
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

import pytest

from runtime.errors import CallerError, InvalidParameterError, NotFoundError
from runtime.files.paths import file_id_of
from runtime.files.refusals import FileDeniedError
from runtime.files.rules import FileRules, PathRules
from runtime.services.files import UploadSide
from tests.harness.file_stage import HOST, MAX_BYTES, SPACE_ID, FileStage, StageSpace

PRIVATE = """{"file": {
    "/^private\\\\//": {".read": "request.auth.userId == resource.auth.userId",
                        ".write": "request.auth.userId == resource.auth.userId"},
    "*": {".write": "request.auth.userId == resource.auth.userId"}}}"""
PNG = {"env": "public", "filename": "photo.PNG", "size": 8}


@pytest.fixture
def stage() -> FileStage:
    return FileStage(rules=PRIVATE)


async def refused(awaitable: Any, code: str = "ParamInvalid") -> str:
    """The message."""
    with pytest.raises(CallerError) as caught:
        await awaitable
    assert caught.value.code == code, caught.value
    return caught.value.message


# --- sign -----------------------------------------------------------------------------------------


async def test_a_client_is_told_where_to_upload(stage: FileStage) -> None:
    answer = await stage.service.sign(stage.user(), PNG, side=UploadSide.CLIENT)
    assert all(isinstance(value, str) for value in answer.values())
    path = answer["ossPath"].removeprefix(f"{SPACE_ID}/")
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.png", path)
    assert answer["id"] == file_id_of(SPACE_ID, path)
    assert (answer["host"], answer["cdnDomain"]) == (HOST, "cdn.example.com")
    policy = json.loads(base64.b64decode(answer["policy"]))
    assert policy["conditions"][1] == ["content-length-range", 0, MAX_BYTES]
    assert "securityToken" not in answer
    assert "ossCallbackUrl" not in answer


async def test_backends_and_functions_have_hosts_of_their_own(stage: FileStage) -> None:
    params = {"filename": "a.exe", "size": 1}
    answer = await stage.service.sign(stage.backend(), params, side=UploadSide.SERVER)
    assert answer["host"] == "http://127.0.0.1:8700/oss"
    answer = await stage.service.sign(
        stage.backend(), params, side=UploadSide.SERVER, host="http://files.internal/oss"
    )
    assert answer["host"] == "http://files.internal/oss"


@pytest.mark.parametrize("host", [None, "http://files.internal/oss"])
async def test_a_form_for_somebody_else_names_the_usual_place(
    stage: FileStage, host: str | None
) -> None:
    """`getUploadFileOptions` sends no size."""
    answer = await stage.service.sign(
        stage.backend(), {"filename": "a.png"}, side=UploadSide.SERVER, host=host
    )
    assert answer["host"] == "http://127.0.0.1:8700/oss"


async def test_a_folder_and_a_path_may_be_asked_for(stage: FileStage) -> None:
    params = PNG | {"targetPath": "/dir/deep/"}
    answer = await stage.service.sign(stage.user(), params, side=UploadSide.CLIENT)
    assert answer["ossPath"].startswith(f"{SPACE_ID}/dir/deep/")
    params = PNG | {"fileId": "/相册/a.png"}
    answer = await stage.service.sign(stage.user(), params, side=UploadSide.CLIENT)
    assert answer["ossPath"] == f"{SPACE_ID}/相册/a.png"


async def test_an_existing_file_is_overwritten_by_id_or_url(stage: FileStage) -> None:
    file_id = await stage.upload(stage.user(), "a.png", b"1")
    for reference in (file_id, f"https://elsewhere/{SPACE_ID}/a.png"):
        params = PNG | {"fileId": reference}
        answer = await stage.service.sign(stage.user(), params, side=UploadSide.CLIENT)
        assert (answer["id"], answer["ossPath"]) == (file_id, f"{SPACE_ID}/a.png")


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"filename": ""},
        {"filename": 1},
        {"filename": "a.png" * 1000},
        {"filename": "a.html"},
        {"filename": "noextension"},
        {"filename": "a.png", "fileId": "/x.html"},
        {"filename": "a.png", "fileId": "/"},
        {"filename": "a.png", "fileId": "/a/../b.png"},
        {"filename": "a.png", "fileId": "/" + "x" * 1024},
        {"filename": "a.png", "fileId": "/\ud800.png"},
        {"filename": "a.png", "fileId": "00000000-0000-4000-8000-00000000dead"},
        {"filename": "a.png", "fileId": "https://h/none.png"},
        {"filename": "a.png", "fileId": 7},
        {"filename": "a.png", "targetPath": "a//b"},
        {"filename": "a.png", "targetPath": ["a"]},
    ],
)
async def test_parameters_that_are_no_good(stage: FileStage, params: dict[str, Any]) -> None:
    await refused(stage.service.sign(stage.user(), params, side=UploadSide.CLIENT))


async def test_a_file_that_is_too_large_is_refused_before_its_upload(stage: FileStage) -> None:
    params = PNG | {"size": MAX_BYTES + 1}
    await refused(
        stage.service.sign(stage.user(), params, side=UploadSide.CLIENT),
        "RequestContentLength.Exceeded",
    )


async def test_nobody_signs_for_a_file_of_another(stage: FileStage) -> None:
    await stage.upload(stage.user("ann"), "a.png", b"1")
    params = PNG | {"fileId": "/a.png"}
    await refused(
        stage.service.sign(stage.user("bob"), params, side=UploadSide.CLIENT), "PermissionDenied"
    )
    await stage.service.sign(stage.backend("bob"), params, side=UploadSide.SERVER)


async def test_signing_writes_nothing_and_reads_one_record_at_most(stage: FileStage) -> None:
    reads: list[str] = []

    class Counted:
        def __getattr__(self, name: str) -> Any:
            reads.append(name)
            return getattr(stage.records, name)

    stage.service._records = Counted()  # type: ignore[assignment]
    await stage.service.sign(stage.user(), PNG, side=UploadSide.CLIENT)
    assert reads == []
    await stage.service.sign(stage.user(), PNG | {"fileId": "/a.png"}, side=UploadSide.CLIENT)
    assert reads == ["read"]


# --- info -----------------------------------------------------------------------------------------


async def test_info_tells_what_is_there_by_id_and_url(stage: FileStage) -> None:
    file_id = await stage.upload(stage.user(), "dir/a b,c.png", b"12345")
    told = await stage.service.info(stage.user("bob"), {"id": file_id})
    assert told == [
        {
            "id": file_id,
            "url": f"https://cdn.example.com/{SPACE_ID}/dir/a%20b%2Cc.png",
            "name": "a b,c.png",
            "size": 5,
            "type": "image/png",
            "path": f"{SPACE_ID}/dir/a%20b%2Cc.png",
            "gmtCreate": stage.clock.now_ms(),
            "gmtModified": stage.clock.now_ms(),
        }
    ]
    names = f"{told[0]['url']},{file_id},{file_id_of('x', 'y')},nonsense"
    assert await stage.service.info(stage.user("bob"), {"id": names}) == told
    assert await stage.service.info(stage.user(), {"id": "nonsense"}) == []


async def test_a_private_file_is_told_to_its_owner_under_a_signed_address(
    stage: FileStage,
) -> None:
    file_id = await stage.upload(stage.user("ann"), "private/a.png", b"1")
    assert await stage.service.info(stage.user("bob"), {"id": file_id}) == []
    for caller in (stage.user("ann"), stage.backend()):
        (told,) = await stage.service.info(caller, {"id": file_id, "maxAge": 60})
        parts = urlsplit(told["url"])
        query = dict(parse_qsl(parts.query))
        assert int(query["Expires"]) == stage.clock.now_ms() // 1000 + 60
        download = await stage.downloads.find(SPACE_ID, "private/a.png", query)
        assert download.private
    (told,) = await stage.service.info(stage.user("ann"), {"id": told["url"]})
    assert told["id"] == file_id


@pytest.mark.parametrize(
    ("max_age", "seconds"), [(None, 3600), (60.0, 60), (10**9, 7200), (10**30, 7200)]
)
async def test_the_time_of_an_address_is_bounded(
    stage: FileStage, max_age: object, seconds: int
) -> None:
    file_id = await stage.upload(stage.user(), "private/a.png", b"1")
    (told,) = await stage.service.info(stage.user(), {"id": file_id, "maxAge": max_age})
    expires = int(dict(parse_qsl(urlsplit(told["url"]).query))["Expires"])
    assert expires == stage.clock.now_ms() // 1000 + seconds


@pytest.mark.parametrize("max_age", [0, -1, 1.5, True, "60", [], float("nan"), float("inf")])
async def test_what_is_no_time_is_refused(stage: FileStage, max_age: object) -> None:
    await refused(stage.service.info(stage.user(), {"id": "x", "maxAge": max_age}))


async def test_at_most_fifty_files(stage: FileStage) -> None:
    assert await stage.service.info(stage.user(), {"id": ",".join(map(str, range(50)))}) == []
    await refused(stage.service.info(stage.user(), {"id": ",".join(map(str, range(51)))}))


async def test_the_rules_of_a_list_are_asked_once_for_each_file_and_others_get_turns(
    stage: FileStage,
) -> None:
    ids = [await stage.upload(stage.user(), f"{number}.png", b"1") for number in range(3)]
    asked: list[str] = []
    turns: list[int] = []

    class Counted:
        def of_path(self, path: str) -> PathRules:
            asked.append(path)
            return FileRules.of(PRIVATE).of_path(path)

    async def other() -> None:
        while len(asked) < len(ids):
            turns.append(len(asked))
            await asyncio.sleep(0)

    caller = replace(
        stage.user(), space=replace(stage.space, file_rules=cast("FileRules", Counted()))
    )
    other_task = asyncio.create_task(other())
    assert len(await stage.service.info(caller, {"id": ",".join(ids)})) == 3
    await other_task
    assert asked == ["0.png", "1.png", "2.png"]
    assert {1, 2} <= set(turns)
    stage.spaces[SPACE_ID] = cast("StageSpace", caller.space)
    asked.clear()
    turns.clear()
    other_task = asyncio.create_task(other())
    assert len(await stage.service.page(SPACE_ID, limit=3)) == 3
    await other_task
    assert asked == ["0.png", "1.png", "2.png"]
    assert {1, 2} <= set(turns)


# --- delete ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "named",
    [
        lambda file_id: file_id,
        lambda _: f"https://cdn.example.com/{SPACE_ID}/%E5%9B%BE.png",
        lambda _: {"fileUrl": f"https://cdn.example.com/{SPACE_ID}/图.png"},
    ],
)
async def test_a_file_is_deleted_by_id_url_or_object(stage: FileStage, named: Any) -> None:
    file_id = await stage.upload(stage.user(), "图.png", b"1")
    assert await stage.service.delete(stage.user(), {"id": named(file_id)}) == {"id": file_id}
    assert await stage.content(file_id) is None
    assert not stage.bytes.blobs
    await refused(stage.service.delete(stage.user(), {"id": named(file_id)}))


@pytest.mark.parametrize("name", ["a b.png", "a%20b.png", "a%2520b.png", "a,b?c#d.png"])
async def test_the_path_that_info_tells_deletes_that_file(stage: FileStage, name: str) -> None:
    others = {"a b.png", "a%20b.png", "a%2520b.png"} - {name}
    for each in {name} | others:
        fields = await stage.form(stage.user(), each)
        await stage.post(fields, b"1")
        await stage.service.report(stage.user(), {"id": fields["id"]})
        if each == name:
            key = fields["key"]
    file_id = file_id_of(SPACE_ID, name)
    (told,) = await stage.service.info(stage.user(), {"id": file_id})
    assert told["path"] == key  # the SDK's filePath
    deleted = await stage.service.delete(stage.user(), {"id": told["path"]})
    assert deleted == {"id": file_id}
    assert {each.path for each in stage.file_records if each.blob} == others


async def test_a_file_of_another_is_not_deleted(stage: FileStage) -> None:
    file_id = await stage.upload(stage.user("ann"), "a.png", b"1")
    await refused(stage.service.delete(stage.user("bob"), {"id": file_id}), "PermissionDenied")
    await stage.service.delete(stage.backend(), {"id": file_id})


@pytest.mark.parametrize("reference", ["", "x", None, {"fileUrl": "https://h/a.png"}])
async def test_what_names_no_file_is_not_deleted(stage: FileStage, reference: object) -> None:
    await refused(stage.service.delete(stage.user(), {"id": reference}))


async def test_a_deleted_file_can_be_made_again_by_anybody(stage: FileStage) -> None:
    file_id = await stage.upload(stage.user("ann"), "a.png", b"1")
    await stage.service.delete(stage.user("ann"), {"id": file_id})
    assert await stage.upload(stage.user("bob"), "a.png", b"2") == file_id
    (record,) = stage.file_records
    assert (record.owner_id, record.stale) == ("bob", ())


# --- the management side --------------------------------------------------------------------------


async def test_the_management_side_puts_and_registers(stage: FileStage) -> None:
    signed = await stage.service.sign_put(
        SPACE_ID, content_type="text/html", filename="index.html", size=240
    )
    assert signed.url is not None
    assert signed.url.startswith(f"http://127.0.0.1:8700/oss/{SPACE_ID}/")
    assert not signed.overwrite
    parts = urlsplit(signed.url)
    path = parts.path.removeprefix(f"/oss/{SPACE_ID}/")
    grant = stage.uploads.open_put(SPACE_ID, path, dict(parse_qsl(parts.query)), "text/html")
    with pytest.raises(InvalidParameterError):
        await stage.service.register(SPACE_ID, signed.file_id)
    async with stage.uploads.receiving(grant) as under_way:
        file = stage.bytes.receive(b"<html>")
        await under_way.store(file, content_type="text/html", headers={}, meta={})
    for _ in range(2):
        record = await stage.service.register(SPACE_ID, signed.file_id)
        assert (record.path, record.owner_id) == (path, None)
    again = await stage.service.sign_put(
        SPACE_ID, content_type="text/html", filename="x", size=1, file_id=signed.file_id
    )
    assert (again.file_id, again.overwrite) == (signed.file_id, True)


async def test_a_folder_needs_no_upload(stage: FileStage) -> None:
    signed = await stage.service.sign_put(SPACE_ID, content_type="", filename="dir/", size=0)
    assert signed.url is None


async def test_files_are_listed_by_path(stage: FileStage) -> None:
    for path in ("b.png", "a/1.png", "a/2.png", "private/x.png", "c.png"):
        await stage.upload(stage.user(), path, path.encode())
    first = await stage.service.page(SPACE_ID, limit=100)
    assert [each.record.path for each in first] == ["a/1.png", "a/2.png", "b.png"]  # page_max
    rest = await stage.service.page(SPACE_ID, limit=100, after="b.png", url_ttl_s=60)
    assert [(each.name, each.size, each.private) for each in rest] == [
        ("c.png", 5, False),
        ("x.png", 13, True),
    ]
    assert "Signature=" in rest[1].url
    (found,) = await stage.service.page(SPACE_ID, prefix="a/", keyword="2", limit=1)
    assert found.record.path == "a/2.png"


async def test_files_are_found_and_removed_by_id(stage: FileStage) -> None:
    file_id = await stage.upload(stage.user(), "a.png", b"1")
    entry = await stage.service.entry(SPACE_ID, file_id)
    assert entry is not None
    assert entry.name == "a.png"
    await stage.service.remove(SPACE_ID, file_id)
    assert await stage.service.entry(SPACE_ID, file_id) is None
    await refused(stage.service.remove(SPACE_ID, file_id))
    await refused(stage.service.remove(SPACE_ID, "nonsense"))


async def test_an_unknown_space_is_said_to_be_one(stage: FileStage) -> None:
    with pytest.raises(NotFoundError):
        await stage.service.page("mp-2", limit=1)


async def test_refusals_name_the_path(stage: FileStage) -> None:
    await stage.upload(stage.user("ann"), "a.png", b"1")
    with pytest.raises(FileDeniedError, match=r"a\.png"):
        await stage.form(stage.user("bob"), "a.png")
