"""Ranges and conditional requests of downloads, as RFC 9110 has them."""

import re

import pytest

from runtime.gateway.files.conditions import Validators, precondition_status, range_holds
from runtime.gateway.files.ranges import ByteRange, UnsatisfiableRangeError, parse_range

NOW = Validators(etag='"AB"', modified_s=784111777)
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
EARLIER = "Sun, 06 Nov 1994 08:49:36 GMT"


@pytest.mark.parametrize(
    ("field", "start", "length"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-", 0, 10),
        ("bytes=3-5", 3, 3),
        ("bytes=3-99999999999999999", 3, 7),
        ("bytes=9-9", 9, 1),
        ("bytes=-1", 9, 1),
        ("bytes=-10", 0, 10),
        ("bytes=-11", 0, 10),
        (" BYTES= 2-3 ", 2, 2),
    ],
)
def test_one_range(field: str, start: int, length: int) -> None:
    assert parse_range(field, 10) == ByteRange(start=start, length=length)


@pytest.mark.parametrize("field", ["bytes=10-", "bytes=10-10", "bytes=99-100", "bytes=-0"])
def test_a_range_beyond_the_file(field: str) -> None:
    with pytest.raises(UnsatisfiableRangeError):
        parse_range(field, 10)


@pytest.mark.parametrize(
    "field",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=5-3",
        "bytes=0-1,3-4",
        "bytes=+1-2",
        "bytes=1-2x",
        "bytes=\u0661-\u0662",
        "items=0-1",
        "bytes=1234567890123456789-",
        "bytes=--1",
    ],
)
def test_the_whole_file_is_the_answer(field: str | None) -> None:
    assert parse_range(field, 10) is None


def test_of_an_empty_file_there_is_only_the_whole() -> None:
    assert parse_range("bytes=0-0", 0) is None
    assert parse_range("bytes=-5", 0) is None


def test_every_range_lies_in_the_file() -> None:
    for size in range(6):
        for first in ("", *map(str, range(7))):
            for last in ("", *map(str, range(7))):
                try:
                    found = parse_range(f"bytes={first}-{last}", size)
                except UnsatisfiableRangeError:
                    continue
                if found is not None:
                    assert found.length > 0
                    assert 0 <= found.start <= found.start + found.length <= size
                    shown = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", found.content_range(size))
                    assert shown is not None
                    assert int(shown[2]) == found.start + found.length - 1


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, None),
        ({"if-none-match": '"AB"'}, 304),
        ({"if-none-match": 'W/"AB"'}, 304),
        ({"if-none-match": '"x", W/"y" ,"AB"'}, 304),
        ({"if-none-match": "*"}, 304),
        ({"if-none-match": '"ab"'}, None),
        ({"if-none-match": "AB"}, None),
        ({"if-none-match": '"x" "AB"'}, None),
        ({"if-none-match": ""}, None),
        ({"if-none-match": '"x"', "if-modified-since": DATE}, None),
        ({"if-modified-since": DATE}, 304),
        ({"if-modified-since": EARLIER}, None),
        ({"if-modified-since": "yesterday"}, None),
        ({"if-modified-since": "Sun, 06 Nov 99999 08:49:37 GMT"}, None),
        ({"if-modified-since": "9" * 100_000}, None),
        ({"if-match": '"AB"'}, None),
        ({"if-match": "*"}, None),
        ({"if-match": 'W/"AB"'}, 412),
        ({"if-match": '"x"'}, 412),
        ({"if-match": ""}, 412),
        ({"if-match": '"AB"', "if-unmodified-since": EARLIER}, None),
        ({"if-unmodified-since": EARLIER}, 412),
        ({"if-unmodified-since": DATE}, None),
        ({"if-unmodified-since": "?"}, None),
        ({"if-match": '"AB"', "if-none-match": '"AB"'}, 304),
        ({"if-match": '"x"', "if-none-match": '"AB"'}, 412),
    ],
)
def test_preconditions_in_their_order(headers: dict[str, str], status: int | None) -> None:
    assert precondition_status(headers, NOW) == status


def test_a_part_is_of_this_version_when_the_strong_tag_says_so() -> None:
    assert range_holds(None, NOW)
    assert range_holds(' "AB" ', NOW)
    for other in ('W/"AB"', '"x"', DATE, "*", ""):
        assert not range_holds(other, NOW)


def test_the_date_is_an_http_date() -> None:
    assert NOW.last_modified == DATE
