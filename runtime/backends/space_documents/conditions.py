"""Filters, expressions and pipelines of BSON values: where an `_id` stands, 24 hex digits are an ObjectId.

Only `_id` of documents themselves is one: inside a document the SDKs can store nothing but texts. Later in
a pipeline `_id` may be either, as after `$group` or `$lookup`; there a text of 24 hex digits matches both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Final

from bson.objectid import ObjectId

from runtime.backends.space_documents.values import bson_document, bson_id, bson_value
from runtime.documents.errors import INVALID_NAMESPACE, DatabaseError


class Ids(Enum):
    """What an `_id` in a condition is about."""

    OWN = "own"
    """Documents of a collection as they are stored."""
    ANY = "any"
    """Documents that a pipeline made or joined."""


_LOGICAL: Final = frozenset({"$and", "$or", "$nor"})
_LISTS: Final = frozenset({"$in", "$nin", "$all"})
_EITHER: Final = {"$eq": "$in", "$ne": "$nin"}
_ORDERED: Final = frozenset({"$eq", "$ne", "$gt", "$gte", "$lt", "$lte"})
_COMPARISONS: Final = _ORDERED | {"$cmp", "$in"}
_ID_PATHS: Final = frozenset({"$_id", "$$ROOT._id", "$$CURRENT._id"})
_REGEXES: Final = frozenset({"$regexFind", "$regexFindAll", "$regexMatch"})
_MAKE_IDS: Final = frozenset(
    {"$group", "$bucket", "$bucketAuto", "$sortByCount", "$replaceRoot", "$replaceWith"}
    | {"$facet", "$lookup", "$graphLookup", "$unionWith"}
)
_FILTERS: Final = {"$geoNear": "query", "$graphLookup": "restrictSearchWithMatch"}
_WITH_PIPELINE: Final = frozenset({"$lookup", "$unionWith"})
_MAY_MAKE_IDS: Final = frozenset({"$project", "$addFields", "$set"})
_OTHER_COLLECTIONS: Final = {
    "$lookup": "from",
    "$graphLookup": "from",
    "$unionWith": "coll",
    "$merge": "into",
}


def bson_filter(filter_: Mapping[str, Any], ids: Ids = Ids.OWN) -> dict[str, Any]:
    """Of a filter or a `$match`."""
    return {key: _bson_condition(key, each, ids) for key, each in filter_.items()}


def bson_expression(value: Any, ids: Ids = Ids.OWN) -> Any:
    """Of an aggregation's expression, or an object of such."""
    if isinstance(value, list):
        return [bson_expression(each, ids) for each in value]
    if isinstance(value, Mapping):
        return {key: _bson_operator(key, each, ids) for key, each in value.items()}
    return bson_value(value)


def bson_pipeline(stages: Sequence[Any], ids: Ids = Ids.OWN) -> list[dict[str, Any]]:
    """Of an aggregation's stages. Raises DatabaseError for one that leads to another database."""
    made = []
    for stage in stages:
        made.append({name: _bson_stage(name, each, ids) for name, each in stage.items()})
        if isinstance(stage.get("$count"), str):  # the embedded server counts nothing as 0
            made.append({"$match": {stage["$count"]: {"$gt": 0}}})
        if any(_makes_ids(name, each) for name, each in stage.items()):
            ids = Ids.ANY
    return made


def _bson_condition(key: str, value: Any, ids: Ids) -> Any:
    if key in _LOGICAL and isinstance(value, list):
        return [bson_filter(each, ids) if isinstance(each, Mapping) else each for each in value]
    if key == "$expr":
        return bson_expression(value, ids)
    if key == "_id" or (ids is Ids.ANY and key.endswith("._id")):
        return _bson_id_condition(value, ids)
    return bson_value(value)


def _bson_id_condition(value: Any, ids: Ids) -> Any:
    if not isinstance(value, Mapping):
        both = _both(value) if ids is Ids.ANY else []
        return {"$in": both} if len(both) > 1 else bson_id(value)
    made: dict[str, Any] = {}
    for name, each in value.items():
        if name in _LISTS and isinstance(each, list):
            twice = ids is Ids.ANY and name != "$all"
            made[name] = (
                [one for item in each for one in _both(item)]
                if twice
                else [bson_id(item) for item in each]
            )
        elif name == "$not":
            made[name] = _bson_id_condition(each, ids)
        elif name in _EITHER and ids is Ids.ANY and _EITHER[name] not in value:
            made[_EITHER[name]] = _both(each)
        else:
            made[name] = bson_id(each) if name in _ORDERED else bson_value(each)
    return made


def _both(value: Any) -> list[Any]:
    made = bson_id(value)
    return [made, value] if isinstance(made, ObjectId) else [made]


def _bson_operator(name: str, value: Any, ids: Ids) -> Any:
    if name == "$literal" and isinstance(value, Mapping):
        return bson_document(value)  # an update may replace a whole document by it
    if name == "$dateFromString" and isinstance(value, Mapping):
        return _with_texts(value, ("dateString", "format"), ids)
    if name in _REGEXES and isinstance(value, Mapping):
        return _with_texts(value, ("regex", "options"), ids)
    if ids is Ids.OWN and name in _COMPARISONS and _has_id(value):
        return [_compared_with_id(each, ids) for each in value]
    return bson_expression(value, ids)


def _has_id(operands: Any) -> bool:
    return isinstance(operands, list) and any(
        isinstance(each, str) and each in _ID_PATHS for each in operands
    )


def _compared_with_id(value: Any, ids: Ids) -> Any:
    if isinstance(value, str):
        return bson_id(value)
    if isinstance(value, list):
        return [_compared_with_id(each, ids) for each in value]
    return bson_expression(value, ids)


def _with_texts(value: Mapping[str, Any], texts: Sequence[str], ids: Ids) -> dict[str, Any]:
    return {
        key: each if key in texts and isinstance(each, str) else bson_expression(each, ids)
        for key, each in value.items()
    }


def _bson_stage(name: str, value: Any, ids: Ids) -> Any:
    _refuse_other_databases(name, value)
    if not isinstance(value, Mapping):
        return bson_expression(value, ids)
    if name == "$match":
        return bson_filter(value, ids)
    if name == "$facet":
        return {key: bson_pipeline(each, ids) for key, each in value.items()}
    return {key: _bson_part(name, key, each, ids) for key, each in value.items()}


def _bson_part(stage: str, key: str, value: Any, ids: Ids) -> Any:
    """Of a stage that is no filter, but may have one or a pipeline inside."""
    if _FILTERS.get(stage) == key and isinstance(value, Mapping):
        return bson_filter(value)
    if key == "pipeline" and stage in _WITH_PIPELINE and isinstance(value, list):
        return bson_pipeline(value)
    return _bson_operator(key, value, ids)


def _makes_ids(name: str, value: Any) -> bool:
    if name in _MAKE_IDS:
        return True
    return (
        name in _MAY_MAKE_IDS
        and isinstance(value, Mapping)
        and not isinstance(value.get("_id", 1), int | float)
    )


def _refuse_other_databases(name: str, value: Any) -> None:
    """The last line of defence: the allow-list has none of these forms."""
    key = _OTHER_COLLECTIONS.get(name)
    named = value.get(key, "") if key and isinstance(value, Mapping) else value
    if (key or name == "$out") and not isinstance(named, str):
        raise DatabaseError(INVALID_NAMESPACE, f"{name} must name a collection of the space")
