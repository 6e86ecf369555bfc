from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

import pytest

from runtime.trigger.refusals import RefusedError
from runtime.trigger.request import (
    TriggerRequest,
    check_content_encoding,
    check_content_type,
    check_method,
    trigger_args,
)


def args_of(request: TriggerRequest) -> dict[str, Any]:
    args: dict[str, Any] = json.loads(trigger_args(request))
    return args


def body_of(body: bytes, content_type: str | None = None) -> tuple[str, bool]:
    headers = () if content_type is None else (("Content-Type", content_type),)
    args = args_of(TriggerRequest(method="POST", path="/http", headers=headers, body=body))
    return args["body"], args["isBase64Encoded"]


def headers_of(*headers: tuple[str, str], body: bytes = b"") -> dict[str, str]:
    args = args_of(TriggerRequest(method="POST", path="/http", headers=headers, body=body))
    found: dict[str, str] = args["headers"]
    return found


def query_of(query: str) -> dict[str, str]:
    args = args_of(TriggerRequest(method="GET", path="/http", query=query))
    found: dict[str, str] = args["queryStringParameters"]
    return found


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_methods_of_the_guide_pass(method: str) -> None:
    check_method(method)


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT", "get", "", "X"])
def test_other_methods_are_refused(method: str) -> None:
    with pytest.raises(RefusedError) as caught:
        check_method(method)
    assert caught.value.refusal.status == 405
    assert caught.value.code == "InvalidMethod.Format"
    assert caught.value.refusal.headers == (("allow", "GET, POST, PUT, DELETE"),)


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON; charset=utf-8",
        "application/x-www-form-urlencoded",
        "text/plain",
        "text/xml;charset=GBK",
        "text/anything",
    ],
)
def test_content_types_of_the_guide_pass(content_type: str) -> None:
    check_content_type(content_type, has_body=True)


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "application/xml",
        "application/octet-stream",
        "application/jsonp",
        "application/json-patch+json",
        "multipart/form-data; boundary=x",
        "text",
        "textual/plain",
        "application/json, text/plain",
        "text/plain, application/octet-stream",
    ],
)
def test_other_content_types_are_refused_with_a_body_only(content_type: str | None) -> None:
    check_content_type(content_type, has_body=False)
    with pytest.raises(RefusedError) as caught:
        check_content_type(content_type, has_body=True)
    assert caught.value.refusal.status == 415
    assert caught.value.code == "InvalidRequestContentType"


@pytest.mark.parametrize("encoding", [None, "", "gzip", " GZIP", "deflate", "identity"])
def test_encodings_that_the_server_takes_off_pass(encoding: str | None) -> None:
    check_content_encoding(encoding)


@pytest.mark.parametrize(
    "encoding", ["br", "zstd", "x-gzip", "gzip, gzip", "identity, gzip", "aes"]
)
def test_other_encodings_are_refused(encoding: str) -> None:
    with pytest.raises(RefusedError) as caught:
        check_content_encoding(encoding)
    assert caught.value.refusal.status == 415
    assert caught.value.refusal.headers == (("accept-encoding", "gzip, deflate"),)


def test_the_arguments_of_a_function() -> None:
    request = TriggerRequest(
        method="POST",
        path="/http/hello/中",
        query="a=1&b=%E4%B8%AD",
        headers=(("Host", "x.fn.localhost"), ("Content-Type", "application/json")),
        body=b'{"k": [1]}',
    )
    assert args_of(request) == {
        "path": "/http/hello/中",
        "httpMethod": "POST",
        "headers": {
            "host": "x.fn.localhost",
            "content-type": "application/json",
            "content-length": "10",
        },
        "queryStringParameters": {"a": "1", "b": "中"},
        "body": '{"k": [1]}',
        "isBase64Encoded": False,
    }


def test_a_request_without_anything() -> None:
    assert args_of(TriggerRequest(method="GET", path="/http")) == {
        "path": "/http",
        "httpMethod": "GET",
        "headers": {},
        "queryStringParameters": {},
        "body": "",
        "isBase64Encoded": False,
    }


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        ("", {}),
        ("&&", {}),
        ("a=1&a=2", {"a": "2"}),
        ("a=1&b=2&a=", {"a": "", "b": "2"}),
        ("a", {"a": ""}),
        ("=1", {"": "1"}),
        ("a=b=c", {"a": "b=c"}),
        ("a+b=c+d", {"a b": "c d"}),
        ("a=%2B%26%3D", {"a": "+&="}),
        ("a=%zz%4", {"a": "%zz%4"}),
        ("a=%ff", {"a": "\ufffd"}),
        ("a=%00", {"a": "\0"}),
        ("a=\udcff", {"a": "?"}),
        ("a;b=1", {"a;b": "1"}),
        ("__proto__=1&constructor=2", {"__proto__": "1", "constructor": "2"}),
        ("a[]=1&a[]=2", {"a[]": "2"}),
        ("中=文", {"中": "文"}),
    ],
)
def test_query_parameters(query: str, parameters: dict[str, str]) -> None:
    assert query_of(query) == parameters


def test_repeated_headers_are_joined() -> None:
    assert headers_of(
        ("X-A", "1"), ("x-a", "2"), ("X-a", ""), ("Cookie", "a=1"), ("cookie", "b=2")
    ) == {"x-a": "1, 2, ", "cookie": "a=1; b=2"}


def test_headers_about_the_connection_stay_out() -> None:
    assert headers_of(
        ("Connection", "close, X-Real-IP"),
        ("Keep-Alive", "1"),
        ("TE", "trailers"),
        ("Trailer", "x"),
        ("Transfer-Encoding", "chunked"),
        ("Upgrade", "h2c"),
        ("Expect", "100-continue"),
        ("Proxy-Connection", "close"),
        ("Proxy-Authorization", "secret"),
        ("Proxy-Authenticate", "x"),
        ("X-Real-IP", "1.2.3.4"),
        ("Authorization", "Bearer x"),
    ) == {"x-real-ip": "1.2.3.4", "authorization": "Bearer x"}


@pytest.mark.parametrize(
    ("headers", "body", "seen"),
    [
        ((), b"", {}),
        ((), b"abc", {"content-length": "3"}),
        ((("Content-Length", "0"),), b"", {"content-length": "0"}),
        ((("Content-Length", "20"), ("Content-Encoding", "GZip")), b"abc", {"content-length": "3"}),
        (
            (("Content-Encoding", "identity"),),
            "中".encode(),
            {"content-encoding": "identity", "content-length": "3"},
        ),
    ],
)
def test_headers_about_the_body_are_true(
    headers: tuple[tuple[str, str], ...], body: bytes, seen: dict[str, str]
) -> None:
    assert headers_of(*headers, body=body) == seen


def test_header_bytes_that_are_no_text_are_replaced() -> None:
    assert headers_of(("X-A", "a\udcffb")) == {"x-a": "a?b"}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", None),
        (b'{"a":1}', "application/json"),
        ("<xml>中</xml>".encode(), "text/xml"),
        ("中".encode(), "text/plain; charset=UTF-8"),
        ("中".encode(), "text/plain; charset=us-ascii"),
        ("\ufeff中\0".encode(), "text/plain"),
        (b"a=%D6%D0", "application/x-www-form-urlencoded; charset=gbk"),
    ],
)
def test_text_bodies_are_given_as_they_are(body: bytes, content_type: str | None) -> None:
    assert body_of(body, content_type) == (body.decode(), False)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"\xff\xfe", "text/plain"),
        (b"\xed\xa0\x80", "text/plain; charset=utf-8"),
        ("中文".encode("gbk"), "text/xml; charset=GBK"),
        ("é".encode(), "text/plain; charset=iso-8859-1"),  # UTF-8 by accident
        ("中".encode("gbk"), None),
        (b"\xffabc", "text/plain; charset=idna"),
        (b"\xffabc", "text/plain; charset=no-such-charset"),
    ],
)
def test_bytes_that_are_no_utf8_text_come_as_base64(body: bytes, content_type: str | None) -> None:
    text, is_base64 = body_of(body, content_type)
    assert is_base64
    assert b64decode(text, validate=True) == body
