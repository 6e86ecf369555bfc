"""Pipelines over documents with a hidden owner: where it is removed, which collections are read. Pure.

The removal is the first stage but for those that only choose or order documents by fields that they name;
these may stay in front of it, because there the database can use an index.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from runtime.documents.errors import BAD_VALUE, DatabaseError
from runtime.documents.hidden import OWNER_FIELD, narrowed, reads_unnamed, refuse_unnamed

Stage = Mapping[str, Any]

WRITING_STAGES = frozenset({"$out", "$merge"})

_BARRIER: Stage = {"$limit": 2**31 - 1}
"""More documents than there are. A database moves filters forward and joins them with the owner's condition,
in an order of its own, but not over this: an expression that fails at a document tells about it."""

_CHOOSING = frozenset({"$sort", "$skip", "$limit"})
_FOREIGN = {"$graphLookup": "from", "$lookup": "from", "$unionWith": "coll"}
"""Where stages name the collection that they read."""


def owned_pipeline(pipeline: Any, owner: Mapping[str, Any] | None = None) -> list[Stage]:
    """Only documents for which `owner` holds enter it, and no stage sees their owners, nor those of the
    collections that it joins.

    Raises DatabaseError for stages that are none, and for joins whose result has no plain name."""
    stages = [_stage(each) for each in _list(pipeline)]
    front, rest = _front(stages)
    computed = any("$match" in stage and reads_unnamed(stage) for stage in rest)
    return [
        *_under(front, owner),
        *([_BARRIER] if computed and owner is not None else []),
        {"$unset": OWNER_FIELD},
        *(made for stage in rest for made in _closed(stage)),
    ]


def foreign_collections(pipeline: Any) -> frozenset[str]:
    """The collections that a pipeline reads beside its own. Raises DatabaseError as `owned_pipeline`."""
    return frozenset(
        _collection(name, body) for name, body in stages_within(pipeline) if _reads(name, body)
    )


def stages_within(pipeline: Any) -> Iterator[tuple[str, Any]]:
    """Name and body of every stage, also of the pipelines within stages. Raises DatabaseError."""
    for each in _list(pipeline):
        for name, body in _stage(each).items():
            yield name, body
            if name == "$facet" and isinstance(body, Mapping):
                for inner in body.values():
                    yield from stages_within(inner)
            elif name in {"$lookup", "$unionWith"} and isinstance(body, Mapping):
                yield from stages_within(body.get("pipeline", []))


def _front(stages: list[Stage]) -> tuple[list[Stage], list[Stage]]:
    """Stages that may stand before the removal, and the others."""
    for number, stage in enumerate(stages):
        if number == 0 and "$geoNear" in stage:
            refuse_unnamed(stage)
        elif not ("$match" in stage and not reads_unnamed(stage)) and _CHOOSING.isdisjoint(stage):
            return stages[:number], stages[number:]
    return stages, []


def _under(front: list[Stage], owner: Mapping[str, Any] | None) -> list[Stage]:
    """A first stage that has to be the first takes the owner's condition in."""
    if owner is None:
        return front
    first = front[0] if front else {}
    if "$match" in first:
        return [{"$match": narrowed(owner, first["$match"])}, *front[1:]]
    if "$geoNear" in first:
        near = _object("$geoNear", first["$geoNear"])
        return [{"$geoNear": {**near, "query": narrowed(owner, near.get("query"))}}, *front[1:]]
    return [{"$match": dict(owner)}, *front]


def _closed(stage: Stage) -> list[Stage]:
    """A stage whose documents have no owner any more, with what takes the owners of others out."""
    ((name, body),) = stage.items()
    if name == "$facet":
        facets = _object(name, body)
        return [{name: {facet: _closed_all(inner) for facet, inner in facets.items()}}]
    if name == "$unionWith" and isinstance(body, str):
        body = {"coll": body}
    if name in {"$unionWith", "$lookup"}:
        body = _object(name, body)
        return [{name: {**body, "pipeline": _within(name, body)}}]
    if name == "$graphLookup":
        body = _object(name, body)
        refuse_unnamed(body.get("restrictSearchWithMatch"))
        return [stage, _without_owners(body)]
    return [stage]


def _closed_all(pipeline: Any) -> list[Stage]:
    return [made for each in _list(pipeline) for made in _closed(_stage(each))]


def _within(name: str, body: Mapping[str, Any]) -> list[Stage]:
    """The pipeline within a join; one that makes its documents itself has to begin with them."""
    pipeline = body.get("pipeline", [])
    return owned_pipeline(pipeline) if _reads(name, body) else _closed_all(pipeline)


def _without_owners(body: Mapping[str, Any]) -> Stage:
    """After `$graphLookup`, which takes no pipeline. Not by `$unset`: the embedded database does not remove
    fields of the items of an array."""
    found = body.get("as")
    if not isinstance(found, str) or not found or found.startswith("$") or "." in found:
        raise DatabaseError(BAD_VALUE, "$graphLookup needs 'as', a field's name without dots")
    others = {
        "$filter": {
            "input": {"$objectToArray": "$$found"},
            "as": "member",
            "cond": {"$ne": ["$$member.k", OWNER_FIELD]},
        }
    }
    items = {"$map": {"input": f"${found}", "as": "found", "in": {"$arrayToObject": others}}}
    return {"$addFields": {found: items}}


def _reads(name: str, body: Any) -> bool:
    """Whether a stage reads a collection, and not only the documents that its pipeline makes."""
    if name not in _FOREIGN:
        return False
    made = name != "$graphLookup" and isinstance(body, Mapping) and "pipeline" in body
    return not made or _FOREIGN[name] in body


def _collection(name: str, body: Any) -> str:
    collection = body.get(_FOREIGN[name]) if isinstance(body, Mapping) else body
    if not isinstance(collection, str) or not collection:
        raise DatabaseError(BAD_VALUE, f"{name} names a collection of this space by a text")
    return collection


def _object(name: str, body: Any) -> Mapping[str, Any]:
    if not isinstance(body, Mapping):
        raise DatabaseError(BAD_VALUE, f"{name} takes an object")
    return body


def _list(pipeline: Any) -> Sequence[Any]:
    if not isinstance(pipeline, list | tuple):
        raise DatabaseError(BAD_VALUE, "a pipeline is an array of stages")
    return pipeline


def _stage(stage: Any) -> Stage:
    if not isinstance(stage, Mapping) or len(stage) != 1:
        raise DatabaseError(BAD_VALUE, "a stage of a pipeline is an object with one member")
    return stage
