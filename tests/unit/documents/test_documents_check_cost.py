"""What checking a command costs the server, counted in calls: linear in what was sent, however entangled."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from runtime.documents.errors import EXCEEDED_MEMORY_LIMIT, DatabaseError
from runtime.documents.expression_bounds import growth_problem, looks_max
from runtime.documents.expression_work import Work
from runtime.documents.operators import OperatorLimits, check_command
from runtime.documents.owner import for_trusted
from runtime.documents.walk import has_more_values
from runtime.messages.documents import DocumentCommand, Verb
from tests.unit.documents.document_commands_support import aggregate, find

VALUES = 20_000
"""What a client may send by default, and less than 3 MiB hold."""
CALLS_PER_VALUE = 150


def numbered(name: str, value: Any, number: int) -> dict[str, Any]:
    return {f"{name}{each}": value for each in range(number)}


def gathered(into: Any) -> dict[str, Any]:
    """Of a `$reduce`, whose `$$value` is followed through what it makes."""
    return {"$project": {"x": {"$reduce": {"input": "$a", "initialValue": 0, "in": into}}}}


def members(number: int) -> dict[str, str]:
    return {f"k{each}": f"$$value.k{each}" for each in range(number)}


def nested(value: Any, levels: int, wrap: Callable[[Any], Any]) -> Any:
    for _ in range(levels):
        value = wrap(value)
    return value


def within(inner: Any) -> Any:
    return {"$reduce": {"input": [1], "initialValue": 0, "in": {"$add": ["$$value", inner]}}}


ENTANGLED: dict[str, Callable[[int], DocumentCommand]] = {
    "the whole document often": lambda size: aggregate(
        {"$addFields": numbered("a", 1, size // 2)},
        {"$project": numbered("p", "$$ROOT", size // 2)},
    ),
    "the whole document in each stage": lambda size: aggregate(
        *({"$addFields": numbered(f"s{each}_", "$$ROOT", size // 50)} for each in range(49))
    ),
    "many merged": lambda size: aggregate(
        gathered(
            {"$mergeObjects": [*members(size // 2).values(), *([{"k1": 1, "k2": 1}] * (size // 6))]}
        )
    ),
    "another current": lambda size: aggregate(
        {"$addFields": numbered("a", 1, size // 4)},
        {"$project": numbered("p", {"$let": {"vars": {"CURRENT": "$x"}, "in": "$y"}}, size // 6)},
    ),
    "many members gathered": lambda size: aggregate(gathered(members(size))),
    "many choices": lambda size: aggregate(gathered({"$cond": [1, *members(size).values()]})),
    "members deep inside": lambda size: aggregate(
        gathered(nested(members(size), 80, lambda each: [each]))
    ),
    "a variable with many members": lambda size: aggregate(
        gathered({"$let": {"vars": {"x": members(size // 2)}, "in": ["$$x.a"] * (size // 2)}})
    ),
    "many facets": lambda size: aggregate(
        {"$addFields": numbered("a", 1, size // 2)}, {"$facet": numbered("f", [], size // 2)}
    ),
    "many variables": lambda size: aggregate(
        {
            "$project": {
                "x": {
                    "$let": {
                        "vars": numbered("v", 1, size // 2),
                        "in": [{"$let": {"vars": {"q": 1}, "in": 1}}] * (size // 12),
                    }
                }
            }
        }
    ),
    "loops within loops": lambda size: aggregate(
        {"$project": {"x": nested([1] * (size - 100), 12, within)}}
    ),
}


def calls(function: Callable[[], object], most: int) -> int:
    """How many functions are called, ours and Python's. Fails as soon as there are too many."""
    number = 0

    def count(_frame: FrameType, event: str, _of: object) -> None:
        nonlocal number
        number += event in ("call", "c_call")
        if number > most:
            raise AssertionError(f"more than {most} calls")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        function()
    except DatabaseError:
        pass
    finally:
        sys.setprofile(before)
    return number


@pytest.mark.parametrize("name", ENTANGLED)
def test_the_largest_entangled_commands_cost_a_bounded_number_of_calls(name: str) -> None:
    command = ENTANGLED[name](VALUES)
    limits = OperatorLimits(values=2 * VALUES)
    assert has_more_values([command.arguments["pipeline"]], VALUES // 2)
    most = CALLS_PER_VALUE * VALUES
    assert VALUES // 10 < calls(lambda: check_command(command, limits), most) <= most


@pytest.mark.parametrize("name", ENTANGLED)
def test_the_estimate_gives_up_when_it_has_looked_too_often(name: str) -> None:
    command = ENTANGLED[name](2_000)
    work = Work(10**9, looks_max(2_000))
    problem = growth_problem(command, work)
    largest_single_look = 2_000
    assert work.looks <= work.looks_max + largest_single_look
    assert problem is None or "entangled" in problem or "values" in problem


@pytest.mark.parametrize("name", ["members deep inside", "many variables"])
def test_what_is_too_entangled_has_the_code_of_too_much_memory(name: str) -> None:
    command = ENTANGLED[name](2_000)
    with pytest.raises(DatabaseError, match="too entangled") as refusal:
        check_command(command, OperatorLimits())
    assert refusal.value.number == EXCEEDED_MEMORY_LIMIT


def test_plain_documents_are_looked_at_few_times() -> None:
    docs = [numbered("field", "text", 19) for _ in range(VALUES // 20)]
    command = DocumentCommand(
        verb=Verb.INSERT_MANY, collection="users", arguments={"docs": docs}, options={}
    )
    most = 5 * VALUES
    assert calls(lambda: check_command(command, OperatorLimits()), most) <= most
    assert calls(lambda: for_trusted(command, "tom"), VALUES) <= VALUES


def test_counting_values_ends_with_the_first_too_many() -> None:
    class Unread(dict[str, Any]):
        def __len__(self) -> int:
            raise AssertionError("looked at")

    assert has_more_values([Unread(), [0] * 50], 50)
    assert not has_more_values([{"a": {"b": [1, 2]}}], 5)
    assert has_more_values([{"a": {"b": [1, 2]}}], 4)


def test_facets_without_stages_are_counted() -> None:
    with pytest.raises(DatabaseError, match="more than 50 stages"):
        check_command(aggregate({"$facet": numbered("f", [], 50)}), OperatorLimits())
    check_command(aggregate({"$facet": numbered("f", [], 49)}), OperatorLimits())


def test_many_ids_in_an_expression_are_not_entangled() -> None:
    ids = [f"{each:024x}" for each in range(10_000)]
    check_command(find({"$expr": {"$in": ["$_id", ids]}}), OperatorLimits())
