"""Bodies and framing of requests to HTTP triggers, and what the function gets of them."""

from __future__ import annotations

import gzip
import zlib
from base64 import b64decode
from collections.abc import Iterator

import pytest

from tests.harness.trigger_gateway import (
    MIB,
    ON,
    WIDE,
    TriggerGateway,
    raw_request,
)
from tests.harness.trigger_rules import (
    CHUNKED,
    HOST,
    TEXT,
    TOO_LARGE,
    TOO_LONG,
    chunks,
    refused,
)

pytestmark = pytest.mark.integration


# --- sizes of requests -----------------------------------------------------------------------

FITS = {
    "letters": b"a" * 4096,
    "two-byte characters": "é".encode() * 2048,
    "three-byte characters": "云".encode() * 1365 + b"a",
    "four-byte characters": "😀".encode() * 1024,
}


def framings(body: bytes) -> Iterator[tuple[tuple[str, ...], bytes]]:
    """Header lines and bytes of every way to send `body`."""
    halves = (body[:100], body[100:])
    yield (f"content-length: {len(body)}",), body
    yield (CHUNKED,), chunks(body)
    yield (CHUNKED,), chunks(*halves)
    yield (CHUNKED,), chunks(*(body[i : i + 1] for i in range(len(body))))
    yield (CHUNKED,), chunks(*halves, extension=b';a=1;b="x y"')
    for name, packed in (("gzip", gzip.compress(body)), ("deflate", zlib.compress(body))):
        coding = f"content-encoding: {name}"
        yield (coding, f"content-length: {len(packed)}"), packed
        yield (coding, CHUNKED), chunks(packed[:9], packed[9:])


@pytest.mark.parametrize("kind", FITS)
async def test_a_body_of_4096_bytes_fits_and_one_more_does_not(
    gateway: TriggerGateway, kind: str
) -> None:
    """However it is sent."""
    body = FITS[kind]

    def puts(content: bytes) -> list[bytes]:
        return [
            raw_request("/http/f", method="PUT", headers=(TEXT, *headers)) + sent
            for headers, sent in framings(content)
        ]

    statuses = [answer.status async for answer in gateway.pipeline(puts(body))]
    assert statuses == [200] * len(statuses)
    assert len(gateway.seen) == len(statuses) > 8
    for seen in gateway.seen:
        assert (seen.args["body"], seen.args["isBase64Encoded"]) == (body.decode(), False)
        assert "content-encoding" not in seen.args["headers"]
        assert seen.args["headers"]["content-length"] == "4096"
    async for answer in gateway.pipeline(puts(body + b"a")):
        assert "4096 bytes" in refused(answer, 413, TOO_LARGE)["error"]["message"]
    assert len(gateway.seen) == len(statuses)


@pytest.mark.parametrize("size", [4097, MIB])
async def test_a_space_may_raise_its_bounds_to_a_mebibyte(
    gateway: TriggerGateway, size: int
) -> None:
    host = f"{WIDE}.fn.localhost"
    gateway.script = lambda context: context.args["body"]
    answer = await gateway.ask(method="POST", host=host, headers=(TEXT,), body=b"a" * size)
    assert (answer.status, answer.body) == (200, b"a" * size)


async def test_a_mebibyte_and_a_byte_is_too_much_for_every_space(gateway: TriggerGateway) -> None:
    host = f"{WIDE}.fn.localhost"
    body = b"a" * (MIB + 1)
    refused(await gateway.ask(method="POST", host=host, headers=(TEXT,), body=body), 413, TOO_LARGE)
    gateway.returns(body.decode())
    refused(await gateway.ask(host=host), 502, TOO_LONG)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_bomb_is_refused_and_the_connection_goes_on(
    gateway: TriggerGateway, coding: str
) -> None:
    pack = gzip.compress if coding == "gzip" else zlib.compress
    bomb = pack(b"\x00" * 3 * MIB, 9)
    assert len(bomb) < 4096
    async with gateway.connect() as wire:
        await wire.send(
            raw_request(
                "/http/f",
                method="POST",
                headers=(TEXT, f"content-encoding: {coding}"),
                body=bomb,
            )
        )
        refused(await wire.answer(), 413, TOO_LARGE)
        await wire.send(raw_request("/http/f"))
        assert (await wire.answer()).body == b"done"


PACKED = gzip.compress(b"hello", mtime=0)


@pytest.mark.parametrize(
    ("coding", "sent", "status"),
    [
        ("gzip", PACKED[:-1], 400),
        ("gzip", PACKED[:12], 400),
        ("gzip", PACKED + b"x", 400),
        ("gzip", PACKED + PACKED, 400),
        ("gzip", b"hello", 400),
        ("gzip", PACKED[:-8] + b"\0" * 8, 400),
        ("deflate", b"hello", 400),
        ("GZIP", PACKED, 200),
        ("identity", b"hello", 200),
        ("br", b"hello", 415),
        ("zstd", b"hello", 415),
        ("gzip, gzip", gzip.compress(PACKED, mtime=0), 415),
        ("identity, gzip", PACKED, 415),
        ("x\x80", b"hello", 415),
    ],
)
async def test_compressed_bodies_are_taken_whole_or_not_at_all(
    gateway: TriggerGateway, coding: str, sent: bytes, status: int
) -> None:
    answer = await gateway.ask(
        method="POST", headers=(TEXT, f"content-encoding: {coding}"), body=sent
    )
    if status == 200:
        assert (answer.status, gateway.seen[0].args["body"]) == (200, "hello")
    else:
        refused(answer, status, None)
        assert gateway.seen == []


SMUGGLED = b"GET /http/f/below HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.mark.parametrize(
    ("headers", "sent"),
    [
        (("content-length: 3", CHUNKED), chunks(b"abc")),
        ((CHUNKED, f"content-length: {5 + len(SMUGGLED)}"), b"0\r\n\r\n" + SMUGGLED),
        (("content-length: 3", "content-length: 3"), b"abc"),
        (("content-length: 3", "content-length: 4"), b"abcd"),
        (("content-length: 3, 3",), b"abc"),
        (("content-length: +3",), b"abc"),
        (("content-length: -3",), b"abc"),
        (("content-length: 0x3",), b"abc"),
        (("content-length: 3 3",), b"abc"),
        (("content-length: 99999999999999999999999",), b"abc"),
        (("transfer-encoding: gzip",), chunks(b"abc")),
        (("transfer-encoding: chunked, identity",), chunks(b"abc")),
        (("transfer-encoding: xchunked",), chunks(b"abc")),
        (("transfer-encoding : chunked",), chunks(b"abc")),
        (("transfer-encoding:\x0bchunked",), chunks(b"abc")),
        ((CHUNKED, "transfer-encoding: identity"), chunks(b"abc")),
        ((CHUNKED,), b"xyz\r\nabc\r\n0\r\n\r\n"),
        ((CHUNKED,), b"-3\r\nabc\r\n0\r\n\r\n"),
        ((CHUNKED,), b"0x3\r\nabc\r\n0\r\n\r\n"),
        ((CHUNKED,), b"3\nabc\n0\n\n"),
        ((CHUNKED,), b"3\r\nabcd\r\n0\r\n\r\n"),
        ((CHUNKED,), b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
        ((CHUNKED,), b"3\r\nabc\r\n0\r\ncontent-length: 9\r\n\r\n"),
        ((CHUNKED,), b"3;a=\x00\r\nabc\r\n0\r\n\r\n"),
        (("x: 1\r\n folded",), b""),
        (("x\x00y: 1",), b""),
        (("x: 1\x00",), b""),
        (("x: 1\ny: 2",), b""),
        (("x y: 1",), b""),
        ((": 1",), b""),
        (("host: other",), b""),
    ],
)
async def test_ambiguous_framing_is_one_refusal_and_the_end(
    gateway: TriggerGateway, headers: tuple[str, ...], sent: bytes
) -> None:
    """Nothing after it is taken for a request."""
    async with gateway.connect() as wire:
        request = raw_request("/http/f", method="POST", headers=(TEXT, *headers))
        await wire.send(request + sent + raw_request("/http/f/below"))
        answers = await wire.rest()
    assert [answer.status for answer in answers] == [400]
    assert answers[0].get("request-id")
    assert gateway.seen == []


async def test_bytes_beyond_the_length_are_the_next_request(gateway: TriggerGateway) -> None:
    async with gateway.connect() as wire:
        request = raw_request("/http/f", method="POST", headers=(TEXT, "content-length: 2"))
        await wire.send(request + b"ab")
        assert (await wire.answer()).status == 200
        await wire.send(b"c\r\n\r\n")
        assert [answer.status for answer in await wire.rest()] == [400]
    assert [seen.args["body"] for seen in gateway.seen] == ["ab"]


@pytest.mark.parametrize("trailer", [b"x-sum: 1", b"cookie: a=b", b"expect: x", b"host: other"])
async def test_a_trailer_is_a_field_of_no_request(gateway: TriggerGateway, trailer: bytes) -> None:
    """Neither of its own nor of the next one on the connection, which may be somebody else's."""
    async with gateway.connect() as wire:
        request = raw_request("/http/f", method="POST", headers=("trailer: x", TEXT, CHUNKED))
        await wire.send(request + chunks(b"abc", trailer=trailer + b"\r\n"))
        answer = await wire.answer()
        assert (answer.status, gateway.seen[0].args["body"]) == (200, "abc")
        assert gateway.seen[0].args["headers"].keys() == {"host", "content-type", "content-length"}
        if answer.closes:
            assert await wire.rest() == []
            return
        await wire.send(raw_request("/http/f"))
        assert (await wire.answer()).status == 200
    assert gateway.seen[1].args["headers"] == {"host": HOST}


# --- what the function gets ------------------------------------------------------------------


async def test_the_arguments_are_exactly_these(gateway: TriggerGateway) -> None:
    await gateway.ask(
        "/http/f/x?q=1",
        method="POST",
        headers=("Content-Type: application/json", "X-Mixed-CASE:  two  words ", "accept: */*"),
        body=b'{"a": "\\u4e91"}',
    )
    [seen] = gateway.seen
    assert seen.args == {
        "path": "/http/f/x",
        "httpMethod": "POST",
        "headers": {
            "host": HOST,
            "content-type": "application/json",
            "x-mixed-case": "two  words",
            "accept": "*/*",
            "content-length": "15",
        },
        "queryStringParameters": {"q": "1"},
        "body": '{"a": "\\u4e91"}',
        "isBase64Encoded": False,
    }
    assert seen.env == {"MP_SPACE_ID": ON, "MP_SOURCE": "http"}, "nobody's user, app or address"
    assert seen.trigger_path == "/http/f"


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        ("", {}),
        ("?", {}),
        ("?&&", {}),
        ("?a=1&a=2&a=3", {"a": "3"}),
        ("?a=1&A=2", {"a": "1", "A": "2"}),
        ("?a", {"a": ""}),
        ("?a=", {"a": ""}),
        ("?=a", {"": "a"}),
        ("?a=b=c", {"a": "b=c"}),
        ("?a+b=c+d", {"a b": "c d"}),
        ("?a=%2B%26%3D", {"a": "+&="}),
        ("?a=%E4%BA%91", {"a": "云"}),
        ("?%E4%BA%91=1", {"云": "1"}),
        ("?a=%ff", {"a": "\ufffd"}),
        ("?a=%zz&b=%&c=%4", {"a": "%zz", "b": "%", "c": "%4"}),
        ("?a=%00%0d%0a", {"a": "\x00\r\n"}),
        ("?a=1;b=2", {"a": "1;b=2"}),
        ("?a[]=1&a[]=2", {"a[]": "2"}),
        ("?a?b=/c", {"a?b": "/c"}),
        ("?__proto__=1&constructor=2", {"__proto__": "1", "constructor": "2"}),
        ("?a=%25%32%35", {"a": "%25"}),
    ],
)
async def test_the_query_is_texts_by_name_and_the_last_wins(
    gateway: TriggerGateway, query: str, parameters: dict[str, str]
) -> None:
    await gateway.ask(f"/http/f{query}")
    assert gateway.seen[0].args["queryStringParameters"] == parameters
    assert gateway.seen[0].args["path"] == "/http/f"


@pytest.mark.parametrize(
    ("lines", "name", "value"),
    [
        (("X-A: 1", "x-a: 2", "X-a: 3"), "x-a", "1, 2, 3"),
        (("cookie: a=1", "Cookie: b=2"), "cookie", "a=1; b=2"),
        (("x-empty:",), "x-empty", ""),
        (("x-tab: a\tb",), "x-tab", "a\tb"),
        (("x-u: 云",), "x-u", "云"),
        (("authorization: Basic YTpi",), "authorization", "Basic YTpi"),
        (("x-forwarded-for: 1.2.3.4",), "x-forwarded-for", "1.2.3.4"),
        (("__proto__: 1",), "__proto__", "1"),
        (("connection: x-kept, keep-alive", "x-kept: 1"), "x-kept", "1"),
    ],
)
async def test_header_fields_are_texts_by_lower_case_name(
    gateway: TriggerGateway, lines: tuple[str, ...], name: str, value: str
) -> None:
    await gateway.ask(headers=lines)
    assert gateway.seen[0].args["headers"] == {
        "host": HOST,
        name: value,
    }


async def test_fields_about_the_connection_are_not_the_functions(gateway: TriggerGateway) -> None:
    await gateway.ask(
        headers=(
            "connection: keep-alive",
            "keep-alive: timeout=5",
            "te: trailers",
            "trailer: x",
            "proxy-authorization: Basic YTpi",
            "proxy-connection: keep-alive",
            "upgrade: h2c",
        )
    )
    assert gateway.seen[0].args["headers"] == {"host": HOST}


@pytest.mark.parametrize(
    ("content_type", "body", "is_base64"),
    [
        ("text/plain", "云".encode(), False),
        ("text/plain; charset=utf-8", "云".encode(), False),
        ("text/plain; charset=gbk", b"ascii", False),
        ("text/plain; charset=gbk", "云".encode("gbk"), True),
        ("text/plain; charset=gbk", "云".encode(), True),
        ("text/plain", b"\xff\xfe", True),
        ("application/json", b'"\xed\xa0\x80"', True),
        ("text/plain", b"\x00\r\n", False),
        ("text/plain", b"\xef\xbb\xbfbom", False),
    ],
)
async def test_the_function_can_always_get_the_same_bytes_back(
    gateway: TriggerGateway, content_type: str, body: bytes, is_base64: bool
) -> None:
    await gateway.ask(method="POST", headers=(f"content-type: {content_type}",), body=body)
    args = gateway.seen[0].args
    assert args["isBase64Encoded"] is is_base64
    given = args["body"]
    assert (b64decode(given) if is_base64 else given.encode()) == body
