"""Whatever clients send and functions return: one well-formed answer for each request, no 500, no hang.

Cases come from seeded generators, so that every run sends the same bytes. Answers are read by a parser that
shares nothing with the server.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest

from sandbox.spawners.memory import MemoryContext
from tests.harness.composed_responses import composed_response
from tests.harness.random_requests import GOOD, HOST, Case, well_formed
from tests.harness.strict_http import WireAnswer
from tests.harness.trigger_gateway import (
    DOMAIN,
    Raw,
    TriggerGateway,
    open_gateway,
    raw_request,
    serves,
)
from tests.harness.wire import Wire

pytestmark = pytest.mark.integration

WELL_FORMED = 10_000
COMPOSED = 10_000
MUTATED = 5_000
BATCH = 40
"""Requests that are under way over one connection."""

OURS = frozenset(
    {"content-type", "content-disposition", "x-content-type-options"}
    | {"content-length", "date", "server", "request-id", "allow", "accept-encoding"}
)


@pytest.fixture
async def gateway() -> AsyncIterator[TriggerGateway]:
    # No limit but that of a body is met; a body that mutation made endless must end soon.
    async with open_gateway(body_timeout_s=0.2) as gateway:
        yield gateway


def check_fields(answer: WireAnswer) -> None:
    """What holds for every answer that our handler gives."""
    assert answer.status != 500, answer
    assert re.fullmatch(r"[0-9a-f]{28}", answer.get("request-id") or ""), answer
    assert answer.get("server") == "yunhan"
    assert answer.get("date")


# --- requests that are well-formed -------------------------------------------------------------


async def pipelined(
    gateway: TriggerGateway, cases: Sequence[Case], check: Callable[[int, WireAnswer], None]
) -> None:
    """Many cases over one connection, with one answer each and nothing more."""
    for start in range(0, len(cases), BATCH):
        batch = cases[start : start + BATCH]
        number = start
        async for answer in gateway.pipeline(
            [case.data for case in batch], [case.method for case in batch]
        ):
            check_fields(answer)
            check(number, answer)
            number += 1
        assert number == start + len(batch)


async def test_well_formed_requests_are_answered_as_the_rules_say(gateway: TriggerGateway) -> None:
    """Status and arguments are those of a model that is written down here a second time."""
    draw = random.Random(20200415)
    cases = [well_formed(draw) for _ in range(WELL_FORMED)]
    answered = 0

    def check(number: int, answer: WireAnswer) -> None:
        nonlocal answered
        answered += 1
        case = cases[number]
        assert answer.status in case.status, (case, answer)
        assert answer.get("content-disposition") == "attachment"
        if case.status != GOOD and case.method != "HEAD":
            assert json.loads(answer.body)["requestId"] == answer.get("request-id")

    await pipelined(gateway, cases, check)
    assert answered == WELL_FORMED
    expected = [case.args for case in cases if case.args is not None]
    assert len(gateway.seen) == len(expected) > WELL_FORMED / 3
    for seen, args in zip(gateway.seen, expected, strict=True):
        given = dict(seen.args)
        is_base64 = given.pop("isBase64Encoded")
        given["body"] = b64decode(given["body"]) if is_base64 else given["body"].encode()
        assert given == args
    await serves(gateway)


# --- composed responses -----------------------------------------------------------------------


async def test_composed_responses_never_leave_their_frame(gateway: TriggerGateway) -> None:
    """What a function returns is sent as it is meant, or not at all."""
    draw = random.Random(4096)
    values = [composed_response(draw) for _ in range(COMPOSED)]
    statuses: dict[int, int] = {}

    def script(context: MemoryContext) -> Raw:
        number = int(context.args["queryStringParameters"]["n"])
        # As in JavaScript: lone surrogates are escaped.
        return Raw(text=json.dumps(values[number]).encode())

    def check(number: int, answer: WireAnswer) -> None:
        statuses[answer.status] = statuses.get(answer.status, 0) + 1
        check_composed(values[number], answer, shared=number % 2 == 0)

    gateway.script = script
    cases = [
        Case(
            data=raw_request(f"/http/f?n={number}", host=DOMAIN if number % 2 else HOST),
            method="GET",
            status=GOOD,
            args=None,
        )
        for number in range(COMPOSED)
    ]
    await pipelined(gateway, cases, check)
    assert sum(statuses.values()) == COMPOSED
    assert len(gateway.seen) == COMPOSED
    assert COMPOSED / 5 < statuses[502] < COMPOSED * 4 / 5, "both sides of the rules are drawn"
    await serves(gateway)


def check_composed(value: dict[str, Any], answer: WireAnswer, *, shared: bool) -> None:
    if shared:
        assert answer.get("content-disposition") == "attachment"
        assert answer.get("x-content-type-options") == "nosniff"
    names = {name for name, _ in answer.fields} - OURS
    assert not any("injected" in name for name in names), (value, answer)
    if answer.status == 502 and answer.body.startswith(b'{"success":false'):
        assert names == set()
        return
    assert answer.status == int(value.get("statusCode") or 200)
    assert names <= {name.lower() for name in value.get("headers") or {}}
    body = value.get("body") or ""
    if answer.status in {204, 205, 304}:
        assert answer.body == b""
    elif value.get("isBase64Encoded") is True:
        assert answer.body == b64decode(body)
    else:
        assert answer.body == re.sub("[\ud800-\udfff]", "?", body).encode()


# --- requests that are anything ---------------------------------------------------------------

PIECES = (
    b"\r\n", b"\r\n\r\n", b"\n", b"\r", b"\x00", b"\xff", b" ", b"\t", b":", b"%", b"%0d%0a", b"#", b"?",
    b"//", b"/..", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9.9", b"GET ", b"GET / HTTP/1.1\r\n\r\n", b"host: x\r\n",
    b"content-length: 5\r\n", b"content-length: 0\r\n", b"Content-Length : 9\r\n",
    b"content-length: 1e9\r\n", b"transfer-encoding: chunked\r\n", b"transfer-encoding: gzip, chunked\r\n",
    b"Transfer-Encoding: x\r\n", b"connection: close\r\n", b"connection: upgrade\r\nupgrade: websocket\r\n",
    b"upgrade: h2c\r\n", b"expect: 100-continue\r\n", b"expect: x\r\n", b"content-encoding: gzip\r\n",
    b"0\r\n\r\n", b"ffffffff\r\n", b"FOO ", b"CONNECT ", b"PRI * HTTP/2.0\r\n\r\n", b"http://x/",
    b"http://[", b"*", b"x" * 9000, b"a: b\r\n" * 200, b"a: b\r\n c\r\n", b"trailer: x\r\n",
)  # fmt: skip
SENTINEL = raw_request("/http/f/below?sentinel", headers=("connection: close",))


def mutated(draw: random.Random) -> bytes:
    data = bytearray(b"".join(well_formed(draw).data for _ in range(draw.choice([1, 1, 2]))))
    for _ in range(draw.choice([1, 1, 2, 3, 8])):
        at = draw.randrange(len(data) + 1)
        end = min(len(data), at + draw.choice([0, 0, 1, 1, 2, 16, 200]))
        match draw.randrange(5):
            case 0:
                data[at:end] = draw.choice(PIECES)
            case 1:
                data[at:end] = bytes(draw.choices(range(256), k=draw.randrange(5)))
            case 2:
                del data[at:end]
            case 3:  # where a line ends is where a rule begins
                ends = [found.end() for found in re.finditer(rb"\r\n", bytes(data))] or [0]
                place = draw.choice(ends)
                data[place:place] = draw.choice(PIECES)
            case _:
                data[at:at] = data[at:end] * draw.choice([1, 2])
    return bytes(data)


async def provoke(gateway: TriggerGateway, data: bytes) -> list[int]:
    """Send anything and a good request behind it; the statuses that came, all well-formed."""
    statuses: list[int] = []
    async with gateway.connect() as wire:
        with suppress(ConnectionError):
            await wire.send(data + b"\r\n\r\n" + SENTINEL)
        while (answer := await _next(wire)) is not None:
            assert answer.status != 500, (data, answer)
            if answer.status == 100:
                continue
            assert answer.get("request-id"), (data, answer)
            statuses.append(answer.status)
            if answer.status >= 400 and not answer.closes and wire.writer.can_write_eof():
                wire.writer.write_eof()  # the rest of a refused body would be waited for
    return statuses


async def _next(wire: Wire) -> WireAnswer | None:
    """None at the end of the connection. Raises NotHttpError, and TimeoutError for a hang."""
    try:
        return await wire.answer()
    except EOFError:
        assert wire.unread == b"", wire.unread
        return None


async def test_mutated_requests_get_well_formed_answers_or_the_end(gateway: TriggerGateway) -> None:
    draw = random.Random(8700)
    # Answers to HEAD have no body, and whether it was HEAD is what mutation has made of it.
    cases = [data for _ in range(MUTATED * 2) if b"HEAD" not in (data := mutated(draw))][:MUTATED]
    assert len(cases) == MUTATED
    queue = list(reversed(cases))
    seen: dict[int, int] = {}
    silent = 0

    async def client() -> None:
        nonlocal silent
        while queue:
            data = queue.pop()
            statuses = await provoke(gateway, data)
            if not statuses:  # not even its version is ours
                assert re.search(rb"HTTP/[02]|GET /[^ ]*\r\n", data), data
                silent += 1
            for status in statuses:
                seen[status] = seen.get(status, 0) + 1

    async with asyncio.TaskGroup() as group:
        for _ in range(50):
            group.create_task(client())
    assert silent < MUTATED / 50
    assert sum(seen.values()) >= MUTATED - silent
    assert {200, 400, 404, 405, 408, 413, 415} <= seen.keys(), seen
    await serves(gateway)
