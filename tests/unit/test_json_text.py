"""JSON as JavaScript writes it: lone surrogates, huge numbers, depth."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.json_text import JsonError, check_json, dump_json, load_json, parse_json, write_json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    max_leaves=20,
)


@given(VALUES)
def test_what_is_parsed_and_written_is_the_same(value: object) -> None:
    text = json.dumps(value).encode()
    check_json(text)
    again = parse_json(write_json(parse_json(text)))
    assert again == parse_json(text)


@given(VALUES)
def test_cleaned_values_are_utf_8(value: object) -> None:
    text = json.dumps(value).encode()
    dump_json(load_json(text)).decode("utf-8")


def test_a_lone_surrogate_is_kept_or_cleaned() -> None:
    text = b'"cut \\ud83d"'
    assert parse_json(text) == "cut \ud83d"
    assert write_json("cut \ud83d") == text
    assert load_json(text) == "cut ?"


@pytest.mark.parametrize(
    "text", [b"", b"{", b"NaN", b"Infinity", b"1e999", b"\xff", b"'a'", b"[1,]", b"\xef\xbb\xbf1"]
)
def test_what_is_no_json_is_refused(text: bytes) -> None:
    for read in (check_json, parse_json, load_json):
        with pytest.raises(JsonError):
            read(text)


@pytest.mark.parametrize("depth", [2_000, 100_000])
def test_depth_is_bounded(depth: int) -> None:
    with pytest.raises(JsonError):
        load_json(b"[" * depth + b"]" * depth)
    with pytest.raises(JsonError):
        load_json(b'["\\ud800",' + b"[" * depth + b"]" * depth + b"]")
