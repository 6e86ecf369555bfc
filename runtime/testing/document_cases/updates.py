"""Update operators, positions in arrays, upserts, and what is refused."""

from __future__ import annotations

from typing import Any

from runtime.messages import Verb
from runtime.testing.document_cases.case import DAY, ID, Case, Doc, Docs, changes


def _one(
    update: Any, before: Doc, after: Doc, name: str, *, affected: int = 1, **options: Any
) -> Case:
    """Of the one document with id 1."""
    documents, changed = [{"_id": 1, **before}], [{"_id": 1, **after}]
    return changes(name, documents, {"_id": 1}, update, changed, affected=affected, **options)


def _refused(update: Any, before: Doc, number: int, name: str, **options: Any) -> Case:
    return changes(name, [{"_id": 1, **before}], {"_id": 1}, update, error=number, **options)


_GRADES = {"g": [{"n": "a", "v": 80}, {"n": "b", "v": 90}, {"n": "c", "v": 95}]}
_THREE: Docs = [{"_id": i, "n": i} for i in (1, 2, 3)]

UPDATES: tuple[Case, ...] = (
    _one({"$set": {"a.b.c": 1}}, {}, {"a": {"b": {"c": 1}}}, "set makes documents"),
    _one({"$set": {"a.1": 9}}, {"a": [1, 2]}, {"a": [1, 9]}, "set an item"),
    _one({"$set": {"a.3": 9}}, {"a": [1]}, {"a": [1, None, None, 9]}, "set an item past the end"),
    _one({"$set": {"d": DAY}}, {}, {"d": DAY}, "set a date"),
    _one({"$set": {"a": {"x": 1}}}, {"a": {"y": 1}}, {"a": {"x": 1}}, "set replaces documents"),
    _one({"$unset": {"a.b": ""}}, {"a": {"b": 1, "c": 2}}, {"a": {"c": 2}}, "unset"),
    _one({"$unset": {"a.0": ""}}, {"a": [1, 2]}, {"a": [None, 2]}, "unset an item"),
    _one({"$inc": {"n": 2, "m": -1.5}}, {"n": 1}, {"n": 3, "m": -1.5}, "inc, missing is 0"),
    _one({"$inc": {"n": 1}}, {"n": 2**31 - 1}, {"n": 2**31}, "inc grows into long"),
    _one({"$mul": {"n": 3, "m": 2}}, {"n": 2}, {"n": 6, "m": 0}, "mul"),
    _one({"$min": {"n": 1}, "$max": {"m": 5}}, {"n": 2, "m": 3}, {"n": 1, "m": 5}, "min and max"),
    _one({"$max": {"n": "a"}}, {"n": 5}, {"n": "a"}, "max by order of types"),
    _one({"$max": {"n": 1}}, {"n": 5}, {"n": 5}, "max that changes nothing", affected=0),
    _one({"$rename": {"a": "b"}}, {"a": 1}, {"b": 1}, "rename"),
    _one({"$push": {"a": 3}}, {"a": [1]}, {"a": [1, 3]}, "push"),
    _one({"$push": {"a": [3]}}, {}, {"a": [[3]]}, "push makes the array"),
    _one({"$push": {"a": {"$each": [3, 1], "$sort": 1, "$slice": 2}}}, {"a": [2]}, {"a": [1, 2]},
         "push each, sorted and cut"),
    _one({"$push": {"a": {"$each": [{"s": 1}], "$sort": {"s": 1}}}}, {"a": [{"s": 2}]},
         {"a": [{"s": 1}, {"s": 2}]}, "push sorted by a field"),
    _one({"$push": {"a": {"$each": [9], "$position": 0}}}, {"a": [1]}, {"a": [9, 1]},
         "push at a position"),
    _one({"$push": {"a": {"$each": [8, 9], "$slice": -2}}}, {"a": [1]}, {"a": [8, 9]},
         "push and keep the last"),
    _one({"$addToSet": {"a": 1}}, {"a": [1]}, {"a": [1]}, "add what is there", affected=0),
    _one({"$addToSet": {"a": {"$each": [1, 2, 2]}}}, {"a": [1]}, {"a": [1, 2]}, "add each"),
    _one({"$addToSet": {"a": True}}, {"a": [1]}, {"a": [1, True]}, "add: true is not one"),
    _one({"$pop": {"a": 1}}, {"a": [1, 2]}, {"a": [1]}, "pop the last"),
    _one({"$pop": {"a": -1}}, {"a": [1, 2]}, {"a": [2]}, "pop the first"),
    _one({"$pull": {"a": {"$gte": 2}}}, {"a": [1, 2, 3]}, {"a": [1]}, "pull by condition"),
    _one({"$pull": {"a": {"n": "x"}}}, {"a": [{"n": "x", "q": 1}, {"n": "y"}]},
         {"a": [{"n": "y"}]}, "pull by fields"),
    _one({"$pull": {"a": {"_id": ID}}}, {"a": [{"_id": ID}, {"_id": "b"}]}, {"a": [{"_id": "b"}]},
         "pull by an id inside"),
    _one({"$pullAll": {"a": [1, 3]}}, {"a": [1, 2, 3, 1]}, {"a": [2]}, "pull all"),
    _one({"$bit": {"n": {"and": 6}}}, {"n": 13}, {"n": 4}, "bit"),
    _one({"$setOnInsert": {"b": 1}, "$set": {"a": 2}}, {"a": 1}, {"a": 2}, "set on insert, none"),
    _one({"$set": {"a": 1}}, {"a": 1}, {"a": 1}, "same value", affected=0),
    changes("position", [{"_id": 1, **_GRADES}], {"_id": 1, "g.v": {"$gt": 85}},
            {"$set": {"g.$.v": 0}},
            [{"_id": 1, "g": [{"n": "a", "v": 80}, {"n": "b", "v": 0}, {"n": "c", "v": 95}]}]),
    changes("position by elemMatch", [{"_id": 1, **_GRADES}],
            {"g": {"$elemMatch": {"n": "c", "v": {"$gt": 1}}}}, {"$inc": {"g.$.v": 1}},
            [{"_id": 1, "g": [{"n": "a", "v": 80}, {"n": "b", "v": 90}, {"n": "c", "v": 96}]}]),
    _one({"$inc": {"g.$[].v": 1}}, _GRADES,
         {"g": [{"n": "a", "v": 81}, {"n": "b", "v": 91}, {"n": "c", "v": 96}]}, "all positions"),
    _one({"$set": {"g.$[high].v": 0}}, _GRADES,
         {"g": [{"n": "a", "v": 80}, {"n": "b", "v": 0}, {"n": "c", "v": 0}]},
         "positions by filter", arrayFilters=[{"high.v": {"$gte": 90}}]),
    _one({"$set": {"d.$[old]": "gone"}}, {"d": [DAY, "2021-01-01T00:00:00.000Z"]},
         {"d": ["gone", "2021-01-01T00:00:00.000Z"]}, "positions by a date",
         arrayFilters=[{"old": {"$lt": "2020-06-01T00:00:00.000Z"}}]),
    _one([{"$set": {"n": {"$add": ["$n", 1]}}}], {"n": 1}, {"n": 2}, "pipeline"),
    changes("one of several", _THREE, {"n": {"$gte": 1}}, {"$set": {"x": 1}}, affected=1),
    changes("many", _THREE, {"n": {"$gte": 2}}, {"$inc": {"n": 10}},
            [{"_id": 1, "n": 1}, {"_id": 2, "n": 12}, {"_id": 3, "n": 13}],
            verb=Verb.UPDATE_MANY, affected=2, result=None),
    changes("many, some the same", _THREE, {}, {"$set": {"n": 2}}, verb=Verb.UPDATE_MANY,
            affected=2),
    changes("many with positions", [{"_id": 1, "a": [1, 5]}, {"_id": 2, "a": [7]}], {},
            {"$set": {"a.$[x]": 0}}, [{"_id": 1, "a": [1, 0]}, {"_id": 2, "a": [0]}],
            verb=Verb.UPDATE_MANY, affected=2, arrayFilters=[{"x": {"$gt": 4}}]),
    changes("nothing found", _THREE, {"n": 9}, {"$set": {"x": 1}}, _THREE, affected=0, result=None),
    changes("upsert takes the filter's values", [], {"_id": 7, "a": 1, "b": {"$gt": 1}},
            {"$set": {"c": 2}}, [{"_id": 7, "a": 1, "c": 2}], upsert=True,
            result={"upsertedId": 7}),
    changes("upsert with an id", [], {"_id": ID}, {"$set": {"a": 1}}, [{"_id": ID, "a": 1}],
            upsert=True, result={"upsertedId": ID}),
    changes("upsert with an id on insert", [], {"a": 1}, {"$setOnInsert": {"_id": ID}},
            [{"_id": ID, "a": 1}], upsert=True, result={"upsertedId": ID}),
    changes("upsert that finds one", _THREE[:1], {"_id": 1},
            {"$set": {"a": 1}, "$setOnInsert": {"b": 1}}, [{"_id": 1, "n": 1, "a": 1}],
            upsert=True, result=None),
    changes("upsert of many", [], {"_id": 1}, {"$inc": {"n": 1}}, [{"_id": 1, "n": 1}],
            verb=Verb.UPDATE_MANY, upsert=True, result={"upsertedId": 1}),
    changes("many by ids", [{"_id": ID}, {"_id": "word"}], {"_id": {"$in": [ID, "word"]}},
            {"$set": {"a": 1}}, [{"_id": "word", "a": 1}, {"_id": ID, "a": 1}],
            verb=Verb.UPDATE_MANY, affected=2),
    _refused({"$inc": {"n": 1}}, {"n": "x"}, 14, "inc of a text"),
    _refused({"$inc": {"n": 1}}, {"n": None}, 14, "inc of null"),
    _refused({"$push": {"n": 1}}, {"n": 1}, 2, "push to a number"),
    _refused({"$set": {"a": 1}, "$inc": {"a": 1}}, {}, 40, "two changes of one field"),
    _refused({"$set": {"a": 1, "a.b": 1}}, {}, 40, "a field and one inside it"),
    _refused({"$set": {"_id": 2}}, {}, 66, "another id"),
    _refused({"$set": {"a.b": 1}}, {"a": 1}, 28, "path through a number"),
    _refused({"$set": {"a.$.b": 1}}, {"a": [{"b": 0}]}, 2, "position without a condition"),
    _refused({"$set": {"a.$[x]": 1}}, {"a": [1]}, 2, "position without a filter"),
    _refused({"$set": {"a.$[x]": 1}}, {"a": [1]}, 9, "filter of no position",
             arrayFilters=[{"x": 1}, {"y": 1}]),
    _refused({"$wrong": {"a": 1}}, {}, 9, "unknown operator"),
    _refused({"a": 1}, {}, 2, "no operators"),
)  # fmt: skip
