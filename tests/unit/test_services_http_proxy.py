"""Requests that the worker sends for functions: what is read, what is answered, what is bounded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from runtime.errors import CallerError, InvalidParameterError, OverloadedError, TargetRefusedError
from runtime.ports import HttpClient, HttpRequest, HttpResponse
from runtime.services.function_calls import FunctionCalls
from runtime.services.http_proxy import HttpProxy, HttpProxyLimits
from runtime.services.methods import HTTP_REQUEST
from runtime.slots import Slots
from runtime.testing.queue import sample_job


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

    async def send(self, request: HttpRequest) -> HttpResponse:
        self.sent.append(request)
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return self.response


async def ask(client: HttpClient, **params: Any) -> Any:
    return json.loads(await HttpProxy(client).request("mp-1", params))


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
    limits = HttpProxyLimits(under_way_max=3, under_way_max_per_space=2)
    proxy = HttpProxy(client, limits)
    params = {"url": "http://x/"}
    async with asyncio.TaskGroup() as tasks:
        for space_id in ("one", "one", "two"):
            tasks.create_task(proxy.request(space_id, params))
        await asyncio.sleep(0)
        for space_id in ("one", "two"):
            with pytest.raises(OverloadedError):
                await proxy.request(space_id, params)
        assert len(client.sent) == 3
        client.go.set()
    client.error = CallerError("X", "x")
    for _ in range(5):  # failed ones give their place back, too
        with pytest.raises(CallerError, match="x"):
            await proxy.request("one", params)


async def test_a_refusal_is_an_error_for_the_code_and_a_line_for_its_author() -> None:
    client = Scripted(error=TargetRefusedError("10.0.0.1:80", "10.0.0.1 is a private address"))
    calls = FunctionCalls(
        directory=None,  # type: ignore[arg-type]
        jobs=None,  # type: ignore[arg-type]
        http=HttpProxy(client),
        depth_max=3,
    )
    noted: list[str] = []
    slot = await Slots(1).take()
    answer = json.loads(
        await calls.answer_function(
            sample_job(),
            slot,
            HTTP_REQUEST,
            b'{"url":"http://10.0.0.1/","method":"GET"}',
            user_id=None,
            note=noted.append,
        )
    )
    said = "connection to 10.0.0.1:80 refused: 10.0.0.1 is a private address"
    assert answer["error"] == {"code": "HttpProxy.Refused", "message": said}
    assert noted == [said]
