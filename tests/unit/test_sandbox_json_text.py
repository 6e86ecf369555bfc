from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.json_text import JsonDepthError, JsonError, check_json, dump_json, load_json

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON_VALUES)
def test_what_is_written_reads_back(value: Any) -> None:
    assert load_json(dump_json(value)) == value


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_can_be_written_and_read(text: str) -> None:
    written = dump_json(text)
    check_json(written)
    assert load_json(written) == text.encode("utf-8", "replace").decode()


@pytest.mark.parametrize(
    "text",
    [b'"\\ud800"', b'{"\\udfff": ["\\ud800", 1.5, -0.0, 1e3, true, null]}', b'"\\udc00\\ud800"'],
)
def test_lone_surrogates_are_let_through(text: bytes) -> None:
    check_json(text)
    assert load_json(text) == json.loads(
        text.replace(b"\\ud800", b"?").replace(b"\\udfff", b"?").replace(b"\\udc00", b"?")
    )


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"nope",
        b"NaN",
        b"-Infinity",
        b'["\\ud800", NaN]',
        b'["\\ud800", 1e999]',
        b"1e999",
        b"1 2",
        b'{"a":1',
        b'"\xff"',
        b'["\\ud800", "\xff"]',
        b"\xef\xbb\xbf1",
        '"utf-16 \\ud800"'.encode("utf-16"),
        b"[1,]",
    ],
)
def test_what_is_no_json_is_refused(text: bytes) -> None:
    with pytest.raises(JsonError):
        check_json(text)
    with pytest.raises(JsonError):
        load_json(text)


@pytest.mark.parametrize("leaf", [b"1", b'"\\ud800"'])
def test_too_deep_a_value_is_told_from_a_broken_one(leaf: bytes) -> None:
    for depth in (1100, 200_000):
        with pytest.raises(JsonDepthError):
            check_json(b"[" * depth + leaf + b"]" * depth)
    check_json(b"[" * 500 + leaf + b"]" * 500)


def test_what_json_cannot_say_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        dump_json(object())
