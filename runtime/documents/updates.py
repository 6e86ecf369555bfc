"""What updates may hold: an allow-list of update operators."""

from __future__ import annotations

import re
from typing import Any, Final

from runtime.documents.errors import TYPE_MISMATCH
from runtime.documents.filters import check_element
from runtime.documents.names import path_problem, shown
from runtime.documents.walk import Walk

_VALUES: Final = frozenset({"$set", "$setOnInsert", "$min", "$max", "$unset", "$pop"})
_EACH: Final = {
    "$addToSet": frozenset({"$each"}),
    "$push": frozenset({"$each", "$position", "$slice", "$sort"}),
}
_POSITION: Final = re.compile(r"\$(\[([a-z][A-Za-z0-9]*)?\])?")


def check_update(walk: Walk, value: Any, where: str) -> None:
    """A whole update; `walk.shape` was asked before."""
    if not isinstance(value, dict) or not value:
        raise walk.error(f"{where} must be an object that is not empty")
    for name, fields in value.items():
        if not name.startswith("$"):
            raise walk.error(
                f"{where} must have operators such as $set, not {shown(name)};"
                " replaceOne replaces a whole document"
            )
        if name not in _VALUES and name not in _EACH and name not in _CHANGES:
            raise walk.unknown(name, where)
        if not isinstance(fields, dict):
            raise walk.error(f"{name} of {where} must be an object")
        for path, each in fields.items():
            _check_path(walk, path, f"{name} of {where}")
            _check_change(walk, name, each, f"{name} of {where}")


def _check_change(walk: Walk, name: str, value: Any, where: str) -> None:
    if name in _VALUES:
        walk.stored(value, where)
    elif name in _EACH:
        _check_push(walk, name, value, where)
    else:
        _CHANGES[name](walk, value, where)


def _number(walk: Walk, value: Any, where: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise walk.error(f"{where} needs a number", TYPE_MISMATCH)


def _rename(walk: Walk, value: Any, where: str) -> None:
    walk.path(value, where)


def _pull_all(walk: Walk, value: Any, where: str) -> None:
    walk.stored(walk.choices(value, where), where)


def _bit(walk: Walk, value: Any, where: str) -> None:
    for number in walk.mapping(value, where, ("and", "or", "xor")).values():
        walk.number(number, where)


def _current_date(walk: Walk, value: Any, where: str) -> None:
    if isinstance(value, bool):
        return
    kind = walk.mapping(value, where, ("$type",), ("$type",))["$type"]
    if kind not in ("date", "timestamp"):
        raise walk.error(f"{where}: $type is date or timestamp")


def _check_push(walk: Walk, name: str, value: Any, where: str) -> None:
    if not isinstance(value, dict) or "$each" not in value:
        walk.stored(value, where)
        return
    for key, each in walk.mapping(value, where, _EACH[name]).items():
        if key == "$each" and not isinstance(each, list):
            raise walk.error(f"$each of {where} needs an array")
        walk.stored(each, where)


def _check_path(walk: Walk, path: str, where: str) -> None:
    problem = path_problem(path)
    if problem is not None:
        raise walk.error(f"field {shown(path)} of {where} {problem}")
    for part in path.split("."):
        if not part:
            raise walk.error(f"field {shown(path)} of {where} has an empty part")
        if part.startswith("$") and not _POSITION.fullmatch(part):
            raise walk.unknown(part, f"a field of {where}")
    if path.startswith("$"):
        raise walk.error(f"field {shown(path)} of {where} must start with a name")


_CHANGES: Final = {
    "$inc": _number,
    "$mul": _number,
    "$rename": _rename,
    "$currentDate": _current_date,
    "$pull": check_element,
    "$pullAll": _pull_all,
    "$bit": _bit,
}
