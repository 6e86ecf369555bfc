"""One valid use of every operator that the database service knows: what the test of wild values spoils."""

from __future__ import annotations

from typing import Any

from runtime.documents import filters, operands, pipelines, updates

DATE = "2026-01-02T03:04:05.678Z"
POINT = {"type": "Point", "coordinates": [1, 2]}
SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [0, 5], [5, 5], [0, 0]]]}

DOCUMENTS: list[dict[str, Any]] = [
    {
        "_id": "a",
        "n": 1,
        "t": "text",
        "arr": [1, 2, 3],
        "at": POINT,
        "d": DATE,
        "o": {"k": 1},
        "s": 1,
    },
    {
        "_id": "b",
        "n": 2.5,
        "t": "",
        "arr": [{"k": 1}, "x", None],
        "at": [3, 4],
        "d": DATE,
        "o": {},
        "s": 2,
    },
    {"_id": "c", "n": None, "arr": [], "d": DATE, "o": [{"k": [1]}], "s": 3},
]

_CONDITIONS: dict[str, Any] = {
    "$type": ["int", 2],
    "$size": 2,
    "$mod": [4, 0],
    "$exists": True,
    "$in": [1, "x"],
    "$nin": [1],
    "$all": [1, {"$elemMatch": {"k": 1}}],
    "$not": {"$gt": 1},
    "$elemMatch": {"$gte": 1},
    "$regex": "^t",
    "$near": {"$geometry": POINT, "$maxDistance": 10, "$minDistance": 1},
    "$nearSphere": [1, 2],
    "$geoWithin": {"$geometry": SQUARE},
    "$geoIntersects": {"$geometry": POINT},
    "$bitsAllSet": [1, 5],
}
_CONDITION_NAMES = (
    filters._PLAIN | filters._LISTS | filters._NESTING | set(filters._OPERANDS) | {"$regex"}
)

FILTERS: list[dict[str, Any]] = [
    *({"arr": {name: _CONDITIONS.get(name, 1)}} for name in sorted(_CONDITION_NAMES)),
    {"at": {"$geoWithin": {"$box": [[0, 0], [5, 5]]}}},
    {"at": {"$geoWithin": {"$polygon": [[0, 0], [5, 5], [0, 5]]}}},
    {"at": {"$geoWithin": {"$center": [[0, 0], 5]}}},
    {"at": {"$geoWithin": {"$centerSphere": [[0, 0], 0.1]}}},
    {
        "at": {
            "$geoIntersects": {"$geometry": {"type": "GeometryCollection", "geometries": [POINT]}}
        }
    },
    {"$and": [{"n": 1}, {"$or": [{"t": "x"}, {"$nor": [{"o.k": 1}]}]}]},
    {"$text": {"$search": "text", "$language": "en", "$caseSensitive": True}},
    {"$comment": "why"},
    {"$sampleRate": 0.5},
    {"$expr": {"$gt": ["$n", 1]}},
    {"t": {"$regex": "^t", "$options": "im"}},
    {"_id": {"$in": ["a", "5f00000000000000000000a1"], "$gt": "0"}},
    {"o": {"k": 1}, "d": {"$gt": DATE}},
]

_CHANGES: dict[str, Any] = {
    "$pop": {"arr": 1},
    "$push": {"arr": {"$each": [4, {"k": 2}], "$position": 0, "$slice": -5, "$sort": 1}},
    "$addToSet": {"arr": {"$each": [4]}},
    "$pull": {"arr": {"$gte": 3}},
    "$pullAll": {"arr": [1, 2]},
    "$rename": {"o": "p.q"},
    "$currentDate": {"d": {"$type": "timestamp"}},
    "$bit": {"n": {"and": 1, "or": 2}},
}
UPDATES: list[dict[str, Any]] = [
    *(
        {name: _CHANGES.get(name, {"n": 2, "o.k": 3})}
        for name in sorted(updates._VALUES | set(updates._EACH) | set(updates._CHANGES))
    ),
    {"$set": {"arr.$[x]": 1, "arr.$[].k": 2, "arr.1000": 3}},
    {"$push": {"arr": {"$each": [], "$sort": {"k": -1}}}},
    {"$pull": {"arr": {"$elemMatch": {"k": 1}}}},
]

_ARGUMENTS: dict[str, Any] = {
    "arrayToObject": [[["k", 1]]],
    "binarySize": "$t",
    "bsonSize": "$o",
    "cond": {"if": "$n", "then": 1, "else": 2},
    "convert": {"input": "$n", "to": "string", "onError": 1, "onNull": 2},
    "dateAdd": {"startDate": "$d", "unit": "day", "amount": 1, "timezone": "UTC"},
    "dateSubtract": {"startDate": "$d", "unit": "month", "amount": 1},
    "dateDiff": {"startDate": "$d", "endDate": "$$NOW", "unit": "week", "startOfWeek": "monday"},
    "dateFromParts": {"year": 2026, "month": 1, "day": 2, "hour": 3, "timezone": "+08:00"},
    "dateFromString": {"dateString": "2026", "format": "%Y", "onError": 1, "onNull": 2},
    "dateToParts": {"date": "$d", "timezone": "UTC", "iso8601": True},
    "dateToString": {"date": "$d", "format": "%Y-%m", "timezone": "UTC", "onNull": 1},
    "dateTrunc": {"date": "$d", "unit": "week", "binSize": 2, "startOfWeek": "monday"},
    "filter": {"input": "$arr", "as": "x", "cond": {"$gt": ["$$x", 1]}, "limit": 1},
    "first": "$arr",
    "last": "$arr",
    "getField": {"field": "k", "input": "$o"},
    "setField": {"field": "k", "input": "$o", "value": 1},
    "unsetField": {"field": "k", "input": "$o"},
    "in": [1, "$arr"],
    "let": {"vars": {"x": 1}, "in": "$$x"},
    "map": {"input": "$arr", "as": "x", "in": "$$x"},
    "median": {"input": "$arr", "method": "approximate"},
    "percentile": {"input": "$arr", "p": [0.5], "method": "approximate"},
    "objectToArray": "$o",
    "range": [0, 5, 1],
    "reduce": {"input": "$arr", "initialValue": 0, "in": {"$add": ["$$value", 1]}},
    "replaceAll": {"input": "$t", "find": "t", "replacement": "u"},
    "replaceOne": {"input": "$t", "find": "t", "replacement": "u"},
    "reverseArray": "$arr",
    "sortArray": {"input": "$arr", "sortBy": {"k": 1}},
    "split": ["$t", "e"],
    "substr": ["$t", 0, 1],
    "substrBytes": ["$t", 0, 1],
    "substrCP": ["$t", 0, 1],
    "slice": ["$arr", 0, 1],
    "switch": {"branches": [{"case": True, "then": 1}], "default": 2},
    "zip": {"inputs": ["$arr", [1]], "useLongestLength": True, "defaults": [0, 1]},
    **{name: {"input": "$t", "chars": "t"} for name in ("trim", "ltrim", "rtrim")},
    **{name: {"input": "$arr", "n": 1} for name in ("firstN", "lastN", "maxN", "minN")},
    **{
        name: {"date": "$d", "timezone": "UTC"} for name in ("hour", "week", "dayOfYear", "isoWeek")
    },
    "regexMatch": {"input": "$t", "regex": "t", "options": "i"},
    "regexFindAll": {"input": "$t", "regex": "t"},
    "meta": "textScore",
    "literal": {"a": 1},
}
_ANY_NUMBERS = ["$n", 2]

EXPRESSIONS: list[dict[str, Any]] = [
    {name: _ARGUMENTS.get(name[1:], _ANY_NUMBERS)}
    for name in sorted(operands._OPERATORS | operands._REGEXES | {"$meta", "$literal"})
]
OPERATORS = sorted(operands._OPERATORS)

_OUTPUT = {"$push": "$$ROOT"}
_ACCUMULATED: dict[str, Any] = {
    "$count": {},
    "$top": {"sortBy": {"n": 1}, "output": "$n"},
    "$bottom": {"sortBy": {"n": 1}, "output": "$n"},
    "$topN": {"sortBy": {"n": 1}, "output": "$n", "n": 2},
    "$bottomN": {"sortBy": {"n": 1}, "output": "$n", "n": 2},
    **{f"${name}": {"input": "$n", "n": 1} for name in ("firstN", "lastN", "maxN", "minN")},
    "$median": {"input": "$n", "method": "approximate"},
    "$percentile": {"input": "$n", "p": [0.5], "method": "approximate"},
    "$derivative": {"input": "$s"},
    "$integral": {"input": "$s"},
    "$expMovingAvg": {"input": "$n", "N": 2},
    "$shift": {"output": "$n", "by": 1, "default": 0},
    "$covariancePop": ["$n", "$n"],
    "$covarianceSamp": ["$n", "$n"],
    **{f"${name}": {} for name in ("rank", "denseRank", "documentNumber")},
}
_GRAPH = {
    "from": "open",
    "startWith": "$_id",
    "connectFromField": "n",
    "connectToField": "_id",
    "as": "x",
    "maxDepth": 2,
    "depthField": "depth",
    "restrictSearchWithMatch": {"n": 1},
}
_STAGES: dict[str, Any] = {
    "$addFields": {"x": "$n"},
    "$bucket": {"groupBy": "$n", "boundaries": [0, 5], "default": "x", "output": {"x": _OUTPUT}},
    "$bucketAuto": {"groupBy": "$s", "buckets": 2, "granularity": "R5", "output": {"x": _OUTPUT}},
    "$count": "x",
    "$facet": {"x": [{"$limit": 1}]},
    "$geoNear": {"near": POINT, "distanceField": "x", "key": "at", "maxDistance": 5, "query": {}},
    "$graphLookup": _GRAPH,
    "$group": {"_id": "$t", "x": _OUTPUT},
    "$limit": 2,
    "$lookup": {"from": "open", "as": "x", "localField": "n", "foreignField": "n"},
    "$match": {"n": 1},
    "$project": {"x": 1, "y": "$n", "arr": {"$slice": ["$arr", 1]}},
    "$redact": {"$cond": ["$n", "$$KEEP", "$$DESCEND"]},
    "$replaceRoot": {"newRoot": {"x": "$n"}},
    "$replaceWith": {"x": "$n"},
    "$sample": {"size": 2},
    "$set": {"x.y": "$n"},
    "$setWindowFields": {"partitionBy": "$t", "sortBy": {"n": 1}, "output": {"x": {"$sum": "$n"}}},
    "$skip": 1,
    "$sort": {"n": 1, "t": -1},
    "$sortByCount": "$n",
    "$unionWith": {"coll": "open", "pipeline": [{"$limit": 1}]},
    "$unset": ["n", "o.k"],
    "$unwind": {"path": "$arr", "includeArrayIndex": "x", "preserveNullAndEmptyArrays": True},
}


_WITHOUT_WINDOW = frozenset(
    {"$denseRank", "$documentNumber", "$expMovingAvg", "$linearFill", "$locf", "$rank", "$shift"}
)


def _windowed(name: str, window: Any = None, by: str = "s") -> dict[str, Any]:
    output = {name: _ACCUMULATED.get(name, "$s")}
    if name not in _WITHOUT_WINDOW:
        output["window"] = window or {"documents": [-1, "current"]}
    return {"$setWindowFields": {"sortBy": {by: 1}, "output": {"x": output}}}


STAGES: list[dict[str, Any]] = [
    *({name: _STAGES[name]} for name in sorted(pipelines._STAGES)),
    *(
        {"$group": {"_id": "$t", "x": {name: _ACCUMULATED.get(name, "$n")}}}
        for name in sorted(pipelines._ACCUMULATORS)
    ),
    *(_windowed(name) for name in sorted(pipelines._WINDOWS)),
    _windowed("$sum", {"range": [-1, 1]}),
    _windowed("$sum", {"range": [-1, 1], "unit": "day"}, by="d"),
    {"$lookup": {"from": "open", "as": "x", "let": {"y": "$n"}, "pipeline": [{"$limit": 1}]}},
    {"$sort": {"n": {"$meta": "textScore"}}},
]

_PAGE = {"limit": 2, "skip": 1, "maxTimeMS": 500}
_FOUND = {"sort": {"n": 1}, "projection": {"n": 1, "arr.k": 1}}
OPTIONS: dict[str, dict[str, Any]] = {
    "find": {**_PAGE, **_FOUND, "hint": {"_id": 1}},
    "findOne": {**_PAGE, **_FOUND},
    "count": _PAGE,
    "aggregate": {
        "explain": True,
        "allowDiskUse": True,
        "maxTimeMS": 500,
        "collation": {"locale": "en", "strength": 2, "caseFirst": "upper", "alternate": "shifted"},
    },
    "updateOne": {"upsert": True, "arrayFilters": [{"x": {"$gt": 1}}]},
    "updateMany": {"upsert": True, "arrayFilters": [{"x": {"$gt": 1}}]},
    "replaceOne": {"upsert": True},
    "findOneAndUpdate": {**_FOUND, "upsert": True, "returnNewDocument": True, "maxTimeMS": 500},
    "findOneAndReplace": {**_FOUND, "upsert": True},
    "findOneAndDelete": _FOUND,
}
