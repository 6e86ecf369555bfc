"""Pages, order, projections, counts and distinct values."""

from __future__ import annotations

from runtime.messages import Verb
from runtime.testing.document_cases.case import DAY, DAY_2, ID, KINDS, Case, Docs, reads

_FOUR: Docs = [{"_id": i, "n": 10 - i, "g": i % 2} for i in range(1, 5)]
_DEEP: Docs = [{"_id": 1, "a": {"b": 1, "c": 2}, "l": [{"x": 1, "y": 2}, {"x": 3}], "t": "z"}]
_VALUES: Docs = [
    {"_id": 1, "v": "a", "d": DAY, "m": {"k": 1}},
    {"_id": 2, "v": ["a", "b"], "d": DAY_2, "m": {"k": 2}},
    {"_id": 3, "v": None, "d": DAY},
    {"_id": 4},
]
_ITEMS: Docs = [{"_id": 1, "l": [{"x": 1}, {"x": 2}]}, {"_id": 2, "l": [{"x": 2}, {"x": 3}]}]

ALL: dict[str, object] = {"query": {}}
_IN_ORDER = {"_id": 1}


def _ids(*ids: object) -> list[dict[str, object]]:
    return [{"_id": each} for each in ids]


READS: tuple[Case, ...] = (
    reads("page", Verb.FIND, _FOUR, ALL, _ids(2, 3), sort={"_id": 1}, skip=1, limit=2,
          projection={"_id": 1}),
    reads("skip past the end", Verb.FIND, _FOUR, ALL, [], skip=9),
    reads("sort by two", Verb.FIND, _FOUR, ALL, _ids(4, 2, 3, 1), sort={"g": 1, "n": 1},
          projection={"_id": 1}),
    reads("order of types", Verb.FIND, KINDS, ALL, _ids(10, 5, 6, 1, 7, 2, 3, 8, 4, 9),
          sort={"v": 1, "_id": 1}, projection={"_id": 1}),
    reads("order of types, backwards", Verb.FIND, KINDS, ALL,
          _ids(9, 4, 8, 3, 7, 2, 1, 5, 6, 10), sort={"v": -1, "_id": 1}, projection={"_id": 1}),
    reads("no query", Verb.FIND, _FOUR[:1], {}, _FOUR[:1]),
    reads("fields", Verb.FIND, _DEEP, ALL, [{"_id": 1, "t": "z"}], projection={"t": 1}),
    reads("fields without id", Verb.FIND, _DEEP, ALL, [{"t": "z"}], projection={"t": 1, "_id": 0}),
    reads("all but fields", Verb.FIND, _DEEP, ALL, [{"_id": 1, "a": {"c": 2}, "t": "z"}],
          projection={"a.b": 0, "l": 0}),
    reads("inner field", Verb.FIND, _DEEP, ALL, [{"_id": 1, "a": {"b": 1}}], projection={"a.b": 1}),
    reads("field of items", Verb.FIND, _DEEP, ALL, [{"_id": 1, "l": [{"y": 2}, {}]}],
          projection={"l.y": 1}),
    reads("with and without", Verb.FIND, _DEEP, ALL, projection={"a": 1, "t": 0}, error=31254),
    reads("hint of an index", Verb.FIND, _FOUR[:1], ALL, _FOUR[:1], hint={"_id": 1}),
    reads("hint of no index", Verb.FIND, _FOUR, {"query": {"n": 1}}, hint={"none": 1}, error=2),
    reads("empty options", Verb.FIND, _FOUR[:1], ALL, _FOUR[:1], hint={}, sort={}, projection={},
          limit=0, skip=0, maxTimeMS=0),
    reads("first", Verb.FIND_ONE, _FOUR, ALL, _FOUR[3], sort={"n": 1}),
    reads("second", Verb.FIND_ONE, _FOUR, ALL, _FOUR[2], sort={"n": 1}, skip=1),
    reads("none", Verb.FIND_ONE, _FOUR, {"query": {"n": 99}}, None),
    reads("count", Verb.COUNT, _FOUR, {"query": {"g": 1}}, 2),
    reads("count nothing", Verb.COUNT, [], {"query": {}}, 0),
    reads("count a page", Verb.COUNT, _FOUR, ALL, 2, skip=1, limit=2),
    reads("count with empty options", Verb.COUNT, _FOUR, ALL, 4, skip=0, limit=0),
    reads("distinct with items of arrays", Verb.DISTINCT, _VALUES, {"key": "v", "query": {}},
          ["a", "b", None]),
    reads("distinct of a query", Verb.DISTINCT, _VALUES, {"key": "v", "query": {"_id": 1}}, ["a"]),
    reads("distinct dates", Verb.DISTINCT, _VALUES, {"key": "d", "query": {}}, [DAY, DAY_2]),
    reads("distinct inner field", Verb.DISTINCT, _VALUES, {"key": "m.k", "query": {}}, [1, 2]),
    reads("distinct through documents in arrays", Verb.DISTINCT, _ITEMS,
          {"key": "l.x", "query": {}}, [1, 2, 3]),
    reads("distinct: one is not true", Verb.DISTINCT, [{"_id": 1, "v": 1}, {"_id": 2, "v": True}],
          {"key": "v", "query": {}}, [1, True]),
    reads("distinct ids", Verb.DISTINCT, [{"_id": ID}, {"_id": "word"}],
          {"key": "_id", "query": {}}, ["word", ID]),
)  # fmt: skip
"""The order of distinct values means nothing."""
