"""What filters may hold: an allow-list of query operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from runtime.documents import places
from runtime.documents.operands import check_expression
from runtime.documents.walk import INT64_MAX, Walk

_LOGICAL: Final = frozenset({"$and", "$or", "$nor"})
_WHOLE: Final = _LOGICAL | {"$expr", "$text", "$comment", "$sampleRate"}
"""Operators that stand where a field could."""
_PLAIN: Final = frozenset({"$eq", "$ne", "$gt", "$gte", "$lt", "$lte"}) | frozenset(
    {"$exists", "$type", "$size", "$mod"}
)
"""Their argument is a value without operators; where its type matters the database checks it."""
_NESTING: Final = frozenset({"$not", "$elemMatch"})
_LISTS: Final = frozenset({"$in", "$nin", "$all"})
_BITS: Final = ("$bitsAllClear", "$bitsAllSet", "$bitsAnyClear", "$bitsAnySet")
_BIT_MAX: Final = 1_000
"""A position. A number has 64 bits, and binary data no SDK can write; the embedded database computes a number
with as many bits as this, and with millions does nothing else for seconds."""
_TEXT: Final = frozenset({"$search", "$language", "$caseSensitive", "$diacriticSensitive"})


def check_filter(walk: Walk, value: Any, where: str, *, of_items: bool = False) -> None:
    """A whole filter, or one of the items of an array, which takes no expression: those are about documents.
    `walk.shape` was asked before, here and in the functions below."""
    if not isinstance(value, dict):
        raise walk.error(f"{where} must be an object")
    for key, each in value.items():
        if not key.startswith("$"):
            if key:
                walk.path(key, where)
            check_condition(walk, each, where)
        elif key in _LOGICAL:
            for branch in walk.choices(each, f"{key} of {where}"):
                check_filter(walk, branch, where, of_items=of_items)
        elif key == "$expr" and of_items:
            raise walk.error(f"$expr of {where} is possible in a whole filter only")
        else:
            _check_whole(walk, key, each, where)


def _check_whole(walk: Walk, name: str, value: Any, where: str) -> None:
    if name == "$expr":
        check_expression(walk, value, where)
    elif name == "$text":
        walk.stored(list(walk.mapping(value, name, _TEXT, ("$search",)).values()), name)
    elif name in _WHOLE:
        walk.stored(value, name)
    else:
        raise walk.unknown(name, where)


def check_condition(walk: Walk, value: Any, where: str) -> None:
    """What a field is compared with: a value, or an object of operators."""
    if _has_operators(value):
        _check_operators(walk, value, where)
    else:
        walk.stored(value, where)


def check_element(walk: Walk, value: Any, where: str) -> None:
    """For `$elemMatch` and `$pull`: conditions on an item itself, or a filter of items that are documents."""
    if _has_operators(value) and next(iter(value)) not in _WHOLE:
        _check_operators(walk, value, where)
    elif isinstance(value, dict):
        check_filter(walk, value, where, of_items=True)
    else:
        walk.stored(value, where)


def _has_operators(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and next(iter(value)).startswith("$")


def _check_operators(walk: Walk, value: dict[str, Any], where: str) -> None:
    for name, each in value.items():
        inside = f"{name} of {where}"
        if name in _PLAIN:
            walk.stored(each, inside)
        elif name in _LISTS:
            _check_list(walk, name, each, inside)
        elif name in _NESTING:
            _check_nested(walk, name, each, where)
        elif name == "$regex":
            walk.regex(each, value.get("$options", ""), inside)
        elif name == "$options" and "$regex" not in value:
            raise walk.error(f"{inside} needs a $regex beside it")
        elif name in _OPERANDS:
            _OPERANDS[name](walk, each, inside)
        elif name != "$options":
            raise walk.unknown(name, where)


def _check_nested(walk: Walk, name: str, value: Any, where: str) -> None:
    if not isinstance(value, dict):
        raise walk.error(f"{name} of {where} needs an object")
    if name == "$elemMatch":
        check_element(walk, value, where)
    elif _has_operators(value):
        _check_operators(walk, value, where)
    else:
        raise walk.error(f"{name} of {where} needs an object of operators")


def _check_list(walk: Walk, name: str, value: Any, where: str) -> None:
    for each in walk.choices(value, where):
        if name == "$all" and isinstance(each, dict) and list(each) == ["$elemMatch"]:
            _check_operators(walk, each, where)
        else:
            walk.stored(each, where)


def _check_bits(walk: Walk, value: Any, where: str) -> None:
    for each in walk.choices(value, where) if isinstance(value, list) else [value]:
        walk.number(each, where)
        if not 0 <= each <= (_BIT_MAX if isinstance(value, list) else INT64_MAX):
            raise walk.error(f"{where} needs a mask or positions of bits, not negative")


_OPERANDS: Final[Mapping[str, Callable[[Walk, Any, str], None]]] = {
    **dict.fromkeys(_BITS, _check_bits),
    **dict.fromkeys(("$near", "$nearSphere"), places.check_near),
    **dict.fromkeys(("$geoWithin", "$geoIntersects"), places.check_area),
    **dict.fromkeys(("$maxDistance", "$minDistance"), places.check_distance),
}
"""Operators whose argument has a form of its own."""
