"""Downloads: whole files and parts, conditions, headers, private files, clients that go away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
import structlog
from aiohttp import ClientSession
from yarl import URL

from runtime.errors import UnavailableError
from runtime.messages import FileRecord, SpaceStatus
from tests.harness.polling import until
from tests.unit.gateway.file_stand import (
    ORIGIN,
    SPACE,
    FileStand,
    StandBounds,
    make_stand,
    serving,
)

CONTENT = bytes(range(256)) * 40
ETAG = f'"{"AB" * 16}"'
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
PRIVATE = '{"file": {"/^secret/": {".read": false}, "*": {".read": true}}}'


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


class Visitor:
    def __init__(self, stand: FileStand, http: ClientSession, port: int) -> None:
        self.stand = stand
        self.port = port
        self._http = http

    async def get(
        self,
        path: str,
        headers: dict[str, str] | None = None,
        *,
        method: str = "GET",
        space: str = SPACE,
    ) -> Answer:
        """`path` as it goes over the wire, with its query."""
        url = URL(f"http://127.0.0.1:{self.port}/oss/{space}/{path}", encoded=True)
        async with self._http.request(
            method, url, headers=headers, auto_decompress=False
        ) as answer:
            lowered = {name.lower(): value for name, value in answer.headers.items()}
            return Answer(answer.status, lowered, await answer.read())


@pytest.fixture
async def visitor(tmp_path: Path) -> AsyncIterator[Visitor]:
    stand = make_stand(tmp_path, rules=PRIVATE)
    async with serving(stand) as port, ClientSession(auto_decompress=False) as http:
        yield Visitor(stand, http, port)


async def test_a_whole_file(visitor: Visitor) -> None:
    await visitor.stand.place(
        "a.png",
        CONTENT,
        headers={
            "cache-control": "max-age=5",
            "content-disposition": 'attachment; filename="中.png"',
            "content-encoding": "gzip",
            "expires": "3600",
        },
        meta={"user-id": "halo"},
    )
    for method, body in (("GET", CONTENT), ("HEAD", b"")):
        answer = await visitor.get("a.png?v=2", method=method)
        assert (answer.status, answer.body) == (200, body)
        for name in ("date", "server", "connection"):
            answer.headers.pop(name, None)
        assert answer.headers == {
            "content-length": str(len(CONTENT)),
            "content-type": "image/png",
            "content-disposition": 'attachment; filename="中.png"',
            "content-encoding": "gzip",
            "cache-control": "max-age=5",
            "expires": "3600",
            "x-meta-user-id": "halo",
            "etag": ETAG,
            "last-modified": DATE,
            "accept-ranges": "bytes",
            "x-content-type-options": "nosniff",
            "vary": "Origin",
        }


async def test_parts(visitor: Visitor) -> None:
    await visitor.stand.place("a", CONTENT)
    size = len(CONTENT)
    for field, start, end in (("0-0", 0, 1), ("100-299", 100, 300), ("-3", size - 3, size)):
        answer = await visitor.get("a", {"Range": f"bytes={field}"})
        assert (answer.status, answer.body) == (206, CONTENT[start:end])
        assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
        assert answer.headers["content-length"] == str(end - start)
    for headers in (
        {"Range": "bytes=0-1,5-6"},
        {"Range": "bytes=5-1"},
        {"Range": "bytes=0-1", "If-Range": '"other"'},
        {"Range": "bytes=0-1", "If-Range": DATE},
    ):
        answer = await visitor.get("a", headers)
        assert (answer.status, answer.body) == (200, CONTENT)
    assert (await visitor.get("a", {"Range": "bytes=0-1", "If-Range": ETAG})).status == 206
    assert (await visitor.get("a", {"Range": "bytes=0-1"}, method="HEAD")).status == 200
    beyond = await visitor.get("a", {"Range": f"bytes={size}-"})
    assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{size}")


async def test_an_empty_file(visitor: Visitor) -> None:
    await visitor.stand.place("a", b"")
    for headers in ({}, {"Range": "bytes=0-"}):
        answer = await visitor.get("a", headers)
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["content-length"] == "0"


async def test_conditions(visitor: Visitor) -> None:
    await visitor.stand.place("a", CONTENT, headers={"cache-control": "max-age=5"})
    for headers in ({"If-None-Match": f'"x", {ETAG}'}, {"If-Modified-Since": DATE}):
        for method in ("GET", "HEAD"):
            answer = await visitor.get("a", headers, method=method)
            assert (answer.status, answer.body) == (304, b"")
            assert (answer.headers["etag"], answer.headers["cache-control"]) == (ETAG, "max-age=5")
            assert "content-length" not in answer.headers
    assert (await visitor.get("a", {"If-Match": '"x"'})).status == 412
    assert (await visitor.get("a", {"If-Match": ETAG})).status == 200


@pytest.mark.parametrize("path", ["a/b c+%.png", "目录/😀?#&.png", "%2B", "a;b=c,d@:"])
async def test_paths_are_decoded_once(visitor: Visitor, path: str) -> None:
    await visitor.stand.place(path, CONTENT)
    assert (await visitor.get(quote(path))).body == CONTENT
    assert (await visitor.get(quote(path, safe=""))).body == CONTENT
    assert (await visitor.get(quote(quote(path, safe=""), safe=""))).status == 404


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("nothing", 404),
        ("a/../a", 400),
        ("%2e%2e/a", 400),
        ("a%00", 400),
        ("a%0Ab", 404),
        ("a//b", 400),
        ("%FF", 404),
        ("", 404),
    ],
)
async def test_no_such_file(visitor: Visitor, path: str, status: int) -> None:
    await visitor.stand.place("a", CONTENT)
    assert (await visitor.get(path)).status == status


async def test_no_such_space(visitor: Visitor) -> None:
    await visitor.stand.place("a", CONTENT)
    assert (await visitor.get("a", space="mp-other")).status == 404
    visitor.stand.spaces.space.status = SpaceStatus.PAUSED
    assert (await visitor.get("a")).status == 404


async def test_a_private_file_needs_a_signed_address(visitor: Visitor) -> None:
    await visitor.stand.place(
        "secret/a", CONTENT, headers={"cache-control": "public, max-age=99", "expires": "9"}
    )
    refused = await visitor.get("secret/a")
    assert (refused.status, refused.headers["cache-control"]) == (403, "no-store")
    query = visitor.stand.get_query("secret/a")
    answer = await visitor.get(f"secret/a?{query}")
    assert (answer.status, answer.body) == (200, CONTENT)
    assert answer.headers["cache-control"] == "private, no-cache"
    assert "expires" not in answer.headers
    assert (await visitor.get(f"secret/b?{query}")).status == 403
    visitor.stand.clock.advance(61)
    assert (await visitor.get(f"secret/a?{query}")).status == 403


@pytest.mark.parametrize(
    ("content_type", "sandboxed"),
    [
        ("text/html", True),
        ("image/svg+xml", True),
        ("IMAGE/SVG+XML; charset=utf-8", True),
        ("application/xhtml+xml", True),
        ("text/xml", True),
        ("image/png;a=b, text/html", True),
        ("application/octet-stream", True),
        ("image/png", False),
        ("video/mp4", False),
        ("application/pdf", False),
        ("image/jpeg; charset=utf-8", False),
    ],
)
async def test_pages_of_strangers_do_not_act(
    visitor: Visitor, content_type: str, sandboxed: bool
) -> None:
    await visitor.stand.place("a", CONTENT, content_type)
    answer = await visitor.get("a")
    assert answer.headers["content-type"] == content_type
    assert (answer.headers.get("content-security-policy") == "sandbox") is sandboxed
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_pages_of_other_origins(visitor: Visitor) -> None:
    await visitor.stand.place("a", CONTENT)
    allowed = await visitor.get("a", {"Origin": ORIGIN})
    assert allowed.headers["access-control-allow-origin"] == ORIGIN
    other = await visitor.get("a", {"Origin": "https://evil.example"})
    assert (other.status, other.headers.get("access-control-allow-origin")) == (200, None)
    asked = await visitor.get("a", {"Origin": ORIGIN}, method="OPTIONS")
    assert (asked.status, asked.headers["access-control-allow-methods"]) == (
        204,
        "GET, HEAD, POST, PUT",
    )


async def test_too_many_downloads_at_once(tmp_path: Path) -> None:
    stand = make_stand(tmp_path, bounds=StandBounds(downloads=1))
    await stand.place("a", b"x" * (8 << 20))
    async with serving(stand) as port, ClientSession() as http:
        url = f"http://127.0.0.1:{port}/oss/{SPACE}/a"
        async with http.get(url, read_bufsize=1024) as first:
            async with http.get(url) as second:
                assert (second.status, second.headers["Retry-After"]) == (503, "1")
            async with http.head(url) as third:
                assert third.status == 200
            assert len(await first.read()) == 8 << 20
        await until(lambda: stand.downloads.count == 0)


class Chunks:
    """A stored file that is read chunk by chunk, and may fail."""

    def __init__(self, chunks: int, *, failure: Exception | None = None) -> None:
        self.chunks = chunks
        self.failure = failure
        self.read = 0
        self.closed = False

    async def stream(self, _key: str, _start: int, _length: int) -> AsyncIterator[bytes]:
        try:
            for _ in range(self.chunks):
                self.read += 1
                yield b"x" * 100_000
            if self.failure is not None:
                raise self.failure
        finally:
            self.closed = True


async def test_a_slow_client_holds_no_more_than_the_buffers(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    await visitor.stand.place("a", b"x" * 50_000_000)
    chunks = Chunks(500)
    monkeypatch.setattr(visitor.stand.files, "stream", chunks.stream)
    _, writer = await asyncio.open_connection("127.0.0.1", visitor.port, limit=1024)
    writer.write(f"GET /oss/{SPACE}/a HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    server = visitor.stand.server
    assert server is not None
    await until(lambda: any(each._paused for each in server.connections))  # the buffers are full
    writer.transport.abort()
    await until(lambda: chunks.closed and visitor.stand.downloads.count == 0)
    assert chunks.read < 200


async def test_a_client_that_left_before_its_answer_is_no_error(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    await visitor.stand.place("a", b"x" * 1000)
    asked, go_on = asyncio.Event(), asyncio.Event()
    read = visitor.stand.records.read

    async def slowly(space_id: str, file_id: str) -> FileRecord | None:
        asked.set()
        await go_on.wait()
        return await read(space_id, file_id)

    monkeypatch.setattr(visitor.stand.records, "read", slowly)
    server = visitor.stand.server
    assert server is not None
    with structlog.testing.capture_logs() as logs:
        for method in ("GET", "HEAD"):
            asked.clear()
            go_on.clear()
            _, writer = await asyncio.open_connection("127.0.0.1", visitor.port)
            writer.write(f"{method} /oss/{SPACE}/a HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            await asked.wait()
            writer.transport.abort()
            await until(lambda: any(each.transport is None for each in server.connections))
            go_on.set()
            assert (await visitor.get("a")).status == 200
    assert logs == []


@pytest.mark.parametrize(
    "failure", [None, UnavailableError("the store fails"), LookupError("ours")]
)
async def test_nobody_takes_a_part_for_the_whole(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch, failure: Exception | None
) -> None:
    await visitor.stand.place("a", b"x" * 300_000)
    monkeypatch.setattr(visitor.stand.files, "stream", Chunks(2, failure=failure).stream)
    reader, writer = await asyncio.open_connection("127.0.0.1", visitor.port)
    writer.write(f"GET /oss/{SPACE}/a HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    got = await reader.read()
    writer.close()
    assert b"Content-Length: 300000\r\n" in got
    assert len(got.partition(b"\r\n\r\n")[2]) == 200_000


async def test_a_file_that_is_replaced_meanwhile_is_found_again(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await visitor.stand.place("a", b"old")
    newer = await visitor.stand.place("b", b"new")
    assert first.blob is not None
    await visitor.stand.files.delete(first.blob.key)
    read = visitor.stand.records.read
    answers = [first, newer]

    async def replaced(space_id: str, file_id: str) -> object:
        return answers.pop(0) if answers else await read(space_id, file_id)

    monkeypatch.setattr(visitor.stand.records, "read", replaced)
    assert (await visitor.get("a")).body == b"new"
    assert (await visitor.get("a")).status == 409
