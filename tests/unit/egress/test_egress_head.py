"""The head of a CONNECT request, and the answers to it."""

from __future__ import annotations

import errno
from contextlib import suppress
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.egress.answers import (
    NotConnected,
    bound_reached,
    failed,
    failed_with,
    malformed,
    refused,
)
from sandbox.egress.head import Target, parse_head


def head(target: str, *fields: str) -> bytes:
    return "\r\n".join([f"CONNECT {target} HTTP/1.1", *fields, "", ""]).encode()


def test_a_head_names_its_target() -> None:
    assert parse_head(head("example.com:443")) == Target("example.com", "443")
    assert parse_head(head("example.com:443", "Host: a", "X-Y:")) == Target("example.com", "443")
    assert parse_head(head("[::1]:80")).parse() == (ip_address("::1"), 80)


@pytest.mark.parametrize(
    "raw",
    [
        b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET http://example.com/ HTTP/1.1\r\n\r\n",
        b"connect example.com:443 HTTP/1.1\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.0\r\n\r\n",
        b"CONNECT example.com:443 HTTP/2\r\n\r\n",
        b"CONNECT example.com:443\r\n\r\n",
        b"CONNECT  example.com:443 HTTP/1.1\r\n\r\n",
        b"CONNECT example.com:443  HTTP/1.1\r\n\r\n",
        b" CONNECT example.com:443 HTTP/1.1\r\n\r\n",
        b"\r\nCONNECT example.com:443 HTTP/1.1\r\n\r\n",
        b"CONNECT example.com HTTP/1.1\r\n\r\n",
        b"CONNECT exa mple.com:443 HTTP/1.1\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.1\nHost: a\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\nHost a\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\n: a\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\n folded: a\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: a\0\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: \xff\r\n\r\n",
        b"CONNECT ex\xc3\xa4mple.com:443 HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
)
def test_anything_else_is_no_request(raw: bytes) -> None:
    with pytest.raises(NotConnected) as caught:
        parse_head(raw)

    assert caught.value.answer.status == 400


@pytest.mark.parametrize("target", ["[::1%lo]:80", "0x7f.1:80", "a.b:0", "a.b:x", ":80", "a:b:80"])
def test_an_odd_target_is_refused_with_its_spelling(target: str) -> None:
    with pytest.raises(NotConnected) as caught:
        parse_head(head(target)).parse()

    assert caught.value.answer.status == 403
    assert caught.value.answer.code == "EACCES"
    assert target in caught.value.answer.reason


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    for garbage in (raw, b"CONNECT " + raw + b" HTTP/1.1\r\n\r\n"):
        with suppress(NotConnected):
            parse_head(garbage).parse()


@given(st.text(max_size=500))
def test_a_reason_cannot_break_out_of_its_line(reason: str) -> None:
    lines = refused(reason).answer.encode().split(b"\r\n")

    assert lines[:2] == [b"HTTP/1.1 403 Forbidden", b"X-Egress-Error: EACCES"]
    assert lines[2].startswith(b"X-Egress-Reason: ")
    assert lines[3:] == [b"", b""]
    assert b"\n" not in lines[2]


def test_the_answers_by_status() -> None:
    assert malformed("x").answer.status == 400
    assert (bound_reached("x").answer.status, bound_reached("x").answer.code) == (429, "EMFILE")
    assert (failed("ENOTFOUND", "x").answer.status) == 502
    assert refused("x").answer.is_refusal
    assert bound_reached("x").answer.is_refusal
    assert not failed("ENOTFOUND", "x").answer.is_refusal


@pytest.mark.parametrize(
    ("number", "status", "code"),
    [
        (errno.ECONNREFUSED, 502, "ECONNREFUSED"),
        (errno.EHOSTUNREACH, 502, "EHOSTUNREACH"),
        (errno.ENETUNREACH, 502, "ENETUNREACH"),
        (errno.ECONNRESET, 502, "ECONNRESET"),
        (None, 502, "ECONNRESET"),
        (errno.EMFILE, 429, "EMFILE"),
    ],
)
def test_what_the_system_says_becomes_an_answer(number: int | None, status: int, code: str) -> None:
    error = OSError() if number is None else OSError(number, "x")
    answer = failed_with(error, "example.com", 443).answer

    assert (answer.status, answer.code) == (status, code)
