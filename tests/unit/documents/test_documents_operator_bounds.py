"""How much a command may hold, and that nothing wild makes the walk deep or long."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from runtime.documents.errors import DatabaseError
from runtime.documents.operators import OperatorLimits, check_command
from runtime.messages.documents import DocumentCommand, Verb
from tests.unit.documents.document_commands_support import aggregate, find, insert, replace, update

LIMITS = OperatorLimits()


def deep(levels: int, key: str = "a") -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {key: value}
    return value


@pytest.mark.parametrize(
    "make", [find, insert, replace, lambda each: update({"$set": {"a": each}})]
)
@pytest.mark.parametrize("levels", [101, 5_000, 200_000])
def test_deep_values_are_refused_without_recursion(make: Any, levels: int) -> None:
    with pytest.raises(DatabaseError, match="deeper than 100"):
        check_command(make(deep(levels)), LIMITS)


@pytest.mark.parametrize("levels", [60, 100, 150])
def test_the_deepest_values_that_pass_need_few_frames(levels: int) -> None:
    limits = OperatorLimits(depth=levels)
    nested_filter: Any = {"a": 1}
    expression: Any = 1
    elements: Any = {"a": 1}
    for _ in range(levels // 2 - 4):
        nested_filter = {"$or": [nested_filter]}
        expression = {"$not": [expression]}
        elements = {"a": {"$elemMatch": elements}}
    before = sys.getrecursionlimit()
    frames = 0
    frame = sys._getframe()
    while frame.f_back is not None:
        frames, frame = frames + 1, frame.f_back
    sys.setrecursionlimit(frames + 3 * levels + 30)
    try:
        check_command(find(deep(levels - 1)), limits)
        check_command(find(nested_filter), limits)
        check_command(find(elements), limits)
        check_command(aggregate({"$set": {"a": expression}}), limits)
    finally:
        sys.setrecursionlimit(before)


def test_a_depth_beyond_what_the_walkers_go_is_no_limit() -> None:
    with pytest.raises(ValueError, match="150"):
        OperatorLimits(depth=151)


@pytest.mark.parametrize("name", ["$in", "$nin", "$all"])
def test_a_million_ids(name: str) -> None:
    with pytest.raises(DatabaseError, match=r"values|items"):
        check_command(find({"_id": {name: ["5f00000000000000000000a1"] * 1_000_000}}), LIMITS)
    ids = ["5f00000000000000000000a1"] * 10_000
    check_command(find({"_id": {name: ids}}), LIMITS)
    with pytest.raises(DatabaseError, match="10000 items"):
        check_command(find({"_id": {name: [*ids, "x"]}}), LIMITS)


def test_numbers_of_things() -> None:
    limits = OperatorLimits(values=20, choices=3, documents=2, stages=1)
    docs = DocumentCommand(
        verb=Verb.INSERT_MANY, collection="users", arguments={"docs": [{}, {}, {}]}
    )
    for command in (
        find({"$or": [{}] * 4}),
        find({"a": [0] * 21}),
        update({"$pullAll": {"a": [1] * 4}}),
        aggregate({"$project": {"a": {"$in": [1, [1, 2, 3, 4]]}}}),
        aggregate({"$skip": 1}, {"$limit": 1}),
        docs,
    ):
        with pytest.raises(DatabaseError, match="more than"):
            check_command(command, limits)
        check_command(command, LIMITS)
