"""Projections and pipelines of the model of a collection. Written from MongoDB's manual, not from the code
under test."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cmp_to_key
from typing import Any

from tests.harness.document_model_filters import in_order, matches
from tests.harness.document_model_values import MISSING, Document, compare, is_number, same, stored


def projected(document: Document, projection: dict[str, Any] | None) -> Document:
    """With the fields of an inclusion, or without those of an exclusion."""
    if not projection:
        return copy.deepcopy(document)
    fields = {path: each for path, each in projection.items() if path != "_id"}
    plain = {path: each for path, each in fields.items() if not isinstance(each, str)}
    including = any(plain.values()) or len(plain) < len(fields)
    if not fields:
        including = bool(projection["_id"])
    paths = [path.split(".") for path in plain]
    if including:
        if projection.get("_id", 1):
            paths.append(["_id"])
        made = _only(document, paths)
        for name, expression in fields.items():
            if (
                isinstance(expression, str)
                and (value := evaluated(document, expression)) is not MISSING
            ):
                made[name] = value
        return made
    if not projection.get("_id", 1):
        paths.append(["_id"])
    return _but(document, paths)


def _only(value: Document, paths: list[list[str]]) -> Document:
    made: Document = {}
    for key, inner in value.items():
        rests = [path[1:] for path in paths if path[0] == key]
        if any(not rest for rest in rests):
            made[key] = copy.deepcopy(inner)
        elif rests and isinstance(inner, dict):
            made[key] = _only(inner, rests)
        elif rests and isinstance(inner, list):
            made[key] = _only_items(inner, rests)
    return made


def _only_items(items: list[Any], paths: list[list[str]]) -> list[Any]:
    """Items that are neither documents nor arrays have no fields: they are left out."""
    made: list[Any] = []
    for item in items:
        if isinstance(item, dict):
            made.append(_only(item, paths))
        elif isinstance(item, list):
            made.append(_only_items(item, paths))
    return made


def _but(value: Document, paths: list[list[str]]) -> Document:
    made: Document = {}
    for key, inner in value.items():
        rests = [path[1:] for path in paths if path[0] == key]
        if all(rests):
            made[key] = _but_within(inner, rests) if rests else copy.deepcopy(inner)
    return made


def _but_within(value: Any, paths: list[list[str]]) -> Any:
    if isinstance(value, list):
        return [_but_within(item, paths) for item in value]
    return _but(value, paths) if isinstance(value, dict) else copy.deepcopy(value)


def evaluated(document: Document, expression: Any) -> Any:
    """A path after `$`, an object of such, or a constant; MISSING where there is nothing."""
    if isinstance(expression, str) and expression.startswith("$"):
        return copy.deepcopy(_found(document, expression[1:].split(".")))
    if isinstance(expression, dict):
        members = {key: evaluated(document, each) for key, each in expression.items()}
        return {key: each for key, each in members.items() if each is not MISSING}
    return stored(expression)


def _found(value: Any, parts: list[str]) -> Any:
    if not parts:
        return value
    if isinstance(value, list):
        found = [_found(item, parts) for item in value if isinstance(item, dict)]
        return [each for each in found if each is not MISSING]
    if isinstance(value, dict) and parts[0] in value:
        return _found(value[parts[0]], parts[1:])
    return MISSING


def passed_through(documents: list[Document], pipeline: list[dict[str, Any]]) -> list[Document]:
    """What comes out of a pipeline. Groups come in the order of their first documents."""
    for stage in pipeline:
        ((name, body),) = stage.items()
        documents = _STAGES[name](documents, body)
    return documents


def _sort(documents: list[Document], body: Any) -> list[Document]:
    return in_order(documents, body, lambda document: document)


def _unwind(documents: list[Document], body: Any) -> list[Document]:
    """`body` is an object; its path has one part."""
    field = body["path"][1:]
    index = body.get("includeArrayIndex")
    preserve = body.get("preserveNullAndEmptyArrays", False)
    made: list[Document] = []
    for document in documents:
        value = document.get(field, MISSING)
        if isinstance(value, list) and value:
            for number, item in enumerate(value):
                made.append({**document, field: item, **({index: number} if index else {})})
        elif isinstance(value, list):
            if preserve:
                rest = {key: each for key, each in document.items() if key != field}
                made.append({**rest, **({index: None} if index else {})})
        elif preserve or (value is not None and value is not MISSING):
            made.append({**document, **({index: None} if index else {})})
    return made


def _group(documents: list[Document], body: Any) -> list[Document]:
    groups: list[tuple[Any, list[Document]]] = []
    for document in documents:
        key = evaluated(document, body["_id"])
        key = None if key is MISSING else key
        members = next((each for other, each in groups if same(other, key)), None)
        if members is None:
            groups.append((key, [document]))
        else:
            members.append(document)
    return [
        {
            "_id": key,
            **{name: _accumulated(members, each) for name, each in body.items() if name != "_id"},
        }
        for key, members in groups
    ]


def _accumulated(documents: list[Document], accumulator: dict[str, Any]) -> Any:
    ((name, expression),) = accumulator.items()
    values = [evaluated(document, expression) for document in documents]
    if name == "$push":
        return [each for each in values if each is not MISSING]
    if name in ("$first", "$last"):
        value = values[0 if name == "$first" else -1]
        return None if value is MISSING else value
    if name in ("$sum", "$avg"):
        numbers = [each for each in values if is_number(each)]
        if name == "$sum":
            return sum(numbers)
        return sum(numbers) / len(numbers) if numbers else None
    there = [each for each in values if each is not MISSING and each is not None]
    there.sort(key=cmp_to_key(compare))
    return (there[0] if name == "$min" else there[-1]) if there else None


_STAGES: dict[str, Callable[[list[Document], Any], list[Document]]] = {
    "$match": lambda documents, body: [each for each in documents if matches(each, body)],
    "$sort": _sort,
    "$skip": lambda documents, body: documents[body:],
    "$limit": lambda documents, body: documents[:body],
    "$unwind": _unwind,
    "$group": _group,
    "$project": lambda documents, body: [projected(each, body) for each in documents],
    "$count": lambda documents, body: [{body: len(documents)}] if documents else [],
}
