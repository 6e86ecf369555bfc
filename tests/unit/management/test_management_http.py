"""What is no business of a single action: refusals over HTTP, bounds of bodies, bare requests."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession

from runtime.settings import Settings
from tests.unit.management_support import Bench
from tests.unit.signed_requests import (
    ACCESS_KEY,
    FORM,
    Answer,
    SignedRequest,
    acs3_request,
    rpc_v1_request,
)

BODY_MAX = 2000


@pytest.fixture
def bench() -> Bench:
    return Bench(settings=Settings(management_body_max_bytes=BODY_MAX))


def both(url: str, key: tuple[str, str] = ACCESS_KEY) -> list[SignedRequest]:
    host = url.removeprefix("http://")
    return [
        rpc_v1_request("ListSpace", {}, key=key),
        rpc_v1_request("ListSpace", {}, key=key, method="GET"),
        rpc_v1_request("ListSpace", {"PageNum": "1"}, key=key, split=True),
        acs3_request(host, "ListSpace", {}, key=key),
        acs3_request(host, "ListSpace", {"PageNum": "1"}, key=key, query={"SpaceIds": "a b"}),
    ]


def refused(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.code) == (status, code)
    assert set(answer.body) == {"RequestId", "HostId", "Code", "Message"}
    assert answer.headers["request-id"] == answer.body["RequestId"]


async def test_good_requests_and_their_replay(session: ClientSession, url: str) -> None:
    for request in both(url):
        assert (await request.send(session, url)).status == 200
        refused(await request.send(session, url), 400, "SignatureNonceUsed")


async def test_wrong_secret_and_unknown_key(session: ClientSession, url: str) -> None:
    for request in both(url, (ACCESS_KEY[0], "wrong")):
        refused(await request.send(session, url), 400, "SignatureDoesNotMatch")
    for request in both(url, ("nobody", ACCESS_KEY[1])):
        refused(await request.send(session, url), 404, "InvalidAccessKeyId.NotFound")


async def test_an_old_request(session: ClientSession, bench: Bench, url: str) -> None:
    requests = both(url)
    bench.clock.advance(3600)
    for request in requests:
        refused(await request.send(session, url), 400, "InvalidTimeStamp.Expired")


async def test_another_version(session: ClientSession, url: str) -> None:
    host = url.removeprefix("http://")
    for request in (
        rpc_v1_request("ListSpace", {}, version="2020-01-01"),
        acs3_request(host, "ListSpace", {}, version="2020-01-01"),
    ):
        refused(await request.send(session, url), 400, "InvalidVersion")


async def test_a_bare_request_gets_json(session: ClientSession, url: str) -> None:
    for method in ("GET", "POST"):
        answer = await SignedRequest(method).send(session, url)
        refused(answer, 400, "MissingAccessKeyId")


async def test_the_largest_body(session: ClientSession, url: str) -> None:
    for size, status, code in (
        (BODY_MAX, 400, "MissingAccessKeyId"),
        (BODY_MAX + 1, 413, "RequestContentLength.Exceeded"),
    ):
        body = b"X=" + b"x" * (size - 2)
        request = SignedRequest("POST", body=body, headers={"Content-Type": FORM})
        refused(await request.send(session, url), status, code)


async def test_a_body_without_a_length_is_bounded_too(session: ClientSession, url: str) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 1000

    async with session.post(url, data=endless(), headers={"Content-Type": FORM}) as response:
        assert response.status == 413
        assert (await response.json())["Code"] == "RequestContentLength.Exceeded"


@pytest.mark.parametrize("body", [b"a=%ff", b"\xff\xfe", b"Action", b"a=1&&b=2", b"&"])
async def test_malformed_forms(session: ClientSession, url: str, body: bytes) -> None:
    request = SignedRequest("POST", body=body, headers={"Content-Type": FORM})
    refused(await request.send(session, url), 400, "InvalidBody.Format")


async def test_a_malformed_query(session: ClientSession, url: str) -> None:
    refused(await SignedRequest("GET", query="a=%ff").send(session, url), 400, "InvalidBody.Format")


async def test_other_content_types(session: ClientSession, url: str) -> None:
    for content_type in ("application/json", "multipart/form-data; boundary=x", "text/plain"):
        request = rpc_v1_request("ListSpace", {})
        request.headers["Content-Type"] = content_type
        refused(await request.send(session, url), 400, "InvalidRequestContentType")


async def test_a_security_token_changes_nothing(session: ClientSession, url: str) -> None:
    request = rpc_v1_request("ListSpace", {"SecurityToken": "sts", "RegionId": "cn-hangzhou"})
    assert (await request.send(session, url)).status == 200


async def test_a_header_sent_twice_is_not_what_was_signed(session: ClientSession, url: str) -> None:
    request = acs3_request(url.removeprefix("http://"), "ListSpace", {})
    headers = [*request.headers.items(), ("x-acs-action", "DeleteSpace")]
    async with session.post(url, data=request.body or None, headers=headers) as response:
        assert (await response.json())["Code"] == "SignatureDoesNotMatch"
