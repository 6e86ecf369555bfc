"""Requests to HTTP triggers that share a connection, by bytes and by an HTTP client."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from multidict import CIMultiDict

from tests.harness.strict_http import WireAnswer
from tests.harness.trigger_gateway import (
    DOMAIN,
    TriggerGateway,
    raw_request,
)
from tests.harness.trigger_rules import (
    CHUNKED,
    COMPOSED,
    HOST,
    TEXT,
    chunks,
    refused,
)

pytestmark = pytest.mark.integration


# --- connections -----------------------------------------------------------------------------

REFUSALS = [
    (raw_request("/http/no"), 404),
    (raw_request("/http/f", method="PATCH", headers=(TEXT,), body=b"x" * 5000), 405),
    (raw_request("/http/f", method="POST", headers=(TEXT,), body=b"x" * 5000), 413),
    (raw_request("/http/f", method="POST", headers=(TEXT, CHUNKED)) + chunks(b"x" * 5000), 413),
    (raw_request("/http/f", method="POST", body=b"x"), 415),
    (raw_request("/http/no", method="POST", headers=(TEXT, CHUNKED)) + chunks(b"x" * 99), 404),
    (
        raw_request("/http/f", method="POST", headers=(TEXT, "content-encoding: br"), body=b"x"),
        415,
    ),
    (
        raw_request("/http/f", method="POST", headers=(TEXT, "content-encoding: gzip"), body=b"x"),
        400,
    ),
]


async def test_refusals_and_answers_come_one_by_one_and_in_order(gateway: TriggerGateway) -> None:
    """One answer for each request, in order, and nothing in between."""
    gateway.script = lambda context: context.args["queryStringParameters"]["n"]
    requests: list[bytes] = []
    expected: list[tuple[int, bytes | None]] = []
    for number, (request, status) in enumerate(REFUSALS):
        requests += [request, raw_request(f"/http/f?n={number}")]
        expected += [(status, None), (200, b"%d" % number)]
    for at_once in (1, 2, len(requests)):
        answers: list[WireAnswer] = []
        for start in range(0, len(requests), at_once):
            part = requests[start : start + at_once]
            answers += [answer async for answer in gateway.pipeline(part)]
        got = [
            (answer.status, None if status != 200 else answer.body)
            for answer, (status, _) in zip(answers, expected, strict=True)
        ]
        assert got == expected
        assert len({answer.get("request-id") for answer in answers}) == len(requests)


@pytest.mark.parametrize(
    "number", [n for n, (data, _) in enumerate(REFUSALS) if b"chunked" not in data]
)
async def test_a_connection_outlives_a_refusal(gateway: TriggerGateway, number: int) -> None:
    request, status = REFUSALS[number]
    async with gateway.connect() as wire:
        for _ in range(2):
            await wire.send(request)
            answer = await wire.answer()
            assert (answer.status, answer.closes) == (status, False)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_a_client_that_wants_the_end_gets_it(gateway: TriggerGateway, version: str) -> None:
    async with gateway.connect() as wire:
        request = raw_request("/http/f", headers=("connection: close",))
        await wire.send(request.replace(b"HTTP/1.1", f"HTTP/{version}".encode()))
        [answer] = await wire.rest()
    assert answer.body == b"done"


async def test_expect_100_continue_is_answered(gateway: TriggerGateway) -> None:
    async with gateway.connect() as wire:
        headers = (TEXT, "expect: 100-continue", "content-length: 3")
        await wire.send(raw_request("/http/f", method="POST", headers=headers))
        assert (await wire.answer()).status == 100
        await wire.send(b"abc")
        assert (await wire.answer()).status == 200
    assert gateway.seen[0].args["body"] == "abc"
    assert "expect" not in gateway.seen[0].args["headers"]


@pytest.mark.parametrize("protocol", ["websocket", "h2c", "TLS/1.0"])
async def test_a_wish_to_upgrade_is_ignored(gateway: TriggerGateway, protocol: str) -> None:
    """And what follows in the same packet is a request as ever."""
    headers = ("connection: upgrade", f"upgrade: {protocol}", "sec-websocket-version: 13")
    requests = [raw_request("/http/f", headers=headers), raw_request("/http/f/below")]
    answers = [answer.status async for answer in gateway.pipeline(requests)]
    assert answers == [200, 200]
    assert [seen.function for seen in gateway.seen] == ["f", "below"]


@pytest.mark.parametrize("expectation", ["x", "100-continue, x"])
async def test_an_unknown_expectation_is_refused(gateway: TriggerGateway, expectation: str) -> None:
    """By the HTTP library, before any handler: its answer is plain text."""
    answer = await gateway.ask(headers=(f"expect: {expectation}",))
    assert answer.status == 417
    assert answer.get("request-id")
    assert gateway.seen == []


@pytest.mark.parametrize("target", ["/http/f", f"{HOST}:443"])
async def test_connect_is_no_method_of_triggers(gateway: TriggerGateway, target: str) -> None:
    answer = await gateway.ask(target, method="CONNECT")
    refused(answer, 405, "InvalidMethod.Format")
    assert answer.get("allow")


@pytest.mark.parametrize("authority", ["other.example", DOMAIN, "127.0.0.1"])
async def test_two_hosts_in_one_request_reach_no_function(
    gateway: TriggerGateway, authority: str
) -> None:
    """The target's counts, says RFC 9112 (3.2.2); a proxy before us may go by either."""
    answer = await gateway.ask(f"http://{authority}/http/f")
    assert answer.status in {400, 404}
    assert gateway.seen == []


async def test_a_target_with_its_own_host_is_a_request_as_ever(gateway: TriggerGateway) -> None:
    answer = await gateway.ask(f"http://{HOST}/http/f/x?a=1")
    assert answer.status == 200
    assert gateway.seen[0].args["path"] == "/http/f/x"


async def test_transfer_codings_that_are_not_taken_off_are_refused(gateway: TriggerGateway) -> None:
    headers = (TEXT, "transfer-encoding: gzip, chunked")
    request = raw_request("/http/f", method="POST", headers=headers)
    answer = await gateway.exchange(request + chunks(gzip.compress(b"abc")))
    assert answer.status in {400, 501}
    assert gateway.seen == []


@pytest.mark.parametrize("version", [b"HTTP/2.0", b"HTTP/0.9"])
async def test_an_answer_has_a_version_that_we_speak(
    gateway: TriggerGateway, version: bytes
) -> None:
    async with gateway.connect() as wire:
        await wire.send(raw_request("/http/f").replace(b"HTTP/1.1", version))
        async with asyncio.timeout(10):
            assert not (await wire.reader.read()).startswith(version)


# --- by an HTTP client -----------------------------------------------------------------------


@pytest.fixture
async def client(gateway: TriggerGateway) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(
        f"http://127.0.0.1:{gateway.port}", headers={"host": HOST}, auto_decompress=False
    ) as session:
        yield session


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        ("GET", "/http/f?a=1&a=2", {}, 200),
        ("POST", "/http/f", {"json": {"a": "云"}}, 200),
        ("PUT", "/http/f", {"data": {"a": "b c"}}, 200),
        ("DELETE", "/http/f", {}, 200),
        ("POST", "/http/f", {"data": "a" * 4096}, 200),
        ("POST", "/http/f", {"data": "云" * 1366}, 413),
        ("POST", "/http/f", {"data": "a" * 4097, "compress": "gzip"}, 413),
        ("POST", "/http/f", {"data": "a" * 4096, "compress": "deflate"}, 200),
        ("POST", "/http/f", {"data": "a" * 4096, "chunked": True}, 200),
        ("POST", "/http/f", {"data": b"\x00"}, 415),
        ("POST", "/http/f", {"data": "a", "expect100": True}, 200),
        ("PATCH", "/http/f", {"data": "a"}, 405),
        ("HEAD", "/http/f", {}, 405),
        ("OPTIONS", "/http/f", {}, 405),
        ("GET", "/http/no", {}, 404),
    ],
)
async def test_an_http_client_sees_the_same(
    gateway: TriggerGateway,
    client: aiohttp.ClientSession,
    method: str,
    path: str,
    options: dict[str, Any],
    status: int,
) -> None:
    for _ in range(2):  # over one kept connection
        async with client.request(method, path, **options) as answer:
            assert answer.status == status, await answer.text()
            assert answer.headers["request-id"]
            assert answer.headers["content-disposition"] == "attachment"
            await answer.read()
    assert len(gateway.seen) == (2 if status == 200 else 0)


async def test_an_http_client_sees_a_composed_answer(
    gateway: TriggerGateway, client: aiohttp.ClientSession
) -> None:
    headers = {"Set-Cookie": ["a=1", "b=2"], "Location": "/x", "Content-Length": 3}
    gateway.returns({**COMPOSED, "statusCode": 302, "headers": headers, "body": "云"})
    async with client.get("/http/f", allow_redirects=False) as answer:
        assert answer.status == 302
        assert answer.headers["location"] == "/x"
        assert CIMultiDict(answer.headers).getall("set-cookie") == ["a=1", "b=2"]
        assert await answer.text() == "云"
