"""Bombs of expressions and stages are refused by an estimate; what programs really write passes."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.documents.errors import DatabaseError
from runtime.documents.operators import OperatorLimits, check_command
from tests.unit.documents.document_commands_support import aggregate, find

LIMITS = OperatorLimits()
Stages = list[dict[str, Any]]


def shown(expression: Any) -> Stages:
    return [{"$project": {"shown": expression}}]


def each(source: Any, into: Any, name: str = "this") -> dict[str, Any]:
    return {"$map": {"input": source, "as": name, "in": into}}


def upto(end: Any) -> dict[str, Any]:
    return {"$range": [0, end]}


def reduced(into: Any, first: Any = None, source: Any = "$a") -> Stages:
    return shown({"$reduce": {"input": source, "initialValue": first, "in": into}})


def joined(*parts: Any) -> dict[str, Any]:
    return {"$concatArrays": list(parts)}


def merged(**fields: Any) -> dict[str, Any]:
    return {"$mergeObjects": ["$$value", fields]}


def within(first: Any, into: Any, source: Any = "$b") -> dict[str, Any]:
    return {"$reduce": {"input": source, "initialValue": first, "in": into}}


TWICE = "more than once"
STEPS = "1000000 steps"
VALUES = "10000000 values"

REFUSED: list[tuple[Stages, str]] = [
    # Loops within loops, wherever the large range comes from.
    (shown(each(upto(3000), {"$size": each(upto(3000), 1)})), STEPS),
    (shown(each(upto("$n"), each(upto("$n"), 1))), STEPS),
    (shown(upto(100_000_000)), STEPS),
    (shown({"$range": [100_000_000, 0, -1]}), STEPS),
    (shown({"$let": {"vars": {"r": upto(3000)}, "in": each("$$r", each("$$r", 1, "x"))}}), STEPS),
    (shown({"$filter": {"input": upto(9000), "cond": {"$in": [1, upto(9000)]}}}), STEPS),
    (shown(each("$a", each("$a", each("$a", each("$a", 1))))), STEPS),
    ([{"$match": {"$or": [{"$expr": each(upto(3000), each(upto(3000), 1))}]}}], STEPS),
    ([{"$set": {"r": upto(3000)}}, *shown(each("$r", each("$r.x", 1)))], STEPS),
    ([{"$set": {"r": upto(3000)}}, *shown(each("$$ROOT.r", each("$$CURRENT.r", 1)))], STEPS),
    ([{"$replaceWith": {"r": upto(3000)}}, *shown(each("$r", each("$r", 1)))], STEPS),
    (
        shown(
            {
                "$let": {
                    "vars": {"CURRENT": {"r": upto(3000)}},
                    "in": each("$r", each("$$CURRENT.r", 1)),
                }
            }
        ),
        STEPS,
    ),
    (reduced({"$let": {"vars": {"CURRENT": "$$value"}, "in": ["$a", "$a"]}}), TWICE),
    ([{"$redact": each(upto(3000), each(upto(3000), 1))}], STEPS),
    ([{"$group": {"_id": each(upto(3000), each(upto(3000), 1))}}], STEPS),
    ([{"$group": {"_id": 1, "n": {"$sum": each(upto(3000), each(upto(3000), 1))}}}], STEPS),
    ([{"$bucketAuto": {"groupBy": "$n", "buckets": 2_000_000_000}}], STEPS),
    (
        [
            {"$set": {"r": upto(3000)}},
            *shown(
                {
                    "$let": {
                        "vars": {"CURRENT": 1},
                        "in": each("$$ROOT.r", each("$$ROOT.r", 1)),
                    }
                }
            ),
        ],
        STEPS,
    ),
    (
        [
            {"$set": {"r": upto(3000)}},
            {
                "$lookup": {
                    "from": "b",
                    "let": {"r": "$r"},
                    "pipeline": shown(each("$$r", each("$$r", 1))),
                    "as": "b",
                }
            },
        ],
        STEPS,
    ),
    ([{"$project": {"a.b": upto(10**9), "a.c": "$d"}}], STEPS),
    ([{"$geoNear": {"near": [0, 0], "query": {"$expr": upto(10**9)}}}], STEPS),
    (
        [
            {
                "$graphLookup": {
                    "from": "b",
                    "startWith": 1,
                    "as": "c",
                    "connectFromField": "a",
                    "connectToField": "b",
                    "restrictSearchWithMatch": {"$expr": upto(10**6)},
                }
            }
        ],
        STEPS,
    ),
    ([{"$bucket": {"groupBy": "$a", "boundaries": [0, {"$size": upto(10**9)}]}}], STEPS),
    (shown({"$range": [0, 10, 1e-320]}), STEPS),
    # Stages that multiply.
    ([{"$set": {"r": upto(3000)}}, {"$unwind": "$r"}] * 2, STEPS),
    ([{"$set": {"r": upto(3000)}}, {"$unwind": {"path": "$r"}}] * 2, STEPS),
    ([{"$facet": {"f": [{"$set": {"r": upto(3000)}}, {"$unwind": "$r"}] * 2}}], STEPS),
    ([{"$unionWith": {"coll": "b", "pipeline": shown(upto(10**9))}}], STEPS),
    (
        [
            {"$group": {"_id": None, "a": {"$push": "$$ROOT"}}},
            {"$project": {"a": joined("$a", "$a")}},
            {"$unwind": "$a"},
        ]
        * 10,
        STEPS,
    ),
    # What is named twice doubles.
    ([{"$set": {"a": ["$a", "$a"]}}] * 40, VALUES),
    ([{"$replaceWith": {"a": "$$ROOT", "b": "$$ROOT"}}] * 40, VALUES),
    (
        shown({"$replaceAll": {"input": "x" * 10**6, "find": "x", "replacement": "x" * 10**6}}),
        STEPS,
    ),
    (reduced({"$concat": ["$$value", "$$value"]}, "a"), TWICE),
    (reduced(["$$value", "$$value"]), TWICE),
    (reduced({"a": "$$value", "b": "$$value.a"}), TWICE),
    (reduced({"a": "$$value.b", "b": ["$$value.a", "$$value.b"]}), TWICE),
    (reduced({"$let": {"vars": {"x": "$$value"}, "in": ["$$x", "$$x"]}}), TWICE),
    (reduced({"$replaceAll": {"input": "$$value", "find": "a", "replacement": "$$value"}}), TWICE),
    (reduced(each(upto(9), "$$value")), TWICE),
    (reduced(joined("$$value", within("$$value", joined("$$value", ["$$this"])))), TWICE),
    (reduced(within([], joined("$$value", "$$this"), ["$$value", "$$value"])), TWICE),
    (reduced(merged(other="$$value")), TWICE),
    (
        reduced({"$mergeObjects": ["$$value", {"a": 1}, {"a": ["$$value.a", "$$value.a"]}]}),
        TWICE,
    ),
    (reduced({"$mergeObjects": ["$$value", {"": "$$value"}]}), TWICE),
]

PASSED: list[Stages] = [
    shown(each("$items", each("$$this.parts", {"$multiply": ["$$this.price", "$$this.number"]}))),
    shown(each(upto({"$size": "$a"}), {"$arrayElemAt": ["$a", "$$this"]})),
    shown(each(upto(24), each(upto(7), 0))),
    shown({"$filter": {"input": "$a", "cond": {"$in": ["$$this.id", ["x"] * 1000]}}}),
    shown(each({"$objectToArray": "$$ROOT"}, "$$this.k")),
    shown({"$zip": {"inputs": ["$a", "$b"], "defaults": [0, 0]}}),
    shown({"$switch": {"branches": [{"case": {"$gt": ["$n", 1]}, "then": "a"}], "default": "b"}}),
    shown({"$literal": ["$range", 100_000_000]}),
    shown({"$range": [0, 10, 0]}),
    reduced({"$add": ["$$value", "$$this"]}, 0),
    reduced({"$cond": [{"$gt": ["$$this", "$$value"]}, "$$this", "$$value"]}),
    reduced({"$concat": ["$$value", {"$cond": [{"$eq": ["$$value", ""]}, "", ","]}, "$$this"]}, ""),
    reduced(joined("$$value", "$$this"), []),
    reduced(
        {"$cond": [{"$in": ["$$this", "$$value"]}, "$$value", joined("$$value", ["$$this"])]}, []
    ),
    reduced(
        {"sum": {"$add": ["$$value.sum", 1]}, "all": joined("$$value.all", ["$$value.sum"])}, {}
    ),
    reduced(merged(all=joined("$$value.all", ["$$this"])), {}),
    reduced(joined("$$value", within([], joined("$$value", ["$$this"]))), []),
    [
        {"$set": {"day": upto(365)}},
        {"$unwind": "$day"},
        {
            "$lookup": {
                "from": "visits",
                "let": {"day": "$day"},
                "pipeline": [{"$match": {"$expr": {"$eq": ["$day", "$$day"]}}}],
                "as": "visits",
            }
        },
        {"$group": {"_id": "$day", "number": {"$sum": {"$size": "$visits"}}}},
    ],
    [
        {"$group": {"_id": None, "all": {"$push": "$$ROOT"}}},
        {"$unwind": {"path": "$all", "includeArrayIndex": "rank"}},
        {"$replaceRoot": {"newRoot": {"$mergeObjects": ["$all", {"rank": "$rank"}]}}},
    ],
    [
        {"$facet": {"new": [{"$match": {"age": 1}}], "old": []}},
        {"$project": {"all": joined("$new", "$old")}},
        {"$unwind": "$all"},
        {"$sortByCount": "$all.kind"},
    ],
    [{"$project": {"a": {"x": "$a", "y": "$b", "z": "$c"}}}] * 10,
    [{"$unwind": "$a"}, {"$unwind": "$a.b"}, {"$unwind": "$a.b.c"}],
]


@pytest.mark.parametrize(("stages", "why"), REFUSED)
def test_bombs_are_refused(stages: Stages, why: str) -> None:
    with pytest.raises(DatabaseError, match=why):
        check_command(aggregate(*stages), LIMITS)


@pytest.mark.parametrize("stages", PASSED)
def test_what_programs_write_passes(stages: Stages) -> None:
    check_command(aggregate(*stages), LIMITS)


def test_the_estimate_itself_is_bounded() -> None:
    nested: Any = "$$this"
    for _ in range(20):
        nested = within(0, {"$add": ["$$value", nested]}, [1])
    with pytest.raises(DatabaseError, match="within each other"):
        check_command(aggregate(*shown(nested)), LIMITS)


def test_filters_of_other_commands_are_estimated_too() -> None:
    with pytest.raises(DatabaseError, match="query would take more than"):
        check_command(find({"$and": [{"$expr": upto(10**9)}]}), LIMITS)
    check_command(find({"$expr": {"$in": ["$a", upto(100)]}}), LIMITS)


def test_the_bound_is_a_setting() -> None:
    command = aggregate(*shown(each(upto(3000), each(upto(3000), 1))))
    check_command(command, OperatorLimits(steps=100_000_000))
    with pytest.raises(DatabaseError, match=r"1000 steps.*collection users"):
        check_command(aggregate(*shown(upto(50_000))), OperatorLimits(steps=1000))
