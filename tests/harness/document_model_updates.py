"""Updates of the model of a collection. Written from MongoDB's manual, not from the code under test."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cmp_to_key
from typing import Any

from tests.harness.document_model_filters import has_operators, in_order, matches
from tests.harness.document_model_values import (
    MISSING,
    Document,
    compare,
    identical,
    is_number,
    same,
    stored,
    stored_id,
)

BAD_VALUE, TYPE_MISMATCH, PATH_NOT_VIABLE, CONFLICT, IMMUTABLE = "2", "14", "28", "40", "66"

Update = dict[str, dict[str, Any]]


class ModelError(Exception):
    """An error that the service has to give; `code` is its code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def check_update(update: Update) -> None:
    """Whether two operators touch the same: an error also where no document matches."""
    paths = [path for fields in update.values() for path in fields]
    paths += update.get("$rename", {}).values()
    for number, path in enumerate(paths):
        for other in paths[number + 1 :]:
            if f"{path}.".startswith(f"{other}.") or f"{other}.".startswith(f"{path}."):
                raise ModelError(CONFLICT)


def updated(
    document: Document, update: Update, *, inserting: bool, by_name: bool
) -> tuple[Document, bool]:
    """A changed copy, and whether an operator had anything to do. `by_name`: fields are visited, and new ones
    come, in the order of their names, else in that of the update."""
    check_update(update)
    made = copy.deepcopy(document)
    changed = False
    steps = [
        (path, name, operand) for name, fields in update.items() for path, operand in fields.items()
    ]
    if by_name:
        steps.sort(key=lambda step: step[2] if step[1] == "$rename" else step[0])
    for path, name, operand in steps:
        if name == "$rename":
            changed |= _rename(made, path, operand)
        elif name != "$setOnInsert" or inserting:
            changed |= _change(made, path, name, operand)
    if "_id" in document and not ("_id" in made and identical(document["_id"], made["_id"])):
        raise ModelError(IMMUTABLE)
    return made, changed


def _rename(document: Document, path: str, new: str) -> bool:
    """Of a field of the document itself."""
    if path not in document:
        return False
    value = document.pop(path)
    document[new] = value
    return True


def _change(document: Document, path: str, name: str, operand: Any) -> bool:
    *way, last = path.split(".")
    missing_ok = name in _OF_WHAT_IS_THERE
    parent = _parent(document, way, make=not missing_ok)
    if parent is None:
        return False
    old = _get(parent, last)
    if old is MISSING and missing_ok:
        return False
    if name == "$unset":
        _unset(parent, last)
        return True
    new = _CHANGES[name](old, operand, stored_id if path == "_id" else stored)
    if new is MISSING:
        return False
    _put(parent, last, new)
    return old is MISSING or name == "$push" or not identical(old, new)


def _parent(document: Document, way: list[str], *, make: bool) -> Any:
    """What holds the last part of a path; None where it is not and shall not be made."""
    value: Any = document
    for part in way:
        inner = _get(value, part)
        if inner is MISSING:
            if not make:
                return None
            inner = {}
            _put(value, part, inner)
        value = inner
    if not isinstance(value, dict | list):
        if make:
            raise ModelError(PATH_NOT_VIABLE)
        return None
    return value


def _get(parent: Any, part: str) -> Any:
    if isinstance(parent, dict):
        return parent.get(part, MISSING)
    if isinstance(parent, list) and part.isdecimal() and int(part) < len(parent):
        return parent[int(part)]
    return MISSING


def _put(parent: Any, part: str, value: Any) -> None:
    if isinstance(parent, dict):
        parent[part] = value
    elif isinstance(parent, list) and part.isdecimal():
        parent += [None] * (int(part) + 1 - len(parent))
        parent[int(part)] = value
    else:
        raise ModelError(PATH_NOT_VIABLE)


def _unset(parent: Any, part: str) -> None:
    if isinstance(parent, dict):
        del parent[part]
    else:
        parent[int(part)] = None


Keep = Callable[[Any], Any]


def _number(old: Any) -> Any:
    if not is_number(old):
        raise ModelError(TYPE_MISMATCH)
    return old


def _inc(old: Any, operand: Any, _: Keep) -> Any:
    return operand if old is MISSING else _number(old) + operand


def _mul(old: Any, operand: Any, _: Keep) -> Any:
    return operand * 0 if old is MISSING else _number(old) * operand


def _min(old: Any, operand: Any, keep: Keep) -> Any:
    new = keep(operand)
    return new if old is MISSING or compare(new, old) < 0 else old


def _max(old: Any, operand: Any, keep: Keep) -> Any:
    new = keep(operand)
    return new if old is MISSING or compare(new, old) > 0 else old


def _array(old: Any, code: str) -> list[Any]:
    if not isinstance(old, list):
        raise ModelError(code)
    return list(old)


def _push(old: Any, operand: Any, _: Keep) -> Any:
    modifiers: dict[str, Any] = {"$each": [operand]}
    if isinstance(operand, dict) and "$each" in operand:
        modifiers = operand
    array = [] if old is MISSING else _array(old, BAD_VALUE)
    place = modifiers.get("$position", len(array))
    array[place:place] = stored(modifiers["$each"])
    sort = modifiers.get("$sort")
    if isinstance(sort, dict):
        array = in_order(array, sort, lambda item: item if isinstance(item, dict) else {})
    elif sort is not None:
        array.sort(key=cmp_to_key(compare), reverse=sort < 0)
    if "$slice" in modifiers:
        size = modifiers["$slice"]
        array = array[:size] if size >= 0 else array[size:]
    return array


def _add_to_set(old: Any, operand: Any, _: Keep) -> Any:
    each = operand["$each"] if isinstance(operand, dict) and "$each" in operand else [operand]
    array = [] if old is MISSING else _array(old, BAD_VALUE)
    for value in stored(each):
        if not any(same(value, item) for item in array):
            array.append(value)
    return array


def _pull(old: Any, operand: Any, _: Keep) -> Any:
    return [item for item in _array(old, BAD_VALUE) if not _is_pulled(item, operand)]


def _is_pulled(item: Any, operand: Any) -> bool:
    if has_operators(operand):
        return matches({"item": item}, {"item": operand})
    if isinstance(operand, dict):
        return isinstance(item, dict) and matches(item, operand)
    return same(item, stored(operand))


def _pop(old: Any, operand: Any, _: Keep) -> Any:
    array = _array(old, TYPE_MISMATCH)
    return array[:-1] if operand > 0 else array[1:]


_CHANGES: dict[str, Callable[[Any, Any, Keep], Any]] = {
    "$set": lambda _, operand, keep: keep(operand),
    "$setOnInsert": lambda _, operand, keep: keep(operand),
    "$inc": _inc,
    "$mul": _mul,
    "$min": _min,
    "$max": _max,
    "$push": _push,
    "$addToSet": _add_to_set,
    "$pull": _pull,
    "$pop": _pop,
}
_OF_WHAT_IS_THERE = frozenset({"$unset", "$pull", "$pop"})
"""They make nothing."""


def equalities(condition: Document) -> Document:
    """What a document that an upsert makes has of the filter, by name. Paths have one part."""
    made: Document = {}
    for key, wanted in condition.items():
        value = wanted.get("$eq", MISSING) if has_operators(wanted) else wanted
        if not key.startswith("$") and value is not MISSING:
            made[key] = stored_id(value) if key == "_id" else stored(value)
    return dict(sorted(made.items()))
