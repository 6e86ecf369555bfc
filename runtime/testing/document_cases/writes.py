"""Inserts, replacements, deletions, and the findOneAnd commands."""

from __future__ import annotations

from typing import Any

from runtime.messages import Verb
from runtime.testing.document_cases.case import ANY, DAY, ID, Case, Doc, Docs

_THREE: Docs = [{"_id": 1, "n": 3}, {"_id": 2, "n": 2}, {"_id": 3, "n": 1}]


def _writes(
    name: str,
    verb: Verb,
    before: Docs,
    arguments: Doc,
    after: Docs,
    *,
    affected: int = ANY,
    result: Any = ANY,
    error: int | None = None,
    **options: Any,
) -> Case:
    return Case(
        name=name,
        verb=verb,
        documents=before,
        arguments=arguments,
        options=options,
        after=after,
        affected=affected,
        result=result,
        error=error,
    )


def _inserted(given: Any) -> dict[str, Any]:
    return {"insertedId": given, "ok": 1, "n": 1}


_YEAR_0 = "0000-02-29T23:59:59.999Z"
_VALUES = {
    "text": "x",
    "empty": "",
    "int": 5,
    "large": 2**53,
    "half": 0.5,
    "yes": True,
    "none": None,
    "date": DAY,
    "first date": "0001-01-01T00:00:00.000Z",
    "last date": "9999-12-31T23:59:59.999Z",
    "list": [1, "a", [DAY], {"deep": {"er": DAY}}],
    "object": {"_id": ID, "b": 1, "a": 2},
    "chinese": "云函数",
    "nothing": {},
}

WRITES: tuple[Case, ...] = (
    _writes("insert with an id", Verb.INSERT_ONE, [], {"doc": {"a": 1, "_id": ID}},
            [{"_id": ID, "a": 1}], affected=1, result=_inserted(ID)),
    _writes("insert with a word", Verb.INSERT_ONE, [], {"doc": {"_id": "word"}}, [{"_id": "word"}],
            affected=1, result=_inserted("word")),
    _writes("insert with a number", Verb.INSERT_ONE, [], {"doc": {"_id": 5}}, [{"_id": 5}],
            result=_inserted(5)),
    _writes("all kinds of values", Verb.INSERT_ONE, [], {"doc": {"_id": 1, **_VALUES}},
            [{"_id": 1, **_VALUES}]),
    _writes("date in the year 0", Verb.INSERT_ONE, [], {"doc": {"_id": 1, "d": _YEAR_0}},
            [{"_id": 1, "d": _YEAR_0}]),
    _writes("insert a second time", Verb.INSERT_ONE, [{"_id": ID}], {"doc": {"_id": ID.upper()}},
            [{"_id": ID}], error=11000),
    _writes("insert with a list as id", Verb.INSERT_ONE, [], {"doc": {"_id": [1]}}, [], error=0),
    _writes("insert many", Verb.INSERT_MANY, [], {"docs": [{"_id": ID}, {"_id": "b", "d": DAY}]},
            [{"_id": "b", "d": DAY}, {"_id": ID}], affected=2, result={"0": ID, "1": "b"}),
    _writes("insert many, the second is there", Verb.INSERT_MANY, [{"_id": 2}],
            {"docs": [{"_id": 1}, {"_id": 2}, {"_id": 3}]}, [{"_id": 1}, {"_id": 2}], error=11000),
    _writes("insert many, the same twice", Verb.INSERT_MANY, [], {"docs": [{"_id": 1}, {"_id": 1}]},
            [{"_id": 1}], error=11000),
    _writes("replace", Verb.REPLACE_ONE, _THREE[:1], {"filter": {"_id": 1}, "doc": {"x": DAY}},
            [{"_id": 1, "x": DAY}], affected=1, result=None),
    _writes("replace by nothing", Verb.REPLACE_ONE, _THREE[:1], {"filter": {"n": 3}, "doc": {}},
            [{"_id": 1}], affected=1),
    _writes("replace with the same id", Verb.REPLACE_ONE, [{"_id": ID}],
            {"filter": {"_id": ID}, "doc": {"_id": ID, "a": 1}}, [{"_id": ID, "a": 1}], affected=1),
    _writes("replace with another id", Verb.REPLACE_ONE, _THREE[:1],
            {"filter": {"_id": 1}, "doc": {"_id": 9}}, _THREE[:1], error=66),
    _writes("replace none", Verb.REPLACE_ONE, _THREE, {"filter": {"n": 9}, "doc": {}}, _THREE,
            affected=0, result=None),
    _writes("replace or insert", Verb.REPLACE_ONE, [], {"filter": {"_id": ID}, "doc": {"a": 1}},
            [{"_id": ID, "a": 1}], affected=1, result={"upsertedId": ID}, upsert=True),
    _writes("replace with an operator", Verb.REPLACE_ONE, _THREE[:1],
            {"filter": {"_id": 1}, "doc": {"$set": {"a": 1}}}, _THREE[:1], error=2),
    _writes("delete one", Verb.DELETE_ONE, _THREE, {"filter": {"_id": 2}}, [_THREE[0], _THREE[2]],
            affected=1),
    _writes("delete one of several", Verb.DELETE_ONE, [{"_id": 1, "n": 1}, {"_id": 2, "n": 1}],
            {"filter": {"n": 1}}, ANY, affected=1),
    _writes("delete none", Verb.DELETE_ONE, _THREE, {"filter": {"n": 9}}, _THREE, affected=0),
    _writes("delete by id", Verb.DELETE_ONE, [{"_id": ID}], {"filter": {"_id": ID}}, [],
            affected=1),
    _writes("delete many", Verb.DELETE_MANY, _THREE, {"filter": {"n": {"$gte": 2}}}, [_THREE[2]],
            affected=2),
    _writes("delete all", Verb.DELETE_MANY, _THREE, {"filter": {}}, [], affected=3),
    _writes("find and update, before", Verb.FIND_ONE_AND_UPDATE, _THREE[:1],
            {"filter": {"_id": 1}, "update": {"$inc": {"n": 1}}}, [{"_id": 1, "n": 4}],
            result=_THREE[0], affected=1),
    _writes("find and update, after", Verb.FIND_ONE_AND_UPDATE, _THREE[:1],
            {"filter": {"_id": 1}, "update": {"$inc": {"n": 1}}}, [{"_id": 1, "n": 4}],
            result={"_id": 1, "n": 4}, returnNewDocument=True),
    _writes("find and update in order", Verb.FIND_ONE_AND_UPDATE, _THREE,
            {"filter": {}, "update": {"$set": {"x": 1}}}, [*_THREE[:2], {"_id": 3, "n": 1, "x": 1}],
            result={"n": 1}, sort={"n": 1}, projection={"n": 1, "_id": 0}),
    _writes("find and update none", Verb.FIND_ONE_AND_UPDATE, _THREE,
            {"filter": {"n": 9}, "update": {"$set": {"x": 1}}}, _THREE, result=None, affected=0),
    _writes("find and update or insert", Verb.FIND_ONE_AND_UPDATE, [],
            {"filter": {"_id": ID}, "update": {"$set": {"x": 1}}}, [{"_id": ID, "x": 1}],
            result=None, affected=1, upsert=True),
    _writes("find and update or insert, after", Verb.FIND_ONE_AND_UPDATE, [],
            {"filter": {"_id": ID}, "update": {"$set": {"x": 1}}}, [{"_id": ID, "x": 1}],
            result={"_id": ID, "x": 1}, affected=1, upsert=True, returnNewDocument=True),
    _writes("find and update positions", Verb.FIND_ONE_AND_UPDATE, [{"_id": 1, "a": [1, 5]}],
            {"filter": {}, "update": {"$set": {"a.$[x]": 0}}}, [{"_id": 1, "a": [1, 0]}],
            arrayFilters=[{"x": 5}]),
    _writes("find and update refused", Verb.FIND_ONE_AND_UPDATE, [{"_id": 1, "n": "x"}],
            {"filter": {}, "update": {"$inc": {"n": 1}}}, [{"_id": 1, "n": "x"}], error=14),
    _writes("find and replace", Verb.FIND_ONE_AND_REPLACE, _THREE[:1],
            {"filter": {"_id": 1}, "replacement": {"d": DAY}}, [{"_id": 1, "d": DAY}],
            result=_THREE[0]),
    _writes("find and replace none", Verb.FIND_ONE_AND_REPLACE, [],
            {"filter": {"_id": 1}, "replacement": {"d": DAY}}, [], result=None, affected=0),
    _writes("find and replace or insert", Verb.FIND_ONE_AND_REPLACE, [],
            {"filter": {"_id": 1}, "replacement": {"d": DAY}}, [{"_id": 1, "d": DAY}],
            result=None, upsert=True),
    _writes("find and delete in order", Verb.FIND_ONE_AND_DELETE, _THREE, {"filter": {}},
            _THREE[:2], result={"_id": 3}, sort={"n": 1}, projection={"_id": 1}, affected=1),
    _writes("find and delete none", Verb.FIND_ONE_AND_DELETE, _THREE, {"filter": {"n": 9}}, _THREE,
            result=None, affected=0),
)  # fmt: skip
