"""What got through once and does not any more."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.backends.space_documents.values import bson_value, json_value
from runtime.documents.errors import BAD_VALUE, OVERFLOW, TYPE_MISMATCH, DatabaseError
from runtime.documents.hidden import refuse_hidden
from runtime.documents.operators import OperatorLimits, check_command
from runtime.documents.parse import parse_command


def find(query: dict[str, Any], **options: Any) -> dict[str, Any]:
    return {"command": "find", "collection": "public", "query": query, "options": options}


@pytest.mark.parametrize("root", ["$$ROOT.", "$$CURRENT.", "$$ROOT..", "$$this..v", "$a..b", "$."])
def test_a_path_with_an_empty_part_is_no_other_name_of_the_document(root: str) -> None:
    query = {"$expr": {"$in": ["alice", {"$objectToArray": root}]}}
    with pytest.raises(DatabaseError) as error:
        check_command(parse_command(find(query)), OperatorLimits())
    assert error.value.number == BAD_VALUE


@pytest.mark.parametrize("root", ["$$ROOT", "$$ROOT.", "$$CURRENT."])
def test_a_filter_takes_no_whole_document_under_any_name(root: str) -> None:
    with pytest.raises(DatabaseError):
        refuse_hidden(parse_command(find({"$expr": {"$objectToArray": root}})))


@pytest.mark.parametrize("direction", [1e300, 2, 0, True, None, {}, float("inf")])
def test_a_hint_has_directions_or_kinds(direction: object) -> None:
    with pytest.raises(DatabaseError) as error:
        parse_command(find({}, hint={"n": direction}))
    assert error.value.number == TYPE_MISMATCH


def test_directions_of_a_hint_are_whole_numbers() -> None:
    hint = parse_command(find({}, hint={"n": 1.0, "m": -1.0, "t": "text"})).options["hint"]
    assert {name: type(value) for name, value in hint.items()} == {"n": int, "m": int, "t": str}


@pytest.mark.parametrize("value", ["\ud800", {"a": ["x", "\udfff"]}, "世\ud83d"])
def test_half_a_character_is_refused_before_anything_is_sent(value: object) -> None:
    with pytest.raises(DatabaseError) as error:
        bson_value(value)
    assert error.value.number == BAD_VALUE


def test_whole_characters_stay_as_they_are() -> None:
    assert bson_value(["世界", "😀"]) == ["世界", "😀"]


def test_an_answer_that_no_reader_could_nest_is_refused() -> None:
    answer: Any = 1
    for _ in range(200):
        answer = {"a": answer}
    assert json_value(answer) == answer
    for deeper in (2, 5000):
        for _ in range(deeper):
            answer = [answer]
        with pytest.raises(DatabaseError) as error:
            json_value(answer)
        assert error.value.number == OVERFLOW
