"""What an uploader may say about the downloads of a file."""

from __future__ import annotations

import pytest

from runtime.errors import InvalidParameterError
from runtime.services.file_headers import (
    META_MAX,
    VALUE_MAX_BYTES,
    checked_headers,
    checked_meta,
    checked_type,
)


def test_headers_of_the_upload_are_kept_under_lower_case_names() -> None:
    assert checked_headers(
        {"Cache-Control": " max-age=2592000 ", "EXPIRES": "3600", "Set-Cookie": "a=b", "x": ""}
    ) == {"cache-control": "max-age=2592000", "expires": "3600"}


def test_a_name_in_any_script_may_stand_in_a_disposition() -> None:
    value = 'attachment; filename="照片.png"'
    assert checked_headers({"content-disposition": value}) == {"content-disposition": value}


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\nb", "a\x00", "a\x7f", "a\u2028b", "a\ud800"])
def test_no_value_ends_a_line(value: str) -> None:
    with pytest.raises(InvalidParameterError):
        checked_headers({"expires": value})
    with pytest.raises(InvalidParameterError):
        checked_meta({"a": value})
    with pytest.raises(InvalidParameterError):
        checked_type(f"image/png; {value}", "a.png")


def test_values_are_bounded() -> None:
    with pytest.raises(InvalidParameterError, match=str(VALUE_MAX_BYTES)):
        checked_headers({"expires": "中" * VALUE_MAX_BYTES})
    with pytest.raises(InvalidParameterError):
        checked_meta({f"a{n}": "" for n in range(META_MAX + 1)})
    with pytest.raises(InvalidParameterError):
        checked_meta({f"a{n}": "x" * 3000 for n in range(3)})


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("userId", "user-id"),
        ("user-id", "user-id"),
        ("UserID", "user-id"),
        ("theHTTPName", "the-http-name"),
        ("k", "k"),
        ("photo2Size", "photo2-size"),
    ],
)
def test_words_of_the_uploader_become_header_names(given: str, kept: str) -> None:
    assert checked_meta({given: "halo"}) == {kept: "halo"}


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\nb", "名", "-a", "a" * 65])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidParameterError):
        checked_meta({name: "x"})


@pytest.mark.parametrize(
    ("given", "path", "kept"),
    [
        ("image/webp", "a.png", "image/webp"),
        ("text/plain; charset=utf-8", "a", "text/plain; charset=utf-8"),
        (None, "a.png", "image/png"),
        ("", "dir.png/a", "application/octet-stream"),
        ("  ", "a.txt", "text/plain"),
        (None, "a.unheard", "application/octet-stream"),
        (None, "png", "application/octet-stream"),
    ],
)
def test_the_type_is_the_named_one_or_that_of_the_extension(
    given: str | None, path: str, kept: str
) -> None:
    assert checked_type(given, path) == kept


@pytest.mark.parametrize("given", ["png", "image/", "/png", "image/png\nx", "a b/c", "x/" * 300])
def test_what_is_no_type_is_refused(given: str) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        checked_type(given, "a.png")
    assert caught.value.code == "ParamInvalid"
