"""Filters and sorting of the model of a collection. Written from MongoDB's manual, not from the code under
test."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cmp_to_key
from typing import Any, TypeVar

from tests.harness.document_model_values import (
    MISSING,
    Date,
    Document,
    ObjectId,
    compare,
    is_number,
    rank,
    same,
    stored,
    stored_id,
)

T = TypeVar("T")

_BELOW_NULL = object()
"""Where an empty array stands when documents are sorted."""


def reached(value: Any, parts: Sequence[str]) -> list[Any]:
    """What a path leads to. Arrays on the way are gone through, one at its end stays whole."""
    if not parts:
        return [value]
    if not isinstance(value, dict) or parts[0] not in value:
        return [MISSING]
    inner = value[parts[0]]
    if len(parts) > 1 and isinstance(inner, list):
        return [
            found for item in inner if isinstance(item, dict) for found in reached(item, parts[1:])
        ]
    return reached(inner, parts[1:])


def matches(document: Document, condition: Document) -> bool:
    """Whether a document passes a filter of JSON values."""
    return all(_member(document, key, wanted) for key, wanted in condition.items())


def _member(document: Document, key: str, wanted: Any) -> bool:
    if key == "$and":
        return all(matches(document, each) for each in wanted)
    if key == "$or":
        return any(matches(document, each) for each in wanted)
    if key == "$nor":
        return not any(matches(document, each) for each in wanted)
    keep = stored_id if key == "_id" else stored
    return _field(reached(document, key.split(".")), wanted, keep)


def has_operators(wanted: Any) -> bool:
    return isinstance(wanted, dict) and bool(wanted) and next(iter(wanted)).startswith("$")


def _field(found: list[Any], wanted: Any, keep: Callable[[Any], Any]) -> bool:
    operators = wanted if has_operators(wanted) else {"$eq": wanted}
    return all(_operator(found, name, operand, keep) for name, operand in operators.items())


def _operator(  # noqa: PLR0911 - one line for each operator
    found: list[Any], name: str, operand: Any, keep: Callable[[Any], Any]
) -> bool:
    if name == "$not":
        return not _field(found, operand, keep)
    if name == "$ne":
        return not _operator(found, "$eq", operand, keep)
    if name == "$nin":
        return not _operator(found, "$in", operand, keep)
    if name == "$all":
        return bool(operand) and all(_operator(found, "$eq", each, keep) for each in operand)
    if name == "$exists":
        return any(each is not MISSING for each in found) is operand
    if name == "$size":
        return any(isinstance(each, list) and len(each) == operand for each in found)
    if name == "$elemMatch":
        return any(
            is_item(item, operand) for each in found if isinstance(each, list) for item in each
        )
    candidates = [one for each in found for one in _with_items(each)]
    if name == "$type":
        return any(_TYPES[operand](each) for each in candidates)
    if name == "$in":
        return any(same(each, keep(one)) for each in candidates for one in operand)
    return any(_compares(name, each, keep(operand)) for each in candidates)


def is_item(item: Any, condition: Document) -> bool:
    """Whether an item of an array passes `$elemMatch`."""
    if has_operators(condition):
        return all(_compares_item(item, name, operand) for name, operand in condition.items())
    return isinstance(item, dict) and matches(item, condition)


def _compares_item(item: Any, name: str, operand: Any) -> bool:
    """An item that is an array is not gone through."""
    if name == "$in":
        return any(same(item, stored(each)) for each in operand)
    return _compares(name, item, stored(operand))


def _with_items(value: Any) -> list[Any]:
    return [*value, value] if isinstance(value, list) else [value]


def _compares(name: str, value: Any, operand: Any) -> bool:
    if rank(value) != rank(operand):
        return False
    order = compare(value, operand)
    return {
        "$eq": order == 0,
        "$gt": order > 0,
        "$gte": order >= 0,
        "$lt": order < 0,
        "$lte": order <= 0,
    }[name]


_TYPES: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "number": is_number,
    "string": lambda value: isinstance(value, str),
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "objectId": lambda value: isinstance(value, ObjectId),
    "bool": lambda value: isinstance(value, bool),
    "date": lambda value: isinstance(value, Date),
}


def in_order(
    things: Iterable[T], sort: dict[str, int], document_of: Callable[[T], Document]
) -> list[T]:
    """Sorted, equal ones as they were. An array counts as its lowest item, descending as its highest."""
    ordered = list(things)
    for path, direction in reversed(sort.items()):

        def key(thing: T, path: str = path, direction: int = direction) -> Any:
            return _sort_key(document_of(thing), path, direction)

        ordered.sort(key=lambda thing: cmp_to_key(_compare_keys)(key(thing)), reverse=direction < 0)
    return ordered


def _sort_key(document: Document, path: str, direction: int) -> Any:
    keys: list[Any] = []
    for each in reached(document, path.split(".")):
        keys += (each or [_BELOW_NULL]) if isinstance(each, list) else [each]
    keys.sort(key=cmp_to_key(_compare_keys), reverse=direction < 0)
    return keys[0] if keys else MISSING


def _compare_keys(left: Any, right: Any) -> int:
    if left is _BELOW_NULL or right is _BELOW_NULL:
        return (right is _BELOW_NULL) - (left is _BELOW_NULL)
    return compare(left, right)
