"""Requests that the worker sends for functions: what is read, what is answered, what is bounded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from runtime.errors import CallerError, InvalidParameterError, OverloadedError, TargetRefusedError
from runtime.ports import HttpClient, HttpRequest, HttpResponse, HttpTraffic
from runtime.services.function_calls import FunctionCalls
from runtime.services.http_proxy import HttpProxy
from runtime.services.methods import HTTP_REQUEST
from runtime.settings import Settings
from runtime.slots import Slots
from runtime.testing.queue import sample_job
from runtime.wiring.limits import http_proxy_limits
from sandbox.api import EgressRules
from tests.harness.clock import FakeClock
from tests.harness.service_calls import parts_of_nobody

LIMITS = http_proxy_limits(Settings())
EGRESS = EgressRules(inherit=False, allow=("db.internal",))


class Scripted(HttpClient):
    """Answers every request alike, once `go` is set."""

    def __init__(
        self,
        body: bytes = b"pong",
        headers: Mapping[str, str | Sequence[str]] | None = None,
        error: Exception | None = None,
    ) -> None:
        self.response = HttpResponse(status=201, headers=headers or {}, body=body)
        self.error = error
        self.sent: list[HttpRequest] = []
        self.go = asyncio.Event()
        self.go.set()

    async def send(self, request: HttpRequest, traffic: HttpTraffic) -> HttpResponse:
        self.sent.append(request)
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return self.response


async def ask(client: HttpClient, **params: Any) -> Any:
    answer = await HttpProxy(client, LIMITS).request("mp-1", params, HttpTraffic(), egress=EGRESS)
    return json.loads(answer)


async def test_a_request_as_the_sdk_sends_it() -> None:
    client = Scripted(headers={"date": "today", "set-cookie": ["a=1", "b=2"]})
    headers = {"Content-Type": "application/json", "X-Count": 3}
    answer = await ask(client, method="post", url="http://x/y", body='{"a":"世"}', headers=headers)
    assert answer == {
        "status": 201,
        "headers": {"date": "today", "set-cookie": ["a=1", "b=2"]},
        "data": "pong",
    }
    assert client.sent == [
        HttpRequest(
            method="POST",
            url="http://x/y",
            headers={"Content-Type": "application/json", "X-Count": "3"},
            body='{"a":"世"}'.encode(),
            response_max_bytes=6 * 1024 * 1024,
            timeout_s=30.0,
            egress=EGRESS,
        )
    ]


async def test_body_and_headers_may_be_missing() -> None:
    client = Scripted()
    await ask(client, method="GET", url="http://x/")
    assert (client.sent[0].body, client.sent[0].headers) == (b"", {})


@pytest.mark.parametrize(
    ("content_type", "body", "data"),
    [
        ("text/plain", "世".encode(), "世"),
        ("text/plain; charset=GBK", "世".encode("gbk"), "世"),
        ('text/xml; Charset = "big5"', "世".encode("big5"), "世"),
        ("text/plain; charset=iso-8859-1", b"caf\xe9", "café"),
        ("application/json; charset=punycode", b"a-b", "a-b"),
        ("text/plain; charset=nonsense", "世".encode(), "世"),
        ("image/png", b"\x89PNG\xff", "\ufffdPNG\ufffd"),
        ("", b"", ""),
    ],
)
async def test_the_body_becomes_text(content_type: str, body: bytes, data: str) -> None:
    answer = await ask(Scripted(body, {"content-type": content_type}), url="http://x/")
    assert answer["data"] == data


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"url": None},
        {"url": 5},
        {"url": "http://x/" + "a" * 8192},
        {"url": "http://x/", "method": "CONNECT"},
        {"url": "http://x/", "method": "GET / HTTP/1.1\r\nX: y"},
        {"url": "http://x/", "method": 1},
        {"url": "http://x/", "body": {"a": 1}},
        {"url": "http://x/", "headers": ["a"]},
        {"url": "http://x/", "headers": {"a": None}},
        {"url": "http://x/", "headers": {"": "a"}},
        {"url": "http://x/", "headers": {"a:": "a"}},
        {"url": "http://x/", "headers": {"世": "a"}},
        {"url": "http://x/", "headers": {"a": "b\r\nc: d"}},
        {"url": "http://x/", "headers": {"a": "b\nc: d"}},
        {"url": "http://x/", "headers": {"a": "\ud800"}},
        {"url": "http://x/", "headers": {"a": True}},
        {"url": "http://x/", "headers": {f"h{number}": "" for number in range(65)}},
        {"url": "http://x/", "headers": {"a": "b" * 17_000}},
    ],
)
async def test_what_is_no_request_is_not_sent(params: dict[str, Any]) -> None:
    client = Scripted()
    with pytest.raises(InvalidParameterError):
        await ask(client, **params)
    assert client.sent == []


async def test_a_body_over_the_limit_is_not_sent() -> None:
    client = Scripted()
    with pytest.raises(CallerError, match="1048577 bytes, the limit is 1048576"):
        await ask(client, url="http://x/", method="POST", body="x" * (1024 * 1024 + 1))
    await ask(client, url="http://x/", method="POST", body="x" * 1024 * 1024)
    assert len(client.sent) == 1


async def test_a_space_is_bounded_before_the_worker_and_takes_no_others_share() -> None:
    client = Scripted()
    client.go.clear()
    limits = replace(LIMITS, under_way_max=3, under_way_max_per_space=2)
    proxy = HttpProxy(client, limits)
    params = {"url": "http://x/"}
    async with asyncio.TaskGroup() as tasks:
        for space_id in ("one", "one", "two"):
            tasks.create_task(proxy.request(space_id, params, HttpTraffic(), egress=EGRESS))
        await asyncio.sleep(0)
        for space_id in ("one", "two"):
            with pytest.raises(OverloadedError):
                await proxy.request(space_id, params, HttpTraffic(), egress=EGRESS)
        assert len(client.sent) == 3
        client.go.set()
    client.error = CallerError("X", "x")
    for _ in range(5):  # failed ones give their place back, too
        with pytest.raises(CallerError, match="x"):
            await proxy.request("one", params, HttpTraffic(), egress=EGRESS)


async def test_a_refusal_is_an_error_for_the_code_and_a_line_for_its_author() -> None:
    client = Scripted(error=TargetRefusedError("10.0.0.1:80", "10.0.0.1 is a private address"))
    parts = parts_of_nobody(FakeClock())
    calls = FunctionCalls(
        directory=None,  # type: ignore[arg-type]
        jobs=None,  # type: ignore[arg-type]
        http=HttpProxy(client, LIMITS),
        depth_max=3,
        async_calls=None,  # type: ignore[arg-type]
        documents=None,  # type: ignore[arg-type]
        profiles=parts.profiles,
        files=parts.files.calls,
        files_host="http://files.test/oss",
        redis=parts.redis,
    )
    noted: list[str] = []
    traffic = HttpTraffic()
    slot = await Slots(1).take()
    answer = json.loads(
        await calls.answer_function(
            replace(sample_job(), egress=EGRESS),
            slot,
            HTTP_REQUEST,
            b'{"url":"http://10.0.0.1/","method":"GET"}',
            user_id=None,
            note=noted.append,
            traffic=traffic,
        )
    )
    said = "connection to 10.0.0.1:80 refused: 10.0.0.1 is a private address"
    assert answer["error"] == {"code": "HttpProxy.Refused", "message": said}
    assert noted == [said]
    assert client.sent[0].egress == EGRESS
    assert traffic == HttpTraffic(refused=1)


def test_every_bound_is_a_setting() -> None:
    settings = Settings(
        http_proxy_url_max_bytes=1,
        http_proxy_headers_max=2,
        http_proxy_headers_max_bytes=3,
        http_proxy_request_max_bytes=4,
        http_proxy_response_max_bytes=5,
        http_proxy_timeout_s=6.0,
        http_proxy_under_way_max=8,
        http_proxy_under_way_max_per_space=7,
    )
    assert [
        getattr(http_proxy_limits(settings), name)
        for name in (
            "url_max_bytes",
            "headers_max",
            "headers_max_bytes",
            "request_max_bytes",
            "response_max_bytes",
            "timeout_s",
            "under_way_max",
            "under_way_max_per_space",
        )
    ] == [1, 2, 3, 4, 5, 6.0, 8, 7]


def test_a_space_has_no_more_than_the_worker() -> None:
    with pytest.raises(ValueError, match="PER_SPACE=9 must not be greater"):
        Settings(http_proxy_under_way_max=8, http_proxy_under_way_max_per_space=9)
