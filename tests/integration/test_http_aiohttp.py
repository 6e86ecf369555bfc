"""The HTTP client for functions against servers on loopback, which a rule has to allow."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from runtime.backends.http_aiohttp import AiohttpHttpClient, _Pinned
from runtime.errors import CallerError, TargetRefusedError
from runtime.ports import HttpRequest, HttpResponse, HttpTraffic
from sandbox.api import EgressRules
from sandbox.egress.access import EgressAccess
from sandbox.egress.names import Names
from sandbox.egress.policy import EgressPolicy
from tests.unit.egress.spellings import LOOPBACK_AND_METADATA, ODDLY_SPELLED
from tests.unit.tls.tls_support import issue

pytestmark = pytest.mark.integration

PONG = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npong"


class Server:
    """Answers every request with the same bytes, then closes; keeps what it was sent."""

    def __init__(self, answer: bytes = PONG) -> None:
        self.answer = answer
        self.port = 0
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self.silent = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            self.heads.append(head)
            sizes = [line[15:] for line in head.lower().split("\r\n") if "content-length" in line]
            self.bodies.append(await reader.readexactly(int(sizes[0])) if sizes else b"")
            if self.silent:
                await reader.read()
            writer.write(self.answer)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client went away, as some tests want it
        finally:
            writer.close()

    @asynccontextmanager
    async def open(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self


def client(
    allow: str = "", lookup: Callable[[str], Sequence[str]] | None = None
) -> AiohttpHttpClient:
    policy = EgressPolicy.from_text(allow=allow)
    return AiohttpHttpClient(
        EgressAccess(policy=policy, names=Names(lookup) if lookup else Names())
    )


def get(url: str, **changes: Any) -> HttpRequest:
    parts: dict[str, Any] = {
        "method": "GET",
        "url": url,
        "headers": {},
        "body": b"",
        "response_max_bytes": 1024 * 1024,
        "timeout_s": 10.0,
        "egress": EgressRules(),
    }
    return HttpRequest(**{**parts, **changes})


async def exchange(answer: bytes, path: str = "/", **changes: Any) -> tuple[HttpResponse, Server]:
    async with Server(answer).open() as server:
        url = f"http://127.0.0.1:{server.port}{path}"
        return await client("127.0.0.1").send(get(url, **changes), HttpTraffic()), server


async def test_a_request_and_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    answer = (
        b"HTTP/1.1 404 Nope\r\nX-A: 1\r\nx-a: 2\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
        b"X-Odd: \xff\r\nContent-Length: 4\r\n\r\npong"
    )
    headers = {"X-H": "v", "Content-Length": "99", "Transfer-Encoding": "chunked", "TE": "x"}
    response, server = await exchange(
        answer, "/x?a=世 1#part", method="PUT", headers=headers, body=b"body"
    )
    assert (response.status, response.body) == (404, b"pong")
    assert response.headers == {
        "x-a": "1, 2",
        "set-cookie": ["a=1", "b=2"],
        "x-odd": "?",
        "content-length": "4",
    }
    head = server.heads[0]
    assert head.startswith("PUT /x?a=%E4%B8%96+1 HTTP/1.1\r\n")
    assert "X-H: v\r\n" in head
    assert head.lower().count("content-length: 4\r\n") == 1
    assert "content-length: 99" not in head.lower()
    for absent in ("transfer-encoding", "\nte:", "content-type", "cookie", "aiohttp"):
        assert absent not in head.lower()
    assert server.bodies == [b"body"]


@pytest.mark.parametrize(
    "answer",
    [
        PONG,
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(bytes(100_000)),
        b"HTTP/1.1 204 No Content\r\n\r\n",
    ],
    ids=["plain", "compressed", "nothing"],
)
async def test_traffic_is_what_the_other_side_saw(answer: bytes) -> None:
    traffic = HttpTraffic()
    async with Server(answer).open() as server:
        url = f"http://127.0.0.1:{server.port}/a?b=世"
        sent = get(url, method="POST", headers={"X-H": "v"}, body=b"x" * 10_000)
        await client("127.0.0.1").send(sent, traffic)
        seen = len(server.heads[0]) + len(server.bodies[0]) + len(answer)
    assert traffic == HttpTraffic(connections=1, bytes_moved=seen)


async def test_a_request_that_fails_has_its_traffic_too() -> None:
    traffic = HttpTraffic()
    answer = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 300_000
    async with Server(answer).open() as server:
        url = f"http://127.0.0.1:{server.port}/"
        with pytest.raises(CallerError):
            await client("127.0.0.1").send(get(url, response_max_bytes=1000), traffic)
        with pytest.raises(TargetRefusedError):
            await client().send(get(url), traffic)  # counted by who tells the function
    assert (traffic.connections, traffic.refused) == (1, 0)
    assert traffic.bytes_moved > 1000


async def test_a_redirect_is_an_answer() -> None:
    answer = b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"
    response, server = await exchange(answer)
    assert (response.status, response.headers["location"]) == (302, "http://169.254.169.254/")
    assert len(server.heads) == 1


async def test_a_compressed_body_comes_decompressed_and_says_so() -> None:
    packed = gzip.compress(b"hello")
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(
        packed
    )
    response, _ = await exchange(answer + packed)
    assert (response.body, dict(response.headers)) == (b"hello", {})


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n" + b"x" * 3000,
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 3000,
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(bytes(50_000_000)),
    ],
    ids=["length", "until the end", "bomb"],
)
async def test_an_answer_over_its_limit_is_not_read(answer: bytes) -> None:
    with pytest.raises(CallerError) as caught:
        await exchange(answer, response_max_bytes=2999)
    assert caught.value.code == "ResponseContentLength.Exceeded"


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-x\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npong",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nnot gzip",
    ],
    ids=["no http", "nothing", "cut", "long head", "not gzip"],
)
async def test_what_is_no_answer_fails(answer: bytes) -> None:
    with pytest.raises(CallerError) as caught:
        await exchange(answer)
    assert caught.value.code == "HttpProxy.Unreachable"


@pytest.mark.parametrize("headers", [{"X": "a\r\nB: c"}, {"X\r\nY": "a"}, {"X": "a\nB: c"}])
async def test_a_header_cannot_become_two(headers: dict[str, str]) -> None:
    with pytest.raises(CallerError, match="the request to 127") as caught:
        await exchange(PONG, headers=headers)
    assert caught.value.code == "HttpProxy.Unreachable"


async def test_an_answer_that_does_not_come() -> None:
    async with Server().open() as server:
        server.silent = True
        url = f"http://127.0.0.1:{server.port}/"
        with pytest.raises(CallerError) as caught:
            await client("127.0.0.1").send(get(url, timeout_s=0.05), HttpTraffic())
    assert caught.value.code == "HttpProxy.Timeout"


async def test_nobody_there() -> None:
    with socket.socket() as taken:  # bound, not listening
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(CallerError, match="ECONNREFUSED") as caught:
            await client("127.0.0.1").send(get(f"http://127.0.0.1:{port}/"), HttpTraffic())
    assert caught.value.code == "HttpProxy.Unreachable"


@pytest.mark.parametrize(
    "url",
    ["", "x", "ftp://x/", "file:///etc/passwd", "http://", "//x/", "http://x:0/", "http://[::1"],
)
async def test_what_is_no_url(url: str) -> None:
    with pytest.raises(CallerError) as caught:
        await client().send(get(url), HttpTraffic())
    assert caught.value.code == "InvalidParameter.url"


@pytest.mark.parametrize("host", [*LOOPBACK_AND_METADATA, *ODDLY_SPELLED, "①②⑦.0.0.1", "localhost"])
async def test_no_spelling_of_a_private_address_is_reached(host: str) -> None:
    """Whatever of it a URL takes for the host, with a resolver that knows every name. Nothing leaves the
    machine: public addresses, which some of the spellings mean after all, are closed as well."""
    policy = EgressPolicy.from_text(public=False)
    closed = AiohttpHttpClient(EgressAccess(policy=policy, names=Names(lambda _: ["127.0.0.1"])))
    async with Server().open() as server:
        with pytest.raises(CallerError) as caught:
            await closed.send(get(f"http://{host}:{server.port}/"), HttpTraffic())
        assert caught.value.code in {"HttpProxy.Refused", "InvalidParameter.url"}
        assert server.heads == []


async def test_a_name_is_looked_up_once_and_what_was_checked_is_dialled() -> None:
    looked_up: list[str] = []

    def rebinding(name: str) -> Sequence[str]:
        looked_up.append(name)
        return ["127.0.0.1"] if len(looked_up) == 1 else ["127.0.0.2"]

    async with Server().open() as server:
        allowed = client("127.0.0.1", rebinding)
        response = await allowed.send(get(f"http://two.example:{server.port}/"), HttpTraffic())
        assert response.body == b"pong"
        assert looked_up == ["two.example"]
        with pytest.raises(TargetRefusedError) as caught:
            await allowed.send(get(f"http://two.example:{server.port}/"), HttpTraffic())
    assert "two.example" in caught.value.message
    assert "127.0.0.2" not in caught.value.message, "what is behind a name is the operator's"


async def test_of_many_addresses_only_the_allowed_are_dialled() -> None:
    async with Server().open() as server:
        some = client("127.0.0.1", lambda _: ["10.0.0.1", "169.254.169.254", "127.0.0.1", "::1"])
        assert (
            await some.send(get(f"http://x.example:{server.port}/"), HttpTraffic())
        ).status == 200


async def test_a_certificate_that_nobody_vouches_for(tmp_path: Path) -> None:
    issued = issue("x.example")
    file = tmp_path / "pair.pem"
    file.write_text(issued.pem + issued.key_pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    server = Server()
    async with server.open(context):
        unverified = client("127.0.0.1", lambda _: ["127.0.0.1"])
        with pytest.raises(CallerError, match=r"x\.example:.* its certificate is not valid"):
            await unverified.send(get(f"https://x.example:{server.port}/"), HttpTraffic())
        assert server.heads == []


async def test_a_cancelled_request_leaves_nothing() -> None:
    async with Server().open() as server:
        server.silent = True
        url = f"http://127.0.0.1:{server.port}/"
        sending = asyncio.create_task(client("127.0.0.1").send(get(url), HttpTraffic()))
        while not server.heads:
            await asyncio.sleep(0)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending


def test_no_socket_is_made_for_what_was_not_checked() -> None:
    """Whatever aiohttp makes of a URL."""
    pinned = _Pinned([ip_address("192.0.2.1")], 80)
    for address, port in (("192.0.2.2", 80), ("192.0.2.1", 81), ("127.0.0.1", 80)):
        with pytest.raises(PermissionError):
            pinned.make_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, port)))
    made = pinned.make_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("192.0.2.1", 80)))
    made.close()
