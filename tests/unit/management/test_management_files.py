"""Actions on files, from the signed address to the bytes and back."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import ClientSession
from yarl import URL

from runtime.errors import CallerError, InvalidParameterError, NotFoundError
from runtime.files.paths import file_id_of
from runtime.gateway.management.deps import ManagementDeps
from runtime.gateway.management.files import ACTIONS
from runtime.gateway.management.parameters import Parameters
from runtime.services.file_addresses import FileAddresses
from runtime.services.file_changes import FileChanges
from runtime.services.file_remains import FileRemains
from runtime.services.files import FileLimits, FileService
from runtime.settings import Settings
from tests.unit.gateway.file_stand import KEY, SPACE, FileStand, make_stand, serving

PRIVATE = '{"file": {"secret/a.txt": {".read": false}}}'
MAX_BYTES = 1000
CDN = f"https://cdn.example/{SPACE}"


@dataclass
class Desk:
    """Calls actions as the management API does, and the addresses that they give."""

    deps: ManagementDeps
    stand: FileStand
    session: ClientSession

    async def call(self, action: str, **parameters: str) -> dict[str, Any]:
        return dict(await ACTIONS[action](self.deps, Parameters({"SpaceId": SPACE, **parameters})))

    async def upload(self, path: str, content: bytes, content_type: str = "text/plain") -> str:
        signed = await self.call(
            "DescribeFileUploadSignedUrl",
            Filename="any.txt",
            FileId=f"/{path}",
            ContentType=content_type,
            Size="1",
        )
        assert await self.put(signed["SignUrl"], content, content_type) == 200
        assert await self.call("RegisterFile", Id=signed["Id"]) == {}
        return str(signed["Id"])

    async def put(self, url: str, content: bytes, content_type: str) -> int:
        async with self.session.put(
            URL(url, encoded=True), data=content, headers={"Content-Type": content_type}
        ) as response:
            return response.status

    async def get(self, url: str) -> tuple[int, bytes]:
        async with self.session.get(URL(url, encoded=True)) as response:
            return response.status, await response.read()

    async def paths(self, **parameters: str) -> list[str]:
        listed = await self.call("ListFile", **parameters)
        return [row["Path"] for row in listed["DataList"]]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    stand = make_stand(tmp_path, rules=PRIVATE)
    settings = Settings(file_page_max=3, file_url_ttl_s=60, file_url_ttl_max_s=600)
    async with serving(stand) as port, ClientSession() as session:
        addresses = FileAddresses(
            upload_host="up.example/oss",
            cdn_host="cdn.example",
            endpoint=f"http://127.0.0.1:{port}",
            urls=stand.urls,
            clock=stand.clock,
        )
        remains = FileRemains(records=stand.records, files=stand.files, clock=stand.clock)
        service = FileService(
            records=stand.records,
            changes=FileChanges(records=stand.records, remains=remains, clock=stand.clock),
            spaces=stand.spaces,
            addresses=addresses,
            policy_key=KEY,
            clock=stand.clock,
            limits=FileLimits(
                max_bytes=MAX_BYTES,
                sign_ttl_s=60,
                url_ttl_s=settings.file_url_ttl_s,
                url_ttl_max_s=settings.file_url_ttl_max_s,
                page_max=settings.file_page_max,
            ),
        )
        deps = SimpleNamespace(files=service, file_addresses=addresses, settings=settings)
        yield Desk(cast("ManagementDeps", deps), stand, session)


# --- uploads --------------------------------------------------------------------------------------


async def test_the_guides_sequence(desk: Desk) -> None:
    signed = await desk.call(
        "DescribeFileUploadSignedUrl", Filename="index.html", Size="240", ContentType="text/html"
    )
    assert set(signed) == {"Id", "SignUrl", "Overwrite"}
    assert signed["Overwrite"] is False
    assert await desk.put(signed["SignUrl"], b"<p>", "text/html") == 200
    assert await desk.paths() == []
    for _ in range(2):
        assert await desk.call("RegisterFile", Id=signed["Id"]) == {}
    listed = await desk.call("ListFile", FileId=signed["Id"])
    [row] = listed["DataList"]
    assert row["Path"].endswith(".html")
    assert row == {
        "Id": signed["Id"],
        "Name": row["Path"],
        "Path": row["Path"],
        "Size": 3,
        "Type": "text/html",
        "Url": f"{CDN}/{row['Path']}",
        "AuthDelta": 0,
        "GmtCreate": row["GmtCreate"],
        "GmtModified": row["GmtModified"],
    }
    assert row["GmtCreate"].endswith("Z")
    assert listed["Paginator"] == {"PageSize": 3}


async def test_another_content_type_is_refused(desk: Desk) -> None:
    signed = await desk.call(
        "DescribeFileUploadSignedUrl", Filename="a.txt", Size="1", ContentType="text/plain"
    )
    assert await desk.put(signed["SignUrl"], b"x", "text/html") == 403


@pytest.mark.parametrize("name", ["/dir/云.txt", "id", "url"])
async def test_an_overwrite_keeps_the_id(desk: Desk, name: str) -> None:
    file_id = await desk.upload("dir/云.txt", b"one")
    if name == "id":
        name = file_id
    elif name == "url":
        name = f"{CDN}/dir/云.txt"
    signed = await desk.call(
        "DescribeFileUploadSignedUrl",
        Filename="b.txt",
        Size="1",
        ContentType="text/plain",
        FileId=name,
    )
    assert (signed["Id"], signed["Overwrite"]) == (file_id, True)
    assert await desk.put(signed["SignUrl"], b"two", "text/plain") == 200
    await desk.call("RegisterFile", Id=file_id)
    described = await desk.call("YunhanDescribeFile", FileId=file_id)
    assert await desk.get(described["DownloadSignedUrl"]) == (200, b"two")


async def test_a_folder_has_no_address(desk: Desk) -> None:
    made = await desk.call(
        "DescribeFileUploadSignedUrl", Filename="dir/", Size="0", ContentType="x/y"
    )
    assert set(made) == {"Id", "Overwrite"}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"Filename": ""}, "MissingFilename"),
        ({"ContentType": ""}, "MissingContentType"),
        ({"Size": "-1"}, "InvalidParameter.Size"),
        ({"Size": "x"}, "InvalidParameter.Size"),
        ({"Size": str(MAX_BYTES + 1)}, "RequestContentLength.Exceeded"),
        ({"FileId": "/"}, "ParamInvalid"),
        ({"FileId": "/a/../b"}, "ParamInvalid"),
        ({"FileId": "/a\0"}, "ParamInvalid"),
        ({"FileId": f"/{'a' * 1024}"}, "ParamInvalid"),
        ({"FileId": file_id_of(SPACE, "nothing")}, "ParamInvalid"),
    ],
)
async def test_what_is_no_upload(desk: Desk, changes: dict[str, str], code: str) -> None:
    wanted = {"Filename": "a.txt", "Size": "1", "ContentType": "text/plain", **changes}
    with pytest.raises(CallerError) as refused:
        await desk.call("DescribeFileUploadSignedUrl", **wanted)
    assert refused.value.code == code


async def test_nothing_to_register(desk: Desk) -> None:
    with pytest.raises(InvalidParameterError):
        await desk.call("RegisterFile", Id=file_id_of(SPACE, "nothing"))


# --- lists ----------------------------------------------------------------------------------------


async def test_pages_end_and_lose_nothing(desk: Desk) -> None:
    names = [f"a/{number}.txt" for number in range(6)] + ["b%2F?#&+=.txt", "云"]
    for name in names:
        await desk.upload(name, b"x")
    seen: list[str] = []
    token: dict[str, str] = {}
    for _ in range(3):
        page = await desk.call("ListFile", PageSize="100", **token)
        seen += [row["Path"] for row in page["DataList"]]
        assert page["Paginator"]["PageSize"] == 3
        token = {"NextToken": page["Paginator"].get("NextToken", "")}
    assert token == {"NextToken": ""}
    assert seen == names
    assert await desk.paths(Prefix="a/", PageSize="2") == names[:2]
    assert await desk.paths(Prefix="b%2F?#") == ["b%2F?#&+=.txt"]
    assert await desk.paths(Keyword="/5") == ["a/5.txt"]
    assert await desk.paths(FileId="/云") == ["云"]
    assert await desk.paths(FileId="/nothing") == []


@pytest.mark.parametrize("token", ["n+1", "w7", "/", "4pi"])
async def test_a_token_of_nobody(desk: Desk, token: str) -> None:
    with pytest.raises(InvalidParameterError) as refused:
        await desk.call("ListFile", NextToken=token)
    assert refused.value.code == "InvalidParameter.NextToken"


@pytest.mark.parametrize(("asked", "seconds"), [({}, 60), ({"AuthDelta": "5"}, 5)])
async def test_a_private_file_has_a_signed_address(
    desk: Desk, asked: dict[str, str], seconds: int
) -> None:
    await desk.upload("secret/a.txt", b"x")
    row = (await desk.call("ListFile", **asked))["DataList"][0]
    assert row["AuthDelta"] == seconds
    url = URL(row["Url"])
    assert int(url.query["Expires"]) == desk.stand.clock.now_ms() // 1000 + seconds


async def test_auth_delta_has_a_bound(desk: Desk) -> None:
    await desk.upload("secret/a.txt", b"x")
    row = (await desk.call("ListFile", AuthDelta="9999999999"))["DataList"][0]
    assert row["AuthDelta"] == 600


# --- one file -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["dir/a.txt", "secret/a.txt", "云 %41?#+.txt"])
async def test_describe_gives_an_address_at_the_endpoint(desk: Desk, path: str) -> None:
    file_id = await desk.upload(path, b"content")
    described = await desk.call("YunhanDescribeFile", FileId=f"/{path}")
    assert (described["Id"], described["Path"]) == (file_id, path)
    assert described["Md5"] == hashlib.md5(b"content").hexdigest()
    assert (described["OwnerId"], described["Private"]) == ("", path.startswith("secret"))
    assert described["DownloadSignedUrl"].startswith("http://127.0.0.1:")
    assert await desk.get(described["DownloadSignedUrl"]) == (200, b"content")


async def test_a_path_names_exactly_that_file(desk: Desk) -> None:
    for name in ("a", "aA"):
        await desk.upload(name, b"x")
    for name in ("/a?x", "/a#x", "/a%41"):
        with pytest.raises(NotFoundError):
            await desk.call("YunhanDescribeFile", FileId=name)
        with pytest.raises(InvalidParameterError):
            await desk.call("DeleteFile", Id=name)
    assert await desk.paths() == ["a", "aA"]


@pytest.mark.parametrize("name", ["/dir/a.txt", "id", f"{CDN}/dir/a.txt?x=1"])
async def test_delete(desk: Desk, name: str) -> None:
    file_id = await desk.upload("dir/a.txt", b"x")
    asked = file_id if name == "id" else name
    assert await desk.call("DeleteFile", Id=asked) == {}
    assert await desk.paths() == []
    assert await desk.stand.files.list_keys("files/") == []
    with pytest.raises(InvalidParameterError):
        await desk.call("DeleteFile", Id=asked)
