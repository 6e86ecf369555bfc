"""Uploads by form and by signed address, over HTTP and services in memory."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

from runtime.errors import StorageFullError
from tests.harness.polling import until
from tests.unit.gateway.file_stand import (
    FORM_TYPE,
    ORIGIN,
    SPACE,
    FileStand,
    StandBounds,
    form,
    make_stand,
    serving,
)

CONTENT = b"\x89PNG\r\n\x1a\n" * 3
ETAG = f'"{hashlib.md5(CONTENT, usedforsecurity=False).hexdigest().upper()}"'


Body = bytes | io.BytesIO | AsyncIterator[bytes]


class Visitor:
    """A client of one stand."""

    def __init__(self, stand: FileStand, http: ClientSession, port: int) -> None:
        self.stand = stand
        self.port = port
        self._http = http
        self.url = f"http://127.0.0.1:{port}"

    async def post(self, body: Body, headers: dict[str, str] | None = None) -> tuple[int, str]:
        """Status, and error code or ETag."""
        sent = {"Content-Type": FORM_TYPE, **(headers or {})}
        async with self._http.post(f"{self.url}/oss", data=body, headers=sent) as answer:
            if answer.ok:
                assert await answer.read() == b""
                return answer.status, answer.headers["ETag"]
            refused = await answer.json()
            assert refused["success"] is False
            return answer.status, refused["error"]["code"]

    async def put(
        self, path: str, body: Body, query: str, headers: dict[str, str]
    ) -> tuple[int, str]:
        url = f"{self.url}/oss/{SPACE}/{path}?{query}"
        async with self._http.put(url, data=body, headers=headers) as answer:
            if answer.ok:
                return answer.status, answer.headers["ETag"]
            return answer.status, (await answer.json())["error"]["code"]

    async def raw(self, *sent: bytes, end: bool = False) -> bytes:
        """All that is answered to what is sent piece by piece, each after an answer to the one before."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            got = b""
            for each in sent:
                if got == b"" and each is not sent[0]:
                    got += await reader.read(1 << 16)
                writer.write(each)
            if end:
                writer.write_eof()
            while chunk := await reader.read(1 << 16):
                got += chunk
            return got
        finally:
            writer.transport.abort()


@pytest.fixture
async def visitor(tmp_path: Path) -> AsyncIterator[Visitor]:
    stand = make_stand(tmp_path)
    async with serving(stand) as port, ClientSession() as http:
        yield Visitor(stand, http, port)


@asynccontextmanager
async def visiting(folder: Path, bounds: StandBounds) -> AsyncIterator[Visitor]:
    stand = make_stand(folder, bounds=bounds)
    async with serving(stand) as port, ClientSession() as http:
        yield Visitor(stand, http, port)


# --- forms ------------------------------------------------------------------------------------


async def test_the_client_sdks_form(visitor: Visitor) -> None:
    fields = {
        "success_action_status": "200",
        "Expires": "3600",
        "Content-Disposition": "attachment",
        "Cache-Control": "max-age=2592000",
        "x-oss-meta-userId": "halo",
        **visitor.stand.fields("dir/中文.png"),
    }
    body = form(fields, CONTENT, file_type="application/octet-stream")
    assert await visitor.post(body, {"X-OSS-server-side-encrpytion": "AES256"}) == (200, ETAG)
    blob = await visitor.stand.stored()
    assert await visitor.stand.bytes_of(blob) == CONTENT
    assert blob.content_type == "image/png"
    assert blob.headers == {
        "expires": "3600",
        "content-disposition": "attachment",
        "cache-control": "max-age=2592000",
    }
    assert blob.meta == {"user-id": "halo"}
    assert list(visitor.stand.spool_dir.iterdir()) == []


async def test_the_server_sdks_form(visitor: Visitor) -> None:
    fields = {
        "X-OSS-server-side-encrpytion": "AES256",
        "Content-Type": "text/plain",
        "id": "67783638-8370-45fd-8408-db2208734198",
        **visitor.stand.fields("a"),
        "cdnDomain": "127.0.0.1:18080/files",
        "callback": "eyJ9",
    }
    assert await visitor.post(form(fields, b"", file_type="text/html")) == (
        200,
        '"D41D8CD98F00B204E9800998ECF8427E"',
    )
    assert (await visitor.stand.stored()).content_type == "text/plain"


async def test_what_the_files_part_says_counts_without_a_field(visitor: Visitor) -> None:
    body = form(visitor.stand.fields("a.png"), CONTENT, file_type="image/webp")
    await visitor.post(body)
    assert (await visitor.stand.stored()).content_type == "image/webp"


@pytest.mark.parametrize(
    ("asked", "status"), [("200", 200), ("201", 201), ("204", 204), ("x", 200)]
)
async def test_the_status_that_the_form_asks_for(visitor: Visitor, asked: str, status: int) -> None:
    fields = {"success_action_status": asked, **visitor.stand.fields("a")}
    assert await visitor.post(form(fields, CONTENT)) == (status, ETAG)


async def test_a_chunked_form(visitor: Visitor) -> None:
    body = form(visitor.stand.fields("a"), CONTENT)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 7):
            yield body[start : start + 7]

    assert await visitor.post(pieces()) == (200, ETAG)


async def test_a_form_is_good_for_one_upload(visitor: Visitor) -> None:
    body = form(visitor.stand.fields("a"), CONTENT)
    assert await visitor.post(body) == (200, ETAG)
    assert await visitor.post(body) == (403, "AccessDenied")
    assert list(visitor.stand.spool_dir.iterdir()) == []


async def test_a_form_whose_upload_failed_is_good_once_more(visitor: Visitor) -> None:
    body = form(visitor.stand.fields("a"), CONTENT)
    assert await visitor.post(body[:-10]) == (400, "MalformedPOSTRequest")
    assert await visitor.stand.nothing_left()
    assert await visitor.post(body) == (200, ETAG)


async def test_refused_forms(visitor: Visitor) -> None:
    fields = visitor.stand.fields("a")
    wrong = {
        (403, "SignatureDoesNotMatch"): {**fields, "key": f"{SPACE}/b"},
        (400, "ParamInvalid"): {**fields, "policy": ""},
        (400, "FieldItemTooLong"): {**fields, "x": "x" * 20_000},
    }
    for answer, changed in wrong.items():
        assert await visitor.post(form(changed, CONTENT)) == answer
    assert await visitor.post(form(fields, CONTENT), {"Content-Type": "text/plain"}) == (
        400,
        "MalformedPOSTRequest",
    )
    bad_header = {**fields, "Cache-Control": "a\x01b"}
    assert await visitor.post(form(bad_header, CONTENT)) == (400, "ParamInvalid")
    visitor.stand.clock.advance(61)
    assert await visitor.post(form(fields, CONTENT)) == (403, "AccessDenied")
    assert await visitor.stand.nothing_left()


async def test_a_form_is_refused_before_its_file_is_taken(visitor: Visitor) -> None:
    fields = {**visitor.stand.fields("a"), "Signature": "x"}
    body = form(fields, b"").partition(b'name="file"')[0] + b'name="file"\r\n\r\n'
    head = (
        f"POST /oss HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM_TYPE}\r\nContent-Length: 900000"
        "\r\n\r\n"
    )
    assert (await visitor.raw(head.encode() + body)).startswith(b"HTTP/1.1 403 ")


async def test_more_bytes_than_the_form_allows(visitor: Visitor) -> None:
    fields = visitor.stand.fields("a", max_bytes=len(CONTENT) - 1)
    assert await visitor.post(form(fields, CONTENT)) == (413, "EntityTooLarge")
    too_long = form(visitor.stand.fields("a"), b"x" * ((1 << 20) + 1))
    assert await visitor.post(io.BytesIO(too_long)) == (413, "EntityTooLarge")
    announced = form(visitor.stand.fields("a"), b"x" * (1 << 21))
    assert await visitor.post(io.BytesIO(announced)) == (413, "EntityTooLarge")
    assert await visitor.stand.nothing_left()


async def test_a_body_that_breaks_off_leaves_nothing(visitor: Visitor) -> None:
    body = form(visitor.stand.fields("a"), b"x" * 100_000)
    head = f"POST /oss HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM_TYPE}\r\nContent-Length: 200000"
    await visitor.raw(head.encode() + b"\r\n\r\n" + body[:50_000], end=True)
    await until(lambda: visitor.stand.uploads.count == 0)
    assert await visitor.stand.nothing_left()


async def test_a_body_that_stops(tmp_path: Path) -> None:
    async with visiting(tmp_path, StandBounds(idle_s=0.05)) as visitor:
        body = form(visitor.stand.fields("a"), b"x" * 100_000)
        head = f"POST /oss HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM_TYPE}\r\nContent-Length: "
        whole = f"{head}{len(body)}\r\n\r\n".encode() + body
        for cut in (len(head) + 100, 50_000):
            assert (await visitor.raw(whole[:cut])).startswith(b"HTTP/1.1 408 ")
        assert await visitor.stand.nothing_left()


async def test_too_many_uploads_at_once(tmp_path: Path) -> None:
    async with visiting(tmp_path, StandBounds(uploads=1)) as visitor:
        go_on = asyncio.Event()
        body = form(visitor.stand.fields("a"), CONTENT)

        async def slowly() -> AsyncIterator[bytes]:
            yield body[:-30]
            await go_on.wait()
            yield body[-30:]

        async with asyncio.TaskGroup() as group:
            first = group.create_task(visitor.post(slowly()))
            await until(lambda: visitor.stand.uploads.count == 1)
            other = form(visitor.stand.fields("b"), CONTENT)
            assert await visitor.post(other) == (503, "Throttling.Api.Concurrency")
            go_on.set()
        assert first.result() == (200, ETAG)
        assert await visitor.post(other) == (200, ETAG)


async def test_too_many_uploads_of_a_space(tmp_path: Path) -> None:
    async with visiting(tmp_path, StandBounds(open_max=1)) as visitor:
        assert (await visitor.post(form(visitor.stand.fields("a"), CONTENT)))[0] == 200
        assert (await visitor.post(form(visitor.stand.fields("b"), CONTENT)))[0] == 429


async def test_a_full_disk(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: object) -> None:
        raise StorageFullError("the store")

    monkeypatch.setattr(visitor.stand.files, "take_file", full)
    fields = visitor.stand.fields("a")
    assert await visitor.post(form(fields, CONTENT)) == (507, "InsufficientStorage")
    assert await visitor.stand.nothing_left()


# --- signed addresses -------------------------------------------------------------------------


async def test_a_put_by_signed_address(visitor: Visitor) -> None:
    query = visitor.stand.put_query("a/%2B 中.txt", "text/plain")
    headers = {
        "Content-Type": "text/plain",
        "x-oss-callback": "eyJ9",
        "Cache-Control": "no-cache",
        "x-oss-meta-colour": "rot",
    }
    path = "a/%252B%20%E4%B8%AD.txt"
    assert await visitor.put(path, CONTENT, query, headers) == (200, ETAG)
    blob = await visitor.stand.stored()
    assert await visitor.stand.bytes_of(blob) == CONTENT
    assert (blob.content_type, blob.headers, blob.meta) == (
        "text/plain",
        {"cache-control": "no-cache"},
        {"colour": "rot"},
    )
    assert await visitor.put(path, CONTENT, query, headers) == (403, "AccessDenied")


async def test_a_chunked_put(visitor: Visitor) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield CONTENT[:5]
        yield CONTENT[5:]

    query = visitor.stand.put_query("a", "image/png")
    assert await visitor.put("a", pieces(), query, {"Content-Type": "image/png"}) == (200, ETAG)


async def test_refused_puts(visitor: Visitor) -> None:
    query = visitor.stand.put_query("a", "image/png")
    png = {"Content-Type": "image/png"}
    assert await visitor.put("a", CONTENT, query, {"Content-Type": "text/html"}) == (
        403,
        "SignatureDoesNotMatch",
    )
    assert (await visitor.put("b", CONTENT, query, png))[0] == 403
    assert (await visitor.put("a", CONTENT, "", png))[0] == 403
    assert (await visitor.put("a//b", CONTENT, query, png))[0] == 400
    assert (await visitor.put("%FF", CONTENT, query, png))[0] == 404
    assert (await visitor.put("a", io.BytesIO(b"x" * ((1 << 20) + 1)), query, png))[0] == 413

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 100_000

    assert (await visitor.put("a", endless(), query, png))[0] == 413
    assert await visitor.stand.nothing_left()


@pytest.mark.parametrize("signed", [True, False])
async def test_a_client_that_asks_first_sends_only_what_is_wanted(
    visitor: Visitor, signed: bool
) -> None:
    query = visitor.stand.put_query("a", "") if signed else "Signature=x&Expires=1"
    head = (
        f"PUT /oss/{SPACE}/a?{query} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nConnection: close\r\n"
        "Expect: 100-continue\r\n\r\n"
    )
    answer = await visitor.raw(head.encode(), b"abc")
    if signed:
        assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ")
        assert (await visitor.stand.stored()).size == 3
    else:
        assert answer.startswith(b"HTTP/1.1 403 ")


# --- pages of other origins -------------------------------------------------------------------


async def test_pages_upload_from_allowed_origins_only(visitor: Visitor) -> None:
    fields = visitor.stand.fields("a")
    other = {"Origin": "https://evil.example"}
    assert await visitor.post(form(fields, CONTENT), other) == (403, "OriginNotAllowed")
    assert await visitor.stand.nothing_left()
    assert await visitor.post(form(fields, CONTENT), {"Origin": ORIGIN}) == (200, ETAG)
    query = visitor.stand.put_query("a", "image/png")
    png = {"Content-Type": "image/png"}
    assert (await visitor.put("a", CONTENT, query, {**png, **other}))[0] == 403
    assert (await visitor.put("a", CONTENT, query, {**png, "Origin": ORIGIN}))[0] == 200


async def test_a_defect_answers_500(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise LookupError("a defect, with a secret")

    monkeypatch.setattr(visitor.stand.records, "begin_upload", broken)
    body = form(visitor.stand.fields("a"), CONTENT)
    assert await visitor.post(body) == (500, "InternalServerError")


def test_the_routes_stand_behind_those_of_packages(tmp_path: Path) -> None:
    app = make_stand(tmp_path).app
    assert isinstance(app, web.Application)
    paths = {resource.canonical for resource in app.router.resources()}
    assert paths == {"/oss", "/oss/", "/oss/{space}/{path}"}
