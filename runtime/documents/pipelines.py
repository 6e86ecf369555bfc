"""What pipelines may hold: an allow-list of stages; none writes, runs code or leaves the space."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from runtime.documents.filters import check_filter
from runtime.documents.operands import check_expression, check_fields, check_meta
from runtime.documents.walk import Walk

_ACCUMULATOR_NAMES: Final = """
    addToSet avg bottom bottomN count first firstN last lastN max maxN median mergeObjects min minN
    percentile push stdDevPop stdDevSamp sum top topN
"""
_WINDOW_NAMES: Final = """
    covariancePop covarianceSamp denseRank derivative documentNumber expMovingAvg integral linearFill
    locf rank shift
"""
_GEO_NEAR_KEYS: Final = """
    near distanceField spherical maxDistance minDistance query distanceMultiplier includeLocs key
"""
_ACCUMULATORS: Final = frozenset(f"${name}" for name in _ACCUMULATOR_NAMES.split())
_WINDOWS: Final = _ACCUMULATORS | {f"${name}" for name in _WINDOW_NAMES.split()}
_GEO_NEAR: Final = frozenset(_GEO_NEAR_KEYS.split())


def check_pipeline(walk: Walk, value: Any, where: str) -> None:
    """A whole pipeline; `walk.shape` was asked before, which bounds the recursion."""
    if not isinstance(value, list):
        raise walk.error(f"{where} must be an array of stages")
    for stage in value:
        if not isinstance(stage, dict) or len(stage) != 1:
            raise walk.error(f"each stage of {where} must be an object with one key")
        walk.add_stages()
        ((name, argument),) = stage.items()
        check = _STAGES.get(name)
        if check is None:
            raise walk.unknown(name, where)
        check(walk, argument, f"{name} of {where}")


def _unset(walk: Walk, value: Any, where: str) -> None:
    for path in value if isinstance(value, list) else [value]:
        walk.path(path, where)


def _group(walk: Walk, value: Any, where: str) -> None:
    if not isinstance(value, dict) or "_id" not in value:
        raise walk.error(f"{where} must be an object with _id")
    check_expression(walk, value["_id"], where)
    _output(walk, {name: each for name, each in value.items() if name != "_id"}, where)


def _output(
    walk: Walk, value: Any, where: str, operators: frozenset[str] = _ACCUMULATORS, beside: str = ""
) -> None:
    if not isinstance(value, dict):
        raise walk.error(f"{where} must be an object")
    for path, each in value.items():
        walk.path(path, where)
        names = [name for name in each if name != beside] if isinstance(each, dict) else []
        if len(names) != 1:
            raise walk.error(f"each field of {where} needs one accumulator")
        if names[0] not in operators:
            raise walk.unknown(names[0], where)
        check_expression(walk, each[names[0]], where)


def _sort(walk: Walk, value: Any, where: str) -> None:
    if not isinstance(value, dict) or not value:
        raise walk.error(f"{where} must be an object that is not empty")
    for path, each in value.items():
        walk.path(path, where)
        if isinstance(each, dict):
            check_meta(walk, walk.mapping(each, where, ("$meta",), ("$meta",))["$meta"], where)
        elif isinstance(each, bool) or each not in (1, -1):
            raise walk.error(f"{where}: values must be 1 or -1")


def _number(walk: Walk, value: Any, where: str) -> None:
    walk.number(value, where)


def _sample(walk: Walk, value: Any, where: str) -> None:
    walk.number(walk.mapping(value, where, ("size",), ("size",))["size"], where)


def _unwind(walk: Walk, value: Any, where: str) -> None:
    if isinstance(value, str):
        value = {"path": value}
    keys = ("path", "includeArrayIndex", "preserveNullAndEmptyArrays")
    walk.mapping(value, where, keys, ("path",))
    path = value["path"]
    if not isinstance(path, str) or not path.startswith("$"):
        raise walk.error(f"{where}: the path must start with $")
    walk.path(path[1:], where)
    if value.get("includeArrayIndex") is not None:
        walk.path(value["includeArrayIndex"], where)
    if not isinstance(value.get("preserveNullAndEmptyArrays", False), bool):
        raise walk.error(f"{where}: preserveNullAndEmptyArrays must be true or false")


def _path(walk: Walk, value: Any, where: str) -> None:
    walk.path(value, where)


def _bucket(walk: Walk, value: Any, where: str) -> None:
    keys = ("groupBy", "boundaries", "default", "output")
    walk.mapping(value, where, keys, ("groupBy", "boundaries"))
    for key in ("groupBy", "boundaries", "default"):
        check_expression(walk, value.get(key), where)
    _output(walk, value.get("output", {}), where)


def _bucket_auto(walk: Walk, value: Any, where: str) -> None:
    keys = ("groupBy", "buckets", "output", "granularity")
    walk.mapping(value, where, keys, ("groupBy", "buckets"))
    check_expression(walk, value["groupBy"], where)
    walk.number(value["buckets"], where)
    walk.stored(value.get("granularity"), where)
    _output(walk, value.get("output", {}), where)


def _facet(walk: Walk, value: Any, where: str) -> None:
    if not isinstance(value, dict) or not value:
        raise walk.error(f"{where} must be an object that is not empty")
    for name, pipeline in value.items():
        walk.path(name, where)
        if not pipeline:  # costs the database as much as one with a stage
            walk.add_stages()
        check_pipeline(walk, pipeline, where)


def _lookup(walk: Walk, value: Any, where: str) -> None:
    keys = ("from", "localField", "foreignField", "as", "let", "pipeline")
    walk.mapping(value, where, keys, ("from", "as"))
    walk.foreign_collection(value["from"], f"from in {where}")
    for key in ("localField", "foreignField", "as"):
        if key in value:
            walk.path(value[key], where)
    check_fields(walk, value.get("let", {}), where)
    check_pipeline(walk, value.get("pipeline", []), where)


def _union_with(walk: Walk, value: Any, where: str) -> None:
    if isinstance(value, str):
        value = {"coll": value}
    walk.mapping(value, where, ("coll", "pipeline"), ("coll",))
    walk.foreign_collection(value["coll"], f"coll in {where}")
    check_pipeline(walk, value.get("pipeline", []), where)


def _graph_lookup(walk: Walk, value: Any, where: str) -> None:
    needed = ("from", "startWith", "connectFromField", "connectToField", "as")
    keys = (*needed, "maxDepth", "depthField", "restrictSearchWithMatch")
    walk.mapping(value, where, keys, needed)
    walk.foreign_collection(value["from"], f"from in {where}")
    check_expression(walk, value["startWith"], where)
    for key in ("connectFromField", "connectToField", "as", "depthField"):
        if key in value:
            walk.path(value[key], where)
    if "maxDepth" in value:
        walk.number(value["maxDepth"], where)
    check_filter(walk, value.get("restrictSearchWithMatch", {}), where)


def _replace_root(walk: Walk, value: Any, where: str) -> None:
    check_expression(walk, walk.mapping(value, where, ("newRoot",), ("newRoot",))["newRoot"], where)


def _geo_near(walk: Walk, value: Any, where: str) -> None:
    walk.mapping(value, where, _GEO_NEAR, ("near",))
    for key, each in value.items():
        if key == "query":
            check_filter(walk, each, where)
        elif key in ("distanceField", "includeLocs", "key"):
            walk.path(each, where)
        else:
            walk.stored(each, where)


def _set_window_fields(walk: Walk, value: Any, where: str) -> None:
    walk.mapping(value, where, ("partitionBy", "sortBy", "output"), ("output",))
    check_expression(walk, value.get("partitionBy"), where)
    if "sortBy" in value:
        _sort(walk, value["sortBy"], where)
    _output(walk, value["output"], where, _WINDOWS, "window")
    for each in value["output"].values():
        walk.stored(each.get("window"), where)


_Check = Callable[[Walk, Any, str], None]

_STAGES: Final[Mapping[str, _Check]] = {
    "$addFields": check_fields,
    "$bucket": _bucket,
    "$bucketAuto": _bucket_auto,
    "$count": _path,
    "$facet": _facet,
    "$geoNear": _geo_near,
    "$graphLookup": _graph_lookup,
    "$group": _group,
    "$limit": _number,
    "$lookup": _lookup,
    "$match": check_filter,
    "$project": check_fields,
    "$redact": check_expression,
    "$replaceRoot": _replace_root,
    "$replaceWith": check_expression,
    "$sample": _sample,
    "$set": check_fields,
    "$setWindowFields": _set_window_fields,
    "$skip": _number,
    "$sort": _sort,
    "$sortByCount": check_expression,
    "$unionWith": _union_with,
    "$unset": _unset,
    "$unwind": _unwind,
}
