"""From a function's result to the answer of an HTTP trigger: plain results and composed responses."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest

from tests.harness.strict_http import WireAnswer
from tests.harness.trigger_gateway import (
    DOMAIN,
    ON,
    Raw,
    TriggerGateway,
    open_gateway,
    raw_request,
)
from tests.harness.trigger_rules import (
    COMPOSED,
    HOST,
    ILL_FORMED,
    TOO_LONG,
    refused,
)

pytestmark = pytest.mark.integration


# --- results ---------------------------------------------------------------------------------

JSON_TYPE = "application/json; charset=utf-8"
TEXT_TYPE = "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("value", "content_type", "body"),
    [
        ("text", TEXT_TYPE, b"text"),
        ("云", TEXT_TYPE, "云".encode()),
        ("", TEXT_TYPE, b""),
        ("<b>", TEXT_TYPE, b"<b>"),
        ("null", TEXT_TYPE, b"null"),
        ({"a": [1]}, JSON_TYPE, b'{"a":[1]}'),
        ([], JSON_TYPE, b"[]"),
        ([1, "2"], JSON_TYPE, b'[1,"2"]'),
        (0, JSON_TYPE, b"0"),
        (1.5, JSON_TYPE, b"1.5"),
        (True, JSON_TYPE, b"true"),
        (False, JSON_TYPE, b"false"),
        (None, TEXT_TYPE, b""),
        (Raw(text=b""), TEXT_TYPE, b""),
        (Raw(text=b'"\\ud800"'), TEXT_TYPE, b"?"),
        (Raw(text=b'{"a":1e400}'), JSON_TYPE, b'{"a":1e400}'),
        (Raw(text=b"12345678901234567890123"), JSON_TYPE, b"12345678901234567890123"),
        ({"mpserverlessComposedResponse": 1, "body": "x"}, JSON_TYPE, None),
        ({"mpserverlessComposedResponse": "true"}, JSON_TYPE, None),
        ([COMPOSED], JSON_TYPE, None),
        ({"a": COMPOSED}, JSON_TYPE, None),
        ({"statusCode": 404, "body": "x"}, JSON_TYPE, None),
    ],
)
async def test_a_result_has_the_type_of_its_kind(
    gateway: TriggerGateway, value: Any, content_type: str, body: bytes | None
) -> None:
    gateway.returns(value)
    answer = await gateway.ask()
    assert (answer.status, answer.get("content-type")) == (200, content_type)
    if body is None:
        assert json.loads(answer.body) == value
    else:
        assert answer.body == body
    assert answer.get("content-disposition") == "attachment"
    assert answer.get("x-content-type-options") == "nosniff"
    assert answer.get("request-id") == gateway.small.records[-1].request_id


def base64(body: bytes) -> dict[str, Any]:
    return {**COMPOSED, "isBase64Encoded": True, "body": b64encode(body).decode()}


@pytest.mark.parametrize(
    ("make", "sent"),
    [
        (lambda n: "a" * n, lambda n: b"a" * n),
        (lambda n: "\x01" * n, lambda n: b"\x01" * n),
        (lambda n: "é" * 2048 + "a" * (n - 4096), None),
        (lambda n: ["a" * (n - 4)], None),
        (lambda n: {**COMPOSED, "body": "a" * n}, lambda n: b"a" * n),
        (lambda n: base64(b"\xff" * n), lambda n: b"\xff" * n),
    ],
    ids=["text", "escaped", "multi-byte", "json", "composed", "base64"],
)
async def test_an_answer_of_4096_bytes_fits_and_one_more_is_502(
    gateway: TriggerGateway, make: Any, sent: Any
) -> None:
    gateway.returns(make(4096))
    answer = await gateway.ask()
    assert (answer.status, len(answer.body)) == (200, 4096)
    if sent is not None:
        assert answer.body == sent(4096)
    gateway.returns(make(4097))
    refused(await gateway.ask(), 502, TOO_LONG)


# --- composed responses ----------------------------------------------------------------------


async def composed(gateway: TriggerGateway, host: str = HOST, **parts: Any) -> WireAnswer:
    gateway.returns({**COMPOSED, **parts})
    return await gateway.ask(host=host)


@pytest.mark.parametrize("status", [200, 201, 202, 203, 206, 299, 300, 301, 302, 307, 400, 404])
async def test_a_function_chooses_the_status(gateway: TriggerGateway, status: int) -> None:
    answer = await composed(gateway, statusCode=status, body="x")
    assert (answer.status, answer.body) == (status, b"x")


@pytest.mark.parametrize("status", [418, 451, 499, 500, 502, 503, 511, 599, "404"])
async def test_a_function_chooses_a_failing_status_too(
    gateway: TriggerGateway, status: Any
) -> None:
    assert (await composed(gateway, statusCode=status, body="x")).status == int(status)


@pytest.mark.parametrize("status", [204, 205, 304])
async def test_answers_without_a_body_have_none(gateway: TriggerGateway, status: int) -> None:
    async with gateway.connect() as wire:
        gateway.returns({**COMPOSED, "statusCode": status, "body": "HTTP/1.1 200 OK\r\n\r\n"})
        await wire.send(raw_request("/http/f") * 2)
        for _ in range(2):
            answer = await wire.answer()
            assert (answer.status, answer.body) == (status, b"")
        assert wire.unread == b""


@pytest.mark.parametrize(
    "status",
    [
        0,
        1,
        100,
        101,
        103,
        199,
        600,
        999,
        1000,
        -200,
        200.5,
        2e2,
        "",
        "ok",
        "0200",
        "200 OK",
        True,
        False,
        [200],
        {},
        "٢٠٠",
        "200\r\nx: y",
        10**30,
    ],
)
async def test_a_bad_status_is_502(gateway: TriggerGateway, status: Any) -> None:
    refused(await composed(gateway, statusCode=status, body="x"), 502, ILL_FORMED)


async def test_the_least_composed_response_is_an_empty_200(gateway: TriggerGateway) -> None:
    cases: list[dict[str, Any]] = [
        {},
        {"statusCode": None, "headers": None, "body": None, "other": 1},
    ]
    for parts in cases:
        answer = await composed(gateway, **parts)
        assert (answer.status, answer.body) == (200, b"")
        assert answer.get("content-type") == TEXT_TYPE


@pytest.mark.parametrize(
    "parts",
    [
        {"body": 1},
        {"body": {"a": 1}},
        {"body": ["a"]},
        {"body": True},
        {"body": "no base64!", "isBase64Encoded": True},
        {"body": "YQ", "isBase64Encoded": True},
        {"body": "YQ==YQ==", "isBase64Encoded": True},
        {"body": "云", "isBase64Encoded": True},
        {"headers": []},
        {"headers": "a: b"},
        {"headers": 1},
        {"headers": {"": "x"}},
        {"headers": {"a b": "x"}},
        {"headers": {"a:": "x"}},
        {"headers": {"a\r\nb": "x"}},
        {"headers": {"云": "x"}},
        {"headers": {"x": {}}},
        {"headers": {"x": [[]]}},
        {"headers": {"x": [None]}},
        {"headers": {"x": "a\r\nset-cookie: b"}},
        {"headers": {"x": "a\nb"}},
        {"headers": {"x": "a\rb"}},
        {"headers": {"x": "a\x00"}},
        {"headers": {"x": "a\x0bb"}},
        {"headers": {"x": "a\x7f"}},
        {"headers": {"x": "a\x85b"}},
        {"headers": {"x": ["ok", "a\r\n\r\nbody"]}},
        {"headers": {"set-cookie": ["a=b", "c=d\r\nx: y"]}},
        {"headers": {"content-type": "text/html\r\n\r\n<script>"}},
        {"headers": {"content-length": "1\r\nx: y", "x": "\n"}},
        {"headers": {f"x-{n}": "y" for n in range(65)}},
        {"headers": {"x": "y" * 9000}},
    ],
)
async def test_an_ill_formed_response_is_502_and_nothing_of_it_goes_out(
    gateway: TriggerGateway, parts: dict[str, Any]
) -> None:
    async with gateway.connect() as wire:
        gateway.returns({**COMPOSED, "statusCode": 201, **parts})
        await wire.send(raw_request("/http/f"))
        answer = await wire.answer()
        refused(answer, 502, ILL_FORMED)
        assert answer.get("x") is None
        assert answer.get("set-cookie") is None
        gateway.returns("done")
        await wire.send(raw_request("/http/f"))
        assert (await wire.answer()).body == b"done"


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"X-A": "b"}, [("x-a", "b")]),
        ({"x-a": 1, "x-b": 1.5, "x-c": True, "x-d": None}, [("x-a", "1"), ("x-b", "1.5"), ("x-c", "true")]),
        ({"x-a": ["b", 1]}, [("x-a", "b, 1")]),
        ({"x-a": []}, []),
        ({"x-a": ""}, [("x-a", "")]),
        ({"x-a": "  b\tc "}, [("x-a", "b c")]),
        ({"x-a": "云"}, [("x-a", "云")]),
        ({"x-a": "1", "X-A": "2"}, [("x-a", "2")]),
        ({"set-cookie": "a=b"}, [("set-cookie", "a=b")]),
        ({"set-cookie": ["a=b", "c=d, e"]}, [("set-cookie", "a=b"), ("set-cookie", "c=d, e")]),
        ({"Set-Cookie": ["a=b"], "set-cookie": "c=d"}, [("set-cookie", "a=b"), ("set-cookie", "c=d")]),
        ({"set-cookie": "a=b; Domain=localhost; Path=/"}, [("set-cookie", "a=b; Path=/")]),
        ({"location": "https://example.com/云?a=b"}, [("location", "https://example.com/云?a=b")]),
        ({"access-control-allow-origin": "*"}, [("access-control-allow-origin", "*")]),
    ],
)  # fmt: skip
async def test_fields_go_out_as_the_function_wants(
    gateway: TriggerGateway, given: dict[str, Any], sent: list[tuple[str, str]]
) -> None:
    answer = await composed(gateway, headers=given, body="x")
    assert answer.status == 200
    ours = {"content-type", "content-disposition", "x-content-type-options"}
    ours |= {"content-length", "date", "server", "request-id"}
    assert [field for field in answer.fields if field[0] not in ours] == sent


@pytest.mark.parametrize(
    "name",
    [
        "Connection", "Content-Length", "Transfer-Encoding", "Keep-Alive", "Upgrade", "Trailer", "TE",
        "Date", "Server", "Request-Id", "REQUEST-ID", "Proxy-Connection", "Proxy-Authenticate",
    ],
)  # fmt: skip
async def test_fields_of_the_gateway_are_not_the_functions(
    gateway: TriggerGateway, name: str
) -> None:
    async with gateway.connect() as wire:
        gateway.returns({**COMPOSED, "headers": {name: "1"}, "body": "twelve bytes"})
        await wire.send(raw_request("/http/f") * 2)
        for _ in range(2):
            answer = await wire.answer()
            assert (answer.status, answer.body) == (200, b"twelve bytes")
            assert "1" not in answer.all(name.lower())


@pytest.mark.parametrize(
    ("given", "is_base64", "sent"),
    [
        (None, False, TEXT_TYPE),
        (None, True, "application/octet-stream"),
        ("text/html", False, "text/html; charset=utf-8"),
        ("text/html;", False, "text/html; charset=utf-8"),
        ("TEXT/XML", False, "TEXT/XML; charset=utf-8"),
        ("text/html; charset=gbk", False, "text/html; charset=gbk"),
        ("text/html; Charset=", False, "text/html; Charset="),
        ("application/javascript", False, "application/javascript; charset=utf-8"),
        ("application/json", False, "application/json"),
        ("image/png", True, "image/png"),
        ("text/csv", True, "text/csv; charset=utf-8"),
        ("no type", False, "no type"),
    ],
)
async def test_a_charset_is_added_to_text_only(
    gateway: TriggerGateway, given: str | None, is_base64: bool, sent: str
) -> None:
    headers = {} if given is None else {"Content-Type": given}
    answer = await composed(gateway, headers=headers, body="AAAA", isBase64Encoded=is_base64)
    assert answer.get("content-type") == sent
    assert answer.body == (b"\0\0\0" if is_base64 else b"AAAA")


INLINE = {"Content-Disposition": 'inline; filename="a.html"', "x-content-type-options": "off"}


@pytest.mark.parametrize("form", ["host", "path"])
async def test_no_page_is_shown_on_shared_domains(gateway: TriggerGateway, form: str) -> None:
    gateway.returns({**COMPOSED, "headers": INLINE})
    host, target = (HOST, "/http/f") if form == "host" else ("x", f"/trigger/{ON}/http/f")
    answer = await gateway.ask(target, host=host)
    assert answer.get("content-disposition") == "attachment"
    assert answer.get("x-content-type-options") == "nosniff"


async def test_on_a_custom_domain_the_function_decides(gateway: TriggerGateway) -> None:
    answer = await composed(gateway, host=DOMAIN, headers=INLINE)
    assert answer.get("content-disposition") == INLINE["Content-Disposition"]
    cookie = "a=b; Domain=example.com"
    answer = await composed(gateway, host=DOMAIN, headers={"set-cookie": cookie})
    assert (answer.get("content-disposition"), answer.get("set-cookie")) == (None, cookie)
    assert answer.get("request-id")


async def test_a_setting_holds_custom_domains_to_the_same() -> None:
    async with open_gateway(trigger_custom_domain_inline=False) as gateway:
        answer = await composed(gateway, host=DOMAIN, headers=INLINE)
        assert answer.get("content-disposition") == "attachment"


@pytest.mark.parametrize(
    "name",
    ["Clear-Site-Data", "Service-Worker-Allowed", "Strict-Transport-Security", "Alt-Svc", "NEL"],
)
async def test_no_field_speaks_for_the_gateways_whole_origin(
    gateway: TriggerGateway, name: str
) -> None:
    gateway.returns({**COMPOSED, "headers": {name: "x"}})
    assert (await gateway.ask(f"/trigger/{ON}/http/f", host="x")).get(name.lower()) is None
    assert (await gateway.ask()).get(name.lower()) == "x"
