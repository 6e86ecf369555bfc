"""Which requests reach which function: addresses, paths, methods, content types."""

from __future__ import annotations

import pytest

from tests.harness.trigger_gateway import (
    DOMAIN,
    LONG_PATH,
    OFF,
    OFF_DOMAIN,
    ON,
    PAUSED,
    TriggerGateway,
    raw_request,
)
from tests.harness.trigger_rules import (
    BAD_TYPE,
    CHUNKED,
    HOST,
    NOT_FOUND,
    NOT_IN_SERVICE,
    refused,
)

pytestmark = pytest.mark.integration


# --- addresses -------------------------------------------------------------------------------

ADDRESSES = [
    pytest.param(HOST, "/http/f", id="host name"),
    pytest.param(f"{HOST}:8700", "/http/f", id="host name with port"),
    pytest.param(f"{HOST.upper()}.", "/http/f", id="host name in capitals with a dot"),
    pytest.param(DOMAIN, "/http/f", id="custom domain"),
    pytest.param(f"{DOMAIN.title()}:443", "/http/f", id="custom domain in capitals with port"),
    pytest.param("127.0.0.1:8700", f"/trigger/{ON}/http/f", id="path form"),
    pytest.param("[::1]:8700", f"/trigger/{ON}/http/f", id="path form over IPv6"),
]


@pytest.mark.parametrize(("host", "target"), ADDRESSES)
async def test_three_forms_of_address_reach_the_same_function(
    gateway: TriggerGateway, host: str, target: str
) -> None:
    answer = await gateway.ask(f"{target}?a=1", host=host)
    assert (answer.status, answer.body) == (200, b"done")
    [seen] = gateway.seen
    assert (seen.function, seen.trigger_path, seen.args["path"]) == ("f", "/http/f", "/http/f")
    assert seen.args["headers"]["host"] == host


@pytest.mark.parametrize(
    ("host", "target", "code"),
    [
        (f"{OFF}.fn.localhost", "/http/f", NOT_IN_SERVICE),
        (OFF_DOMAIN, "/http/f", NOT_IN_SERVICE),
        ("x", f"/trigger/{OFF}/http/f", NOT_IN_SERVICE),
        (f"{PAUSED}.fn.localhost", "/http/f", NOT_IN_SERVICE),
        ("x", f"/trigger/{PAUSED}/http/f", NOT_IN_SERVICE),
        ("mp-other.fn.localhost", "/http/f", "InvalidSpaceId.NotFound"),
        (".fn.localhost", "/http/f", "InvalidSpaceId.NotFound"),
        (f"a.{HOST}", "/http/f", "NotFound"),
        ("fn.localhost", "/http/f", "NotFound"),
        (f"www.{DOMAIN}", "/http/f", "NotFound"),
        ("x", "/http/f", "NotFound"),
        ("x", "/trigger", "NotFound"),
        ("x", "/trigger/", "InvalidSpaceId.NotFound"),
        ("x", "/trigger//http/f", "InvalidSpaceId.NotFound"),
        ("x", f"/trigger/{ON.upper()}/http/f", "InvalidSpaceId.NotFound"),
        ("x", f"/trigger/{ON}%2Fhttp/f", "InvalidSpaceId.NotFound"),
        ("x", f"/trigger/{ON}", NOT_FOUND),
        ("x", f"/trigger/{'x' * 5000}/http/f", "InvalidSpaceId.NotFound"),
        (HOST, "/", NOT_FOUND),
        (HOST, "/client", NOT_FOUND),
        (HOST, "/healthz", NOT_FOUND),
        (HOST, f"/trigger/{ON}/http/f", NOT_FOUND),
    ],
)
async def test_every_other_address_is_404(
    gateway: TriggerGateway, host: str, target: str, code: str
) -> None:
    refused(await gateway.ask(target, host=host), 404, code)
    assert gateway.seen == []


async def test_the_gateway_itself_has_no_triggers_fields(gateway: TriggerGateway) -> None:
    answer = await gateway.ask("/healthz", host="127.0.0.1")
    assert (answer.status, answer.get("content-disposition")) == (200, None)


# --- paths -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "function", "path"),
    [
        ("/http/f", "f", "/http/f"),
        ("/http/f/", "f", "/http/f/"),
        ("/http/f/a/b", "f", "/http/f/a/b"),
        ("/http/f//", "f", "/http/f//"),
        ("/http/f//a", "f", "/http/f//a"),
        ("/http/f/below", "below", "/http/f/below"),
        ("/http/f/below/x", "below", "/http/f/below/x"),
        ("/http/f/belowx", "f", "/http/f/belowx"),
        ("/http/F", "upper", "/http/F"),
        ("/http/a.b-c_d", "dots", "/http/a.b-c_d"),
        ("/http/a%2eb-c_d", "dots", "/http/a.b-c_d"),
        ("/httpword/x", "word", "/httpword/x"),
        ("/%68ttp/%66", "f", "/http/f"),
        ("/http/f/%252e%252e", "f", "/http/f/%2e%2e"),
        ("/http/f/%252F", "f", "/http/f/%2F"),
        ("/http/f/%E4%BA%91", "f", "/http/f/云"),
        ("/http/f/a+b;c=1,~", "f", "/http/f/a+b;c=1,~"),
        ("/http/f/...", "f", "/http/f/..."),
        ("/http/f/%3Fa%23", "f", "/http/f/?a#"),
        (LONG_PATH, "long", LONG_PATH),
        (f"{LONG_PATH}/y", "long", f"{LONG_PATH}/y"),
    ],
)
async def test_the_longest_path_on_whole_segments_wins(
    gateway: TriggerGateway, target: str, function: str, path: str
) -> None:
    answer = await gateway.ask(target)
    assert answer.status == 200
    [seen] = gateway.seen
    assert (seen.function, seen.args["path"]) == (function, path)


@pytest.mark.parametrize(
    "target",
    [
        "/http",
        "/http/",
        "/http/fx",
        "/http//f",
        "//http/f",
        "/HTTP/f",
        "/http/no",
        "/http/f/.",
        "/http/f/..",
        "/http/f/../f",
        "/./http/f",
        "/http/f/%2e%2e/x",
        "/http/f/%2E./x",
        "/http%2ff",
        "/http%2Ff",
        "/http/f/%2F",
        "/http/f/a\\b",
        "/http/f/%5c",
        "/http/f/%00",
        "/http/f/%0d%0aX:%201",
        "/http/f/%7f",
        "/http/f/%",
        "/http/f/%4",
        "/http/f/%zz",
        "/http/f/%ff",
        "/http/f/%c0%ae",
        "/http/f/%ed%a0%80",
        f"{LONG_PATH}x",
        "/http/hidden",
    ],
)
async def test_a_path_that_two_readers_may_read_differently_is_unknown(
    gateway: TriggerGateway, target: str
) -> None:
    refused(await gateway.ask(target), 404, NOT_FOUND)
    assert gateway.seen == []


async def test_a_function_without_code_is_404(gateway: TriggerGateway) -> None:
    refused(await gateway.ask("/http/no-code"), 404, "FunctionNotDeployed")


# --- methods ---------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
async def test_four_methods_reach_the_function(gateway: TriggerGateway, method: str) -> None:
    answer = await gateway.ask(method=method)
    assert answer.status == 200
    assert gateway.seen[0].args["httpMethod"] == method


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PATCH", "TRACE", "PROPFIND", "QUERY"])
async def test_other_methods_are_refused_and_the_connection_goes_on(
    gateway: TriggerGateway, method: str
) -> None:
    async with gateway.connect() as wire:
        await wire.send(raw_request("/http/f", method=method))
        answer = await wire.answer(method=method)
        assert answer.get("allow") == "GET, POST, PUT, DELETE"
        if method == "HEAD":
            assert (answer.status, answer.body) == (405, b"")
        else:
            refused(answer, 405, "InvalidMethod.Format")
        assert len(gateway.seen) == 0
        await wire.send(raw_request("/http/f"))
        assert (await wire.answer()).body == b"done"


@pytest.mark.parametrize("method", ["FOO", "get", "G T"])
async def test_what_is_no_method_ends_the_connection(gateway: TriggerGateway, method: str) -> None:
    async with gateway.connect() as wire:
        await wire.send(raw_request("/http/f", method=method))
        [answer] = await wire.rest()
    assert answer.status in {400, 405, 501}
    assert answer.get("request-id")
    assert gateway.seen == []


# --- content types ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON; charset=UTF-8",
        "application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded;charset=gbk",
        "text/plain",
        "text/xml",
        "TEXT/XML; charset=utf-8",
        'text/x-any.thing+xml ; a="b;c"',
    ],
)
async def test_allowed_content_types(gateway: TriggerGateway, content_type: str) -> None:
    answer = await gateway.ask(
        method="POST", headers=(f"Content-Type: {content_type}",), body=b'{"a":1}'
    )
    assert answer.status == 200
    assert gateway.seen[0].args["body"] == '{"a":1}'
    assert gateway.seen[0].args["headers"]["content-type"] == content_type


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "application/xml",
        "application/jsonx",
        "application/octet-stream",
        "application/json, text/plain",
        "multipart/form-data; boundary=x",
        "image/png",
        "text",
        "text/",
        "/xml",
        "text/plain garbage",
        "text/*",
    ],
)
async def test_refused_content_types(gateway: TriggerGateway, content_type: str | None) -> None:
    headers = () if content_type is None else (f"content-type: {content_type}",)
    answer = await gateway.ask(method="POST", headers=headers, body=b"x")
    if content_type == "text/*":  # an asterisk is a letter of tokens
        assert answer.status == 200
        return
    refused(answer, 415, BAD_TYPE)
    assert gateway.seen == []


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ((), None),
        ((), b""),
        (("content-type: image/png",), None),
        (("content-type: image/png",), b""),
        (("content-type: image/png", CHUNKED), b"0\r\n\r\n"),
        (("content-type: text/plain", "content-encoding: gzip"), b""),
    ],
)
async def test_without_a_body_the_type_is_not_looked_at(
    gateway: TriggerGateway, method: str, headers: tuple[str, ...], body: bytes | None
) -> None:
    if CHUNKED in headers:
        answer = await gateway.exchange(
            raw_request("/http/f", method=method, headers=headers) + (body or b"")
        )
    else:
        answer = await gateway.ask(method=method, headers=headers, body=body)
    assert answer.status == 200
    args = gateway.seen[0].args
    assert (args["body"], args["isBase64Encoded"]) == ("", False)


@pytest.mark.parametrize(
    "twice",
    [
        ("content-type: text/plain", "content-type: text/plain"),
        ("content-type: text/plain", "content-type: image/png"),
    ],
)
async def test_a_content_type_sent_twice_never_reaches_a_function(
    gateway: TriggerGateway, twice: tuple[str, ...]
) -> None:
    answer = await gateway.ask(method="POST", headers=twice, body=b"x")
    assert answer.status in {400, 415}
    assert gateway.seen == []
