"""Hostile upload forms, made from the real ones of both SDKs: each ends in an answer of the table, soon, and
what was refused leaves nothing."""

from __future__ import annotations

import asyncio
import hashlib
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from aiohttp import StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict, CIMultiDictProxy

from tests.unit.gateway.file_stand import (
    BOUNDARY,
    FORM_TYPE,
    FileStand,
    StandBounds,
    form,
    make_stand,
)

CASES = 7_500
DONE_S = 120
MAX_BYTES = 5_000
REFUSED = {400, 403, 413}
TAKEN = {200, 201, 204}

CLIENT = {
    "success_action_status": "200",
    "Expires": "3600",
    "Content-Disposition": "attachment",
    "Cache-Control": "max-age=2592000",
    "x-oss-meta-userId": "halo",
}
SERVER = {
    "X-OSS-server-side-encrpytion": "AES256",
    "success_action_status": "200",
    "x-oss-meta-k": "v",
    "Cache-Control": "no-cache",
    "Content-Type": "text/plain",
    "id": "67783638-8370-45fd-8408-db2208734198",
    "cdnDomain": "127.0.0.1:18080/files",
    "callback": "eyJjYWxsYmFja0JvZHkiOiJ7fSJ9",
}
"""What the SDKs send besides key, policy, Signature and OSSAccessKeyId (as captured)."""

DELIMITER = f"\r\n--{BOUNDARY}".encode()
TOKENS = [
    DELIMITER,
    DELIMITER + b"--",
    DELIMITER + b"--\r\n",
    DELIMITER[:-1],
    DELIMITER + b"\r\n\r\n",
    b"\r\n\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b'"',
    b"\\",
    b"--",
    b"\0",
    b"\xff\xfe",
    b"; name=file",
    b'Content-Disposition: form-data; name="key"',
    b'Content-Disposition: form-data; name="file"',
    b"Content-Transfer-Encoding: base64\r\n",
    b"Content-Type: multipart/mixed; boundary=x\r\n",
    b"Content-Length: 1\r\n",
    b"_charset_",
    b"x-oss-meta-",
    b"x" * 20_000,
    b"y: " + b"z" * 5_000,
]

Change = Callable[[random.Random, bytearray], None]


def flip(draw: random.Random, body: bytearray) -> None:
    body[draw.randrange(len(body))] = draw.randrange(256)


def cut_out(draw: random.Random, body: bytearray) -> None:
    start = draw.randrange(len(body))
    del body[start : start + draw.choice((1, 2, 40, 400))]


def cut_off(draw: random.Random, body: bytearray) -> None:
    del body[draw.randrange(len(body)) :]


def insert(draw: random.Random, body: bytearray) -> None:
    at = draw.randrange(len(body) + 1)
    body[at:at] = draw.choice(TOKENS)


def insert_at_a_line(draw: random.Random, body: bytearray) -> None:
    ends = [found.end() for found in re.finditer(b"\r\n", body)]
    at = draw.choice(ends or [0])
    body[at:at] = draw.choice(TOKENS)


def repeat(draw: random.Random, body: bytearray) -> None:
    start = draw.randrange(len(body))
    body[start:start] = body[start : start + draw.randrange(600)] * draw.choice((1, 2, 70))


def shuffle_parts(draw: random.Random, body: bytearray) -> None:
    parts = bytes(body).split(DELIMITER)
    draw.shuffle(parts)
    body[:] = DELIMITER.join(parts)


def grow(draw: random.Random, body: bytearray) -> None:
    body += draw.choice(TOKENS) * draw.choice((1, 5))


def keep(_draw: random.Random, _body: bytearray) -> None:
    """Now and then a form is what it should be."""


CHANGES: list[Change] = [
    flip,
    cut_out,
    cut_off,
    insert,
    insert_at_a_line,
    repeat,
    shuffle_parts,
    grow,
    keep,
]

TYPES = [
    "",
    "multipart/form-data",
    "multipart/form-data; boundary=",
    'multipart/form-data; boundary="',
    "multipart/mixed; boundary=" + BOUNDARY,
    "multipart/form-data; boundary=x" + BOUNDARY,
    "multipart/form-data; boundary=" + BOUNDARY[:-1],
    "application/json",
]


def made(draw: random.Random, stand: FileStand) -> tuple[str, bytes]:
    """Content type and body of one case."""
    extra = draw.choice((CLIENT, SERVER))
    content = draw.randbytes(draw.choice((0, 8, 3_000, MAX_BYTES, MAX_BYTES + 1)))
    fields = {**extra, **stand.fields("dir/中.png")}
    body = bytearray(form(fields, content, file_type="application/octet-stream"))
    for _ in range(draw.choice((1, 1, 1, 2, 5))):
        if body:
            draw.choice(CHANGES)(draw, body)
    return draw.choice(TYPES) if draw.random() < 0.03 else FORM_TYPE, bytes(body)


def pieces(draw: random.Random, body: bytes) -> Iterator[bytes]:
    size = draw.choice((1 << 20, 1 << 20, 1_000, 33))
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def answered(
    stand: FileStand, like: web.Request, draw: random.Random, content_type: str, body: bytes
) -> web.StreamResponse:
    """Of a request whose connection is that of `like`: to mock one takes longer than to serve it."""
    loop = asyncio.get_running_loop()
    payload = StreamReader(BaseProtocol(loop), 1 << 16, loop=loop)
    for piece in pieces(draw, body):
        payload.feed_data(piece)
    payload.feed_eof()
    headers = CIMultiDict({"Content-Type": content_type, "Content-Length": str(len(body))})
    if draw.random() < 0.3:
        del headers["Content-Length"]
    request = web.Request(
        like._message._replace(headers=CIMultiDictProxy(headers)),
        payload,
        like.protocol,
        like._payload_writer,
        like.task,
        loop,
    )
    found = await stand.app.router.resolve(request)
    return await found.handler(request)


async def test_hostile_forms(tmp_path: Path) -> None:
    draw = random.Random(20260707)
    stand = make_stand(tmp_path, bounds=StandBounds(max_bytes=MAX_BYTES))
    like = make_mocked_request("POST", "/oss")
    seen: Counter[int] = Counter()
    async with asyncio.timeout(DONE_S):
        for case in range(CASES):
            content_type, body = made(draw, stand)
            answer = await answered(stand, like, draw, content_type, body)
            seen[answer.status] += 1
            if answer.status in TAKEN:
                blob = await stand.stored()
                content = await stand.bytes_of(blob)
                assert len(content) == blob.size <= MAX_BYTES
                assert hashlib.md5(content, usedforsecurity=False).hexdigest() == blob.md5
                await stand.files.delete(blob.key)
                await stand.records.forget_upload(stand.upload_ids[-1])
            else:
                assert answer.status in REFUSED, (case, answer.status, content_type, body)
            assert await stand.nothing_left(), (case, content_type, body)
    assert seen.keys() >= REFUSED | {200}
    assert min(seen[status] for status in REFUSED | {200}) > CASES // 100
