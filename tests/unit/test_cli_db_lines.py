"""Lines of other programs as documents."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.cli.db_lines import LineError, document_line


def made(line: str, number: int = 2, *, plain: bool = False) -> object:
    text = document_line(line.encode(), number, plain=plain)
    assert text.endswith(b"\n")
    assert text.count(b"\n") == 1
    return json.loads(text)


def test_extended_json_stays_as_it_is() -> None:
    document = {"_id": {"$oid": "5f00000000000000000000a1"}, "b": [{"$numberLong": "1"}], "a": 1.5}
    assert list(json.loads(json.dumps(made(json.dumps(document)))).items()) == list(
        document.items()
    )


def test_plain_values_get_their_types() -> None:
    line = json.dumps(
        {
            "_id": "5F00000000000000000000a1",
            "other": "5f00000000000000000000a1",
            "born": "1970-01-01T00:00:01.005Z",
            "in": [{"at": "1969-12-31T23:59:59.999Z"}],
            "not": [
                "1970-02-31T00:00:00.000Z",
                "1970-01-01T00:00:00Z",
                " 1970-01-01T00:00:00.000Z",
            ],
        }
    )
    assert made(line, plain=True) == {
        "_id": {"$oid": "5f00000000000000000000a1"},
        "other": "5f00000000000000000000a1",
        "born": {"$date": {"$numberLong": "1005"}},
        "in": [{"at": {"$date": {"$numberLong": "-1"}}}],
        "not": ["1970-02-31T00:00:00.000Z", "1970-01-01T00:00:00Z", " 1970-01-01T00:00:00.000Z"],
    }
    assert made(line) == json.loads(line)
    assert made('{"_id": "word"}', plain=True) == {"_id": "word"}


def test_a_made_id_is_the_same_again_and_another_in_another_line() -> None:
    first = document_line(b'{"a":1}\r\n', 7, plain=False)
    assert first == document_line(b'{"a":1}', 7, plain=False)
    assert first != document_line(b'{"a":1}', 8, plain=False)
    assert list(json.loads(first)) == ["_id", "a"]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"[", "jq -c"),
        (b'[{"a":1}]', "jq -c"),
        (b"1", "no JSON object"),
        (b"{", "no JSON"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": "\xff"}', "no text in UTF-8"),
        (b'{"a":' * 100_000, "nested too deeply"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_no_document(line: bytes, why: str) -> None:
    with pytest.raises(LineError, match=why):
        document_line(line, 2, plain=False)


def test_a_byte_order_mark_may_begin_the_file() -> None:
    assert document_line(b'\xef\xbb\xbf{"_id":1}', 1, plain=False) == b'{"_id":1}\n'
    with pytest.raises(LineError):
        document_line(b'\xef\xbb\xbf{"_id":1}', 2, plain=False)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        ),
        max_leaves=10,
    )
)
def test_any_document_goes_through_unchanged(value: object) -> None:
    document = {"_id": 1, "value": value}
    assert made(json.dumps(document)) == document
    assert made(json.dumps(document), plain=True) == document
