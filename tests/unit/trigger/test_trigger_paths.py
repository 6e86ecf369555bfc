from __future__ import annotations

import pytest

from runtime.errors import InvalidParameterError
from runtime.trigger.paths import (
    TriggerMatch,
    check_trigger_path,
    find_trigger,
    normalize_request_path,
)


@pytest.mark.parametrize(
    "path",
    [
        "/http",
        "/http/a",
        "/httpfoo",
        "/http-1/A_b.c/9",
        "/http/...",
        "/http/.well-known",
        "/http/a" + "b" * 121,
    ],
)
def test_paths_that_a_function_may_have(path: str) -> None:
    check_trigger_path(path, max_characters=128)


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("", "starts with /http"),
        ("/", "starts with /http"),
        ("http/a", "starts with /http"),
        ("/HTTP/a", "starts with /http"),
        ("/htt", "starts with /http"),
        ("/hello/http", "starts with /http"),
        (" /http", "starts with /http"),
        ("/http/a" + "b" * 122, "at most 128 characters"),
        ("/http/", "does not end with /"),
        ("/http/a/", "does not end with /"),
        ("/http//a", "empty segment"),
        ("/http/./a", "segment . or .."),
        ("/http/..", "segment . or .."),
        ("/http/a b", "consists of"),
        ("/http/a\n", "consists of"),
        ("/http/中", "consists of"),
        ("/http/\uff11", "consists of"),
        ("/http/%61", "consists of"),
        ("/http/a?b", "consists of"),
        ("/http/a\\b", "consists of"),
        ("/http/:id", "consists of"),
        ("/http/*", "consists of"),
    ],
)
def test_paths_that_break_a_rule(path: str, rule: str) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        check_trigger_path(path, max_characters=128)
    assert caught.value.code == "InvalidParameter.HttpTriggerPath"
    assert rule in caught.value.message


def test_the_length_is_a_setting() -> None:
    check_trigger_path("/http/abc", max_characters=9)
    with pytest.raises(InvalidParameterError, match="at most 8"):
        check_trigger_path("/http/abc", max_characters=8)


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("/", "/"),
        ("/http/a", "/http/a"),
        ("/http/a/", "/http/a/"),
        ("/http//a", "/http//a"),
        ("/http/%61%2D", "/http/a-"),
        ("/http/%E4%B8%AD", "/http/中"),
        ("/http/中", "/http/中"),
        ("/http/a+b", "/http/a+b"),
        ("/http/a%20b", "/http/a b"),
        ("/http/%252e%252e/a", "/http/%2e%2e/a"),
        ("/http/%252F", "/http/%2F"),
        ("/http/...", "/http/..."),
        ("/http/a..b", "/http/a..b"),
        ("/http/%3Fa%23", "/http/?a#"),
        ("/http/..;x", "/http/..;x"),
    ],
)
def test_request_paths_are_decoded_once(raw: str, path: str) -> None:
    assert normalize_request_path(raw) == path


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "*",
        "http/a",
        "http://host/http/a",
        "/http/../a",
        "/http/./a",
        "/http/..",
        "/http/%2e%2e/a",
        "/http/.%2E",
        "/http/%2e",
        "/http/a%2fb",
        "/http/a%2Fb",
        "/http/a\\b",
        "/http/a%5cb",
        "/http/%00",
        "/http/%0d%0aa",
        "/http/\x7f",
        "/http/%",
        "/http/%4",
        "/http/%zz",
        "/http/%c0%af",
        "/http/%ff",
        "/http/%ed%a0%80",
        "/http/\udcff",
        "/http?a",
        "/http#a",
    ],
)
def test_request_paths_that_are_refused(raw: str) -> None:
    assert normalize_request_path(raw) is None


PATHS = {"/http": "root", "/http/a": "a", "/http/a/b": "ab", "/httpx": "x"}


@pytest.mark.parametrize(
    ("request_path", "function", "path", "remainder"),
    [
        ("/http", "root", "/http", "/"),
        ("/http/", "root", "/http", "/"),
        ("/http/ab", "root", "/http", "/ab"),
        ("/http/A", "root", "/http", "/A"),
        ("/http//a", "root", "/http", "//a"),
        ("/http/a", "a", "/http/a", "/"),
        ("/http/a/", "a", "/http/a", "/"),
        ("/http/a/c/d", "a", "/http/a", "/c/d"),
        ("/http/a/bc", "a", "/http/a", "/bc"),
        ("/http/a/b", "ab", "/http/a/b", "/"),
        ("/http/a/b/c/", "ab", "/http/a/b", "/c/"),
        ("/httpx/a", "x", "/httpx", "/a"),
        ("/http" + "/" * 8000, "root", "/http", "/" * 8000),
    ],
)
def test_the_longest_path_of_whole_segments_wins(
    request_path: str, function: str, path: str, remainder: str
) -> None:
    assert find_trigger(PATHS, request_path) == TriggerMatch(
        function=function, path=path, remainder=remainder
    )


@pytest.mark.parametrize("request_path", ["/", "", "/htt", "/httpy", "/HTTP", "/trigger/http"])
def test_other_paths_have_no_function(request_path: str) -> None:
    assert find_trigger(PATHS, request_path) is None
    assert find_trigger({}, request_path) is None
