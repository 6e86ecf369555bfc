"""What a database that computes in an interpreter is asked instead, and what it is thought to cost."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.documents.arithmetic import (
    DATE_TEXT_MAX,
    EXPONENT_MAX,
    FORMS_MAX,
    asked,
    interpretable,
)
from runtime.documents.errors import DatabaseError
from runtime.documents.operators import OperatorLimits, check_command
from tests.unit.documents.document_commands_support import aggregate, find, insert, update
from tests.unit.documents.test_documents_expression_bounds import PASSED, Stages, each, shown, upto

LIMITS = OperatorLimits(interpreted=True)
DATE = "2020-01-01T00:00:00Z"


@pytest.mark.parametrize(
    "expression",
    [
        {"$pow": [10, EXPONENT_MAX]},
        {"$pow": ["$n", -(10**9)]},
        {"$pow": [1.05, "$years"]},
        {"$pow": ["$n", 1e9]},
        {"$pow": "$n"},
        {"$pow": ["$n", "$m", 1]},
        {"$sin": 1.5},
        {"$atan2": [1, 0.5]},
        {"$toDate": DATE},
        {"$toDate": "x" * DATE_TEXT_MAX},
        {"$dateFromString": {"dateString": DATE}},
        {"$dateFromString": {}},
        {"$convert": {"input": "$s", "to": "int"}},
        {"$convert": {"input": "x" * 1_000, "to": "string"}},
        {"$convert": "$s"},
        {"$range": [0, 10, 2]},
        {"$range": "$n"},
        {"$add": ["$n", {"$multiply": [2, "$m"]}]},
        {"$in": ["$n", [1, 2.5, None, True, "$m"]]},
    ],
)
def test_what_is_harmless_stays_as_it_is(expression: Any) -> None:
    assert asked(expression) == expression


@pytest.mark.parametrize(
    "expression",
    [
        {"$pow": [10, EXPONENT_MAX + 1]},
        {"$pow": ["$n", "$m"]},
        {"$pow": [10, {"$literal": 10**9}]},
        {"$sin": "$n"},
        {"$sinh": ["$n"]},
        {"$atan2": [1, "$n"]},
        {"$toDate": "x" * (DATE_TEXT_MAX + 1)},
        {"$toDate": ["$s"]},
        {"$dateFromString": {"dateString": "$s"}},
        {"$convert": {"input": "$s", "to": "date"}},
        {"$convert": {"input": "$s", "to": 9}},
        {"$convert": {"input": "$s", "to": 9.0}},
        {"$convert": {"input": "$s", "to": "$kind"}},
        {"$convert": {"input": "$s", "to": {"type": "date"}}},
        {"$range": [0, "$n"]},
        {"$range": [0, 10, {"$add": [1, 1]}]},
    ],
)
def test_what_may_take_long_is_asked_in_another_way_wherever_it_stands(expression: Any) -> None:
    other = asked(expression)
    assert other != expression
    within = [
        {"$match": {"$or": [{"$expr": expression}]}},
        {"$facet": {"a": [{"$set": {"b": expression}}]}},
    ]
    expected = [
        {"$match": {"$or": [{"$expr": other}]}},
        {"$facet": {"a": [{"$set": {"b": other}}]}},
    ]
    assert interpretable(aggregate(*within)).arguments["pipeline"] == expected
    assert interpretable(find({"$expr": expression})).arguments["query"] == {"$expr": other}


def test_an_operand_is_computed_once() -> None:
    assert str(asked({"$pow": ["$n", "$m"]})).count("'$m'") == 1
    assert str(asked({"$range": ["$n", "$m", "$k"]})).count("'$k'") == 1
    assert str(asked({"$sin": "$n"})).count("'$n'") == 1


def test_a_second_name_of_a_variable_is_not_taken() -> None:
    """The operands stand where the variables of the form are not yet made."""
    ((name, let),) = asked({"$pow": ["$$it", "$$base"]}).items()
    assert name == "$let"
    assert let["vars"] == {
        "base": {"$ifNull": ["$$it", None]},
        "it": {"$ifNull": ["$$base", None]},
    }


def test_documents_and_updates_are_not_looked_at() -> None:
    for command in (insert({"a": {"b": [1]}}), update({"$set": {"a": [1]}})):
        assert interpretable(command) == command


def test_forms_within_each_other_are_bounded() -> None:
    expression: Any = "$n"
    for _ in range(FORMS_MAX):
        expression = {"$sin": {"$add": [expression, 1]}}
    asked(expression)
    with pytest.raises(DatabaseError, match="within each other"):
        asked({"$cos": expression})
    asked([expression, expression])


DEAR: list[Stages] = [
    shown({"$multiply": ["$n"] * 10_000}),
    shown({"$setDifference": [upto(2000), upto(2000)]}),
    shown({"$setIntersection": [upto(2000), upto(2000)]}),
    shown({"$setIsSubset": [upto(2000), upto(2000)]}),
    shown({"$zip": {"inputs": [[1]] * 1000 + [upto(20_000)], "useLongestLength": True}}),
    shown({"$zip": {"useLongestLength": True, "inputs": [[1]] * 1000 + [upto(20_000)]}}),
    shown(each({"$zip": {"inputs": [upto(3000)]}}, each({"$zip": {"inputs": [upto(3000)]}}, 1))),
    shown(each({"$split": ["a," * 2000, ","]}, each({"$split": ["a," * 2000, ","]}, 1))),
    shown(each(upto(20_000), {"$ln": {"$toDecimal": "2"}})),
    shown(each(upto(1000), {"$toDate": DATE})),
    shown(each(upto(2000), {"$convert": {"input": "$d", "to": "long"}})),
    shown({"$percentile": {"input": "$a", "p": [0.5] * 2000, "method": "approximate"}}),
]


@pytest.mark.parametrize("stages", DEAR, ids=map(str, range(len(DEAR))))
def test_what_an_interpreter_does_slowly_is_refused_there_only(stages: Stages) -> None:
    check_command(aggregate(*stages), OperatorLimits())
    with pytest.raises(DatabaseError, match="steps") as refused:
        check_command(aggregate(*stages), LIMITS)
    assert refused.value.code == "146"


USUAL: list[Stages] = [
    *PASSED,
    shown({"$pow": [{"$add": [1, {"$divide": ["$rate", 100]}]}, "$years"]}),
    shown({"$multiply": ["$price", "$number", {"$subtract": [1, "$discount"]}]}),
    shown(each("$items", {"$dateToString": {"date": {"$toDate": "$$this.at"}, "format": "%Y"}})),
    shown({"$setIntersection": ["$tags", ["a", "b", "c"]]}),
    shown(each({"$split": ["$name", " "]}, {"$toUpper": "$$this"})),
    [{"$lookup": {"from": "b", "as": "b", "pipeline": shown({"$toDate": "$at"})}}],
    [{"$group": {"_id": {"$toDate": "$at"}, "n": {"$sum": {"$toInt": "$n"}}}}],
]


@pytest.mark.parametrize("stages", USUAL, ids=map(str, range(len(USUAL))))
def test_what_programs_write_passes(stages: Stages) -> None:
    command = aggregate(*stages)
    check_command(command, LIMITS)
    interpretable(command)
