from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.documents.rule_documents import document_of_policies, policies_of_document
from runtime.documents.rule_text import RULE_MAX_CHARACTERS, parse_rule
from runtime.messages import CollectionPolicy, PolicyName
from runtime.placed_json import (
    Array,
    Node,
    Object,
    PlacedJsonError,
    Text,
    Value,
    read_json,
)
from runtime.rule_json import RuleTextError

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=12,
)


def plain(node: Node, text: str) -> Any:
    if isinstance(node, Object):
        return {name.value: plain(value, text) for name, value in node.members}
    if isinstance(node, Array):
        return json.loads(text[node.start : node.end])
    return node.value


@given(json_values, st.booleans(), st.sampled_from([None, 1]))
def test_reads_json_as_python_does(value: Any, ascii_only: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert plain(read_json(text), text) == value


@given(st.text(alphabet='{}[]:,"\\ue019.-truefalsn \n\x00', max_size=20))
def test_accepts_nothing_that_is_no_json(text: str) -> None:
    try:
        read_json(text)
        refused_at = None
    except PlacedJsonError as error:
        refused_at = error.at
    if refused_at is None:
        json.loads(text)
    else:
        assert 0 <= refused_at <= len(text)


def test_characters_of_strings_know_their_place() -> None:
    node = read_json(r'  "a\n\u00e9\ud83d\ude00b"')
    assert isinstance(node, Text)
    assert node.value == "a\né😀b"
    assert [node.at(index) for index in range(6)] == [3, 4, 6, 12, 24, 25]


def test_numbers_are_values() -> None:
    assert read_json(" -1.5e3 ") == Value(1, 7, -1500.0)
    assert parse_rule('{"odd": ' + "1" * 9_000 + "}").grants == {}


def test_a_rule() -> None:
    rule = parse_rule('{".read": true, "*": false, ".delete": [{"a": 1}], "": null}')
    assert rule.grants == {".read": True, "*": False}


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("", [(1, 1)]),
        ("[]", [(1, 1)]),
        ("true", [(1, 1)]),
        ('{".read": tru}', [(1, 11)]),
        ('{".read": NaN}', [(1, 11)]),
        ('{".read": true,}', [(1, 16)]),
        ('{".read": true} x', [(1, 17)]),
        ("{'.read': true}", [(1, 2)]),
        ('{\r\n  ".read": true\r  ".write": 1}', [(3, 3)]),
        ('{\n ".read": 1,\n ".write": "x",\n "*": null}', [(2, 11), (3, 13), (4, 7)]),
        ('{".read": true, ".read": true}', [(1, 17)]),
        ('{".read": true, "\\u002eread": true}', [(1, 17)]),
        ('{"odd": {"a": 1, "a": 2}}', [(1, 18)]),
        (r'{".read": "\u0020\"a\" == b"}', [(1, 27)]),
        ('{".read": "null =="}', [(1, 19)]),
        ('{".read": {"a": true}}', [(1, 11)]),
        ('{".read": "\\ud800"}', [(1, 12)]),
        ('{"a": ' + "[" * 40, [(1, 37)]),
    ],
)
def test_every_fault_has_its_place(text: str, places: list[tuple[int, int]]) -> None:
    with pytest.raises(RuleTextError) as refused:
        parse_rule(text)
    assert [(fault.place.line, fault.place.column) for fault in refused.value.faults] == places
    assert refused.value.code == "InvalidParameter.Policy"
    assert f"line {places[0][0]}, column {places[0][1]}: " in refused.value.message


def test_a_text_has_a_bound() -> None:
    with pytest.raises(RuleTextError, match="at most 10000 characters"):
        parse_rule("{" + " " * RULE_MAX_CHARACTERS + "}")


def test_many_faults_make_a_short_message() -> None:
    with pytest.raises(RuleTextError, match="and 5 more") as refused:
        parse_rule("{" + ", ".join(['".read": 1'] * 10) + "}")
    assert len(refused.value.faults) == 10


GUIDE = """{
    "db": {
        "posts": { ".write": true, "odd": [1,  2],
            ".read": "request.auth.userId==resource.auth.userId" },
        "*": {
            "*": false
        }
    }
}
"""


def test_the_document_of_the_guide_goes_there_and_back() -> None:
    policies = policies_of_document(GUIDE)
    assert list(policies) == ["posts", "*"]
    assert policies["posts"].name is PolicyName.EXTENDED
    assert policies["posts"].text.startswith('{ ".write": true, "odd": [1,  2],\n')
    assert policies_of_document(document_of_policies(policies)) == policies


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8),
        st.sampled_from(['{".read": true}', "{}", '{"*":\nfalse, "x": {}}']),
        max_size=4,
    )
)
def test_any_policies_go_there_and_back(texts: dict[str, str]) -> None:
    policies = {
        name: CollectionPolicy(name=PolicyName.EXTENDED, text=text) for name, text in texts.items()
    }
    document = document_of_policies(policies)
    json.loads(document)
    assert policies_of_document(document) == policies


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("[]", [(1, 1)]),
        ("{}", [(1, 1)]),
        ('{"db": []}', [(1, 8)]),
        ('{"db": {}, "file": {}}', [(1, 12)]),
        ('{"db": {}, "db": {}}', [(1, 12)]),
        ('{"db": {"a": {}, "a": {}}}', [(1, 18)]),
        ('{"db": {"a": true,\n "": {".read": 0}}}', [(1, 14), (2, 2), (2, 16)]),
        ('{"db": {"a": {"x": "' + "x" * RULE_MAX_CHARACTERS + '"}}}', [(1, 14)]),
    ],
)
def test_faults_of_a_document(text: str, places: list[tuple[int, int]]) -> None:
    with pytest.raises(RuleTextError) as refused:
        policies_of_document(text)
    assert [(fault.place.line, fault.place.column) for fault in refused.value.faults] == places
