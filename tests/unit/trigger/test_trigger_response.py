from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from runtime.trigger.addresses import Origin
from runtime.trigger.response import (
    ILL_FORMED,
    TOO_LONG,
    AnswerRules,
    BadResponse,
    TriggerResponse,
    trigger_response,
)

TEXT = "text/plain; charset=utf-8"
JSON = "application/json; charset=utf-8"
MARK = "mpserverlessComposedResponse"


SHARED = AnswerRules(max_body_bytes=4096, origin=Origin.SPACE)
FIXED = (("content-disposition", "attachment"), ("x-content-type-options", "nosniff"))
OWN_DOMAIN = AnswerRules(max_body_bytes=4096, origin=Origin.DOMAIN, inline=True)


def answer(value: bytes | None, *, own_domain: bool = False) -> TriggerResponse | BadResponse:
    return trigger_response(value, OWN_DOMAIN if own_domain else SHARED)


def good(value: bytes | None, *, own_domain: bool = False) -> TriggerResponse:
    response = answer(value, own_domain=own_domain)
    assert isinstance(response, TriggerResponse)
    return response


def composed(*, own_domain: bool = False, **members: Any) -> TriggerResponse:
    return good(json.dumps({MARK: True, **members}).encode(), own_domain=own_domain)


def ill_formed(**members: Any) -> str:
    response = answer(json.dumps({MARK: True, **members}).encode())
    assert isinstance(response, BadResponse)
    assert response.code == ILL_FORMED == "InvalidComposedResponseBody"
    return response.message


def fields(headers: dict[str, Any]) -> list[tuple[str, str]]:
    """What is sent of `headers`, without the fields that every answer has."""
    response = composed(headers=headers, own_domain=True)
    return [field for field in response.headers if field[0] != "content-type"]


@pytest.mark.parametrize(
    ("value", "content_type", "body"),
    [
        (b'"hello world!"', TEXT, b"hello world!"),
        (b'""', TEXT, b""),
        (b'"\\u4e2d\\n\\u0000"', TEXT, b"\xe4\xb8\xad\n\x00"),
        (b'"a\\ud800b"', TEXT, b"a?b"),
        (
            b'{"keyString":"value1","keyNumber":1234}',
            JSON,
            b'{"keyString":"value1","keyNumber":1234}',
        ),
        (b'{"b":1.0, "a":"\\u4e2d"}', JSON, b'{"b":1.0, "a":"\\u4e2d"}'),
        (b'{"a":"\\ud800"}', JSON, b'{"a":"\\ud800"}'),
        (b"[]", JSON, b"[]"),
        (b"0", JSON, b"0"),
        (b"-1.50", JSON, b"-1.50"),
        (b"12345678901234567890123", JSON, b"12345678901234567890123"),
        (b"true", JSON, b"true"),
        (b"false", JSON, b"false"),
        (b"null", TEXT, b""),
        (b"", TEXT, b""),
        (None, TEXT, b""),
        (b' "padded" ', TEXT, b"padded"),
    ],
)
def test_plain_results(value: bytes | None, content_type: str, body: bytes) -> None:
    assert good(value) == TriggerResponse(
        status=200,
        headers=(("content-type", content_type), *FIXED),
        body=body,
    )


@pytest.mark.parametrize("mark", ["true", 1, False, None, [True], {}])
def test_without_exactly_true_it_is_no_composed_response(mark: Any) -> None:
    text = json.dumps({MARK: mark, "statusCode": 404}).encode()
    response = good(text)
    assert (response.status, response.body) == (200, text)


def test_a_mark_further_in_is_none() -> None:
    text = json.dumps({"a": {MARK: True, "statusCode": 404}}).encode()
    assert good(text).body == text
    assert good(json.dumps([{MARK: True}]).encode()).status == 200


def test_the_example_of_the_guide() -> None:
    response = composed(
        isBase64Encoded=False,
        statusCode=200,
        headers={"content-type": "text/html"},
        body="<h1>Hello World</h1>",
    )
    assert response == TriggerResponse(
        status=200,
        headers=(
            ("content-type", "text/html; charset=utf-8"),
            *FIXED,
        ),
        body=b"<h1>Hello World</h1>",
    )


@pytest.mark.parametrize(
    ("given", "status"),
    [(200, 200), (404, 404), (302, 302), (599, 599), ("301", 301), (None, 200)],
)
def test_status_codes(given: Any, status: int) -> None:
    assert composed(statusCode=given).status == status


def test_without_status_code_it_is_200() -> None:
    assert composed(body="x").status == 200


@pytest.mark.parametrize(
    "given",
    [100, 101, 199, 600, 0, -200, 2**70, 2.5, True, False, "", "100", "600", "200 OK", "\uff1200", [200], {}],
)  # fmt: skip
def test_other_status_codes_are_ill_formed(given: Any) -> None:
    assert "statusCode" in ill_formed(statusCode=given)


@pytest.mark.parametrize(
    ("headers", "sent"),
    [
        ({}, []),
        ({"X-A": "b"}, [("x-a", "b")]),
        ({"X-A": 1, "X-B": 1.5, "X-C": True, "X-D": False, "X-E": ""},
         [("x-a", "1"), ("x-b", "1.5"), ("x-c", "true"), ("x-d", "false"), ("x-e", "")]),
        ({"X-A": None, "X-B": []}, []),
        ({"X-A": ["b", 1, True]}, [("x-a", "b, 1, true")]),
        ({"Set-Cookie": "a=1"}, [("set-cookie", "a=1")]),
        ({"Set-Cookie": ["a=1", "b=2"], "set-cookie": "c=3"},
         [("set-cookie", "a=1"), ("set-cookie", "b=2"), ("set-cookie", "c=3")]),
        ({"X-A": "1", "x-a": "2"}, [("x-a", "2")]),
        ({"X-A": " \t b\tc \t"}, [("x-a", "b c")]),
        ({"Location": "/中"}, [("location", "/中")]),
        ({"X-A": "\ud800"}, [("x-a", "?")]),
        ({"Content-Encoding": "gzip"}, [("content-encoding", "gzip")]),
    ],
)  # fmt: skip
def test_headers_of_the_function(headers: dict[str, Any], sent: list[tuple[str, str]]) -> None:
    assert fields(headers) == sent


@pytest.mark.parametrize(
    "name",
    ["Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Connection", "TE", "Trailer",
     "Transfer-Encoding", "Upgrade", "Content-Length", "Date", "Server", "Request-Id"],
)  # fmt: skip
def test_headers_of_the_gateway_are_dropped(name: str) -> None:
    assert fields({name: "chunked", name.lower(): 5, "X-A": "kept"}) == [("x-a", "kept")]


@pytest.mark.parametrize(
    "headers",
    [
        "x-a: b", ["x-a"], 1, True,
        {"": "a"}, {"x a": "b"}, {"x-a:": "b"}, {"x\r\nset-cookie": "b"}, {"x\n": "b"}, {"名": "b"},
        {"x-a": "b\r\nset-cookie: c"}, {"x-a": "b\nc"}, {"x-a": "b\rc"}, {"x-a": "b\0"}, {"x-a": "\x7f"},
        {"x-a": "\x85"}, {"x-a": ["b", "c\nd"]}, {"set-cookie": ["a=1", "b=2\r\nx: y"]},
        {"x-a": {}}, {"x-a": [["b"]]}, {"x-a": [None]},
        {"content-type": "text/html\r\n\r\n<script>"},
    ],
)  # fmt: skip
def test_headers_that_are_ill_formed(headers: Any) -> None:
    assert "header" in ill_formed(headers=headers)


def test_the_number_of_headers_is_bounded() -> None:
    assert len(fields({f"x-{i}": "" for i in range(64)})) == 64
    assert "at most 64" in ill_formed(headers={f"x-{i}": "" for i in range(65)})
    assert len(fields({"set-cookie": ["a"] * 64})) == 64
    assert "at most 64" in ill_formed(headers={"set-cookie": ["a"] * 65})


def test_the_size_of_headers_is_bounded_in_bytes() -> None:
    assert fields({"x-a": "中" * 2729 + "b" * 2}) == [("x-a", "中" * 2729 + "bb")]  # 3 + 8187 + 2
    assert "8193 bytes" in ill_formed(headers={"x-a": "中" * 2729 + "b" * 3})


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("text/html", "text/html; charset=utf-8"),
        ("text/xml;", "text/xml; charset=utf-8"),
        ("Text/CSS; a=b", "Text/CSS; a=b; charset=utf-8"),
        ("application/javascript", "application/javascript; charset=utf-8"),
        ("text/html; charset=gbk", "text/html; charset=gbk"),
        ("text/html;CHARSET=GBK", "text/html;CHARSET=GBK"),
        ("application/json", "application/json"),
        ("image/png", "image/png"),
        ("image/svg+xml", "image/svg+xml"),
        ("html", "html"),
        ("", TEXT),
        (None, TEXT),
        ([], TEXT),
    ],
)
def test_content_types_of_composed_responses(given: Any, sent: str) -> None:
    headers = composed(headers={"Content-Type": given}, body="x").headers
    assert [value for name, value in headers if name == "content-type"] == [sent]


def test_a_composed_response_without_content_type() -> None:
    assert dict(composed(body="x").headers)["content-type"] == TEXT
    assert dict(composed(statusCode=404).headers)["content-type"] == TEXT
    encoded = composed(body="AAE=", isBase64Encoded=True)
    assert dict(encoded.headers)["content-type"] == "application/octet-stream"


def test_the_disposition_is_not_the_functions_choice_on_shared_domains() -> None:
    headers = {"Content-Disposition": "inline", "content-disposition": ["inline", "x"]}
    assert ("content-disposition", "attachment") in composed(headers=headers).headers
    assert len(composed(headers=headers).headers) == 3


def test_the_disposition_is_free_on_custom_domains() -> None:
    assert fields({"Content-Disposition": "inline"}) == [("content-disposition", "inline")]
    assert good(b'"x"', own_domain=True).headers == (("content-type", TEXT),)


@pytest.mark.parametrize("status", [204, 205, 304])
def test_some_statuses_have_no_body(status: int) -> None:
    response = composed(statusCode=status, body="x", own_domain=True)
    assert (response.body, response.headers) == (b"", ())
    cors = {"Access-Control-Allow-Origin": "*", "Content-Type": ""}
    response = composed(statusCode=status, headers=cors, own_domain=True)
    assert response.headers == (("access-control-allow-origin", "*"),)


@pytest.mark.parametrize("body", [1, 0, True, False, {}, [], {"a": 1}])
def test_bodies_that_are_no_text_are_ill_formed(body: Any) -> None:
    assert "body" in ill_formed(body=body)


def test_an_absent_body_is_empty() -> None:
    assert composed(statusCode=404).body == b""
    assert composed(statusCode=404, body=None).body == b""
    assert composed(body=None, isBase64Encoded=True).body == b""


@pytest.mark.parametrize(
    ("text", "body"),
    [("", b""), ("AAE=", b"\0\1"), ("AA\r\nE=\n", b"\0\1"), (" /+/+ ", b"\xff\xef\xfe")],
)
def test_base64_bodies(text: str, body: bytes) -> None:
    assert composed(body=text, isBase64Encoded=True).body == body


@pytest.mark.parametrize(
    "text",
    ["A", "AAE", "AAE==", "AA=E", "=AAE", "AAE=AAE=", "_-_-", "AA!E", "中文", "\ud800", "data:;base64,AAE="],
)  # fmt: skip
def test_bodies_that_are_no_base64_are_ill_formed(text: str) -> None:
    assert "Base64" in ill_formed(body=text, isBase64Encoded=True)


@pytest.mark.parametrize("flag", [False, None, "true", 1])
def test_only_exactly_true_decodes(flag: Any) -> None:
    assert composed(body="AAE=", isBase64Encoded=flag).body == b"AAE="


FITS = "中" * 1365 + "a"
"""4096 bytes of UTF-8."""


@pytest.mark.parametrize(
    "make",
    [
        lambda body: json.dumps(body, ensure_ascii=False),
        json.dumps,
        lambda body: json.dumps({MARK: True, "body": body}),
        lambda body: json.dumps({MARK: True, "statusCode": 500, "headers": {"x": "y"}, "body": body}),
        lambda body: json.dumps(
            {MARK: True, "isBase64Encoded": True, "body": base64.b64encode(body.encode()).decode()}
        ),
    ],
)  # fmt: skip
def test_the_bound_of_the_body_is_in_bytes_after_decoding(make: Any) -> None:
    assert good(make(FITS).encode()).body == FITS.encode()
    response = answer(make(FITS + "b").encode())
    assert isinstance(response, BadResponse)
    assert response.code == TOO_LONG == "ResponseContentLength.Exceeded"
    assert "4097" in response.message


def test_the_bound_of_json_is_its_text() -> None:
    assert len(good(b"[" + b"1" * 4094 + b"]").body) == 4096
    response = answer(b"[" + b"1" * 4095 + b"]")
    assert isinstance(response, BadResponse)
    assert response.code == TOO_LONG


def test_a_body_of_escapes_only_fits() -> None:
    assert good(b'"' + b"\\u0001" * 4096 + b'"').body == b"\1" * 4096
    fully_escaped = "\1" * 4096
    assert len(composed(body=fully_escaped, headers={"x-a": "b" * 8189}).body) == 4096


def test_text_that_cannot_fit_is_not_parsed() -> None:
    response = answer(b'"' + b"no JSON\xff" * 10_000)
    assert isinstance(response, BadResponse)
    assert response.code == TOO_LONG


def test_the_bound_is_a_setting() -> None:
    value = json.dumps("x" * 1_048_576).encode()
    for bound, kind in ((1_048_576, TriggerResponse), (1_048_575, BadResponse)):
        response = trigger_response(value, replace(SHARED, max_body_bytes=bound))
        assert isinstance(response, kind)


@pytest.mark.parametrize(
    "value",
    [
        b'"',
        b'"a',
        b'"\xff"',
        b'{"mpserverlessComposedResponse":true',
        b'{"mpserverlessComposedResponse":true,"a":' + b"[" * 3000 + b"]" * 3000 + b"}",
        b'{"b":"\\ud800","mpserverlessComposedResponse":true,"a":' + b"[" * 3000 + b"]" * 3000 + b"}",
        b'{"mpserverlessComposedResponse":true,"a":NaN}',
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_ill_formed(value: bytes) -> None:
    response = answer(value)
    assert isinstance(response, BadResponse)
    assert response.code == ILL_FORMED


COOKIES = ["a=1; Domain=fn.localhost; Path=/", "b=2;domain=x", "c=3; HttpOnly;DOMAIN", "d=domain"]


def cookies_at(origin: Origin) -> list[str]:
    value = json.dumps({MARK: True, "headers": {"Set-Cookie": COOKIES}}).encode()
    response = trigger_response(value, replace(SHARED, origin=origin))
    assert isinstance(response, TriggerResponse)
    return [value for name, value in response.headers if name == "set-cookie"]


def test_cookies_of_shared_domains_are_for_their_host_only() -> None:
    assert cookies_at(Origin.DOMAIN) == COOKIES
    expected = ["a=1; Path=/", "b=2", "c=3; HttpOnly", "d=domain"]
    assert cookies_at(Origin.SPACE) == cookies_at(Origin.GATEWAY) == expected


def test_cookies_of_the_path_form_stay_below_their_space() -> None:
    cookies = ["a=1; Path=/", "b=2;path = /x; Secure; PATH=/trigger/mp-2", "c=3"]
    value = json.dumps({MARK: True, "headers": {"Set-Cookie": cookies}}).encode()
    rules = replace(SHARED, origin=Origin.GATEWAY, base_path="/trigger/mp-1")
    response = trigger_response(value, rules)
    assert isinstance(response, TriggerResponse)
    assert [value for name, value in response.headers if name == "set-cookie"] == [
        "a=1; Path=/trigger/mp-1/",
        "b=2;path = /trigger/mp-1/x; Secure; PATH=/trigger/mp-1/trigger/mp-2",
        "c=3",
    ]


def test_nothing_is_ordered_from_the_proxy_before_us() -> None:
    for name in ("X-Accel-Redirect", "x-accel-buffering", "X-Sendfile"):
        assert fields({name: "/etc/passwd", "x-kept": "1"}) == [("x-kept", "1")]


@pytest.mark.parametrize("name", ["Clear-Site-Data", "Service-Worker-Allowed", "Alt-Svc"])
def test_nothing_speaks_for_the_whole_gateway(name: str) -> None:
    value = json.dumps({MARK: True, "headers": {name: "x", "X-Kept": "y"}}).encode()
    for origin in Origin:
        response = trigger_response(value, replace(SHARED, origin=origin))
        assert isinstance(response, TriggerResponse)
        assert dict(response.headers)["x-kept"] == "y"
        assert (name.lower() in dict(response.headers)) is (origin is not Origin.GATEWAY)
