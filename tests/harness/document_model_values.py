"""Values of the model of a collection: what JSON becomes when it is stored, and how values compare.

Written from MongoDB's manual (comparison order of BSON types), not from the code under test.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

Document = dict[str, Any]


@dataclass(frozen=True, order=True)
class Date:
    """A point in time, as the text that stands for it: four digits of year, so texts have the right order."""

    text: str


@dataclass(frozen=True, order=True)
class ObjectId:
    """24 hex digits."""

    text: str


class Missing(Enum):
    """What a path leads to where nothing is. An Enum, because its copies are itself."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING

_DATE: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_OBJECT_ID: Final = re.compile(r"[0-9a-f]{24}")


def stored(value: Any) -> Any:
    """A JSON value as the database keeps it: a copy (spec: database commands §2)."""
    if isinstance(value, str) and _DATE.fullmatch(value):
        return Date(value)
    if isinstance(value, dict):
        return {key: stored(each) for key, each in value.items()}
    if isinstance(value, list):
        return [stored(each) for each in value]
    return value


def stored_id(value: Any) -> Any:
    """The same of an `_id`."""
    if isinstance(value, str) and _OBJECT_ID.fullmatch(value):
        return ObjectId(value)
    return stored(value)


def stored_document(document: Document) -> Document:
    """The same of a document, `_id` included."""
    return {
        key: stored_id(each) if key == "_id" else stored(each) for key, each in document.items()
    }


def shown(value: Any) -> Any:
    """A kept value as an answer has it: a copy."""
    if isinstance(value, Date | ObjectId):
        return value.text
    if isinstance(value, dict):
        return {key: shown(each) for key, each in value.items()}
    if isinstance(value, list):
        return [shown(each) for each in value]
    return value


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def rank(value: Any) -> int:
    """The place of a value's type in the comparison order. Missing counts as null."""
    if value is None or value is MISSING:
        return 1
    if is_number(value):
        return 2
    ranks = {str: 3, dict: 4, list: 5, ObjectId: 6, bool: 7, Date: 8}
    return ranks[type(value)]


def compare(left: Any, right: Any) -> int:
    """Below, at or above 0, over all types."""
    if rank(left) != rank(right):
        return -1 if rank(left) < rank(right) else 1
    if left is None or left is MISSING:
        return 0
    if isinstance(left, dict):
        return _compare_documents(left, right)
    if isinstance(left, list):
        for one, other in zip(left, right, strict=False):
            if order := compare(one, other):
                return order
        return len(left) - len(right)
    return int(left > right) - int(left < right)


def _compare_documents(left: Document, right: Document) -> int:
    """Member by member: the types of the values first, then the names, then the values."""
    for (key, one), (other_key, other) in zip(left.items(), right.items(), strict=False):
        if rank(one) != rank(other):
            return -1 if rank(one) < rank(other) else 1
        if key != other_key:
            return -1 if key < other_key else 1
        if order := compare(one, other):
            return order
    return len(left) - len(right)


def same(left: Any, right: Any) -> bool:
    """Equal for a filter: 1 is 1.0, but not true; the order of fields counts."""
    return compare(left, right) == 0


def identical(left: Any, right: Any) -> bool:
    """Equal to the bit: nothing changes when one is put in the place of the other."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return list(left) == list(right) and all(identical(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(identical, left, right))
    if isinstance(left, float):
        return struct.pack("d", left) == struct.pack("d", right)
    return bool(left == right)


def is_like(answer: Any, expected: Any) -> bool:
    """Whether two JSON values are the same to JavaScript, which has one kind of number."""
    if is_number(answer) and is_number(expected):
        return bool(answer == expected)
    if type(answer) is not type(expected):
        return False
    if isinstance(answer, dict):
        return list(answer) == list(expected) and all(
            is_like(answer[key], expected[key]) for key in answer
        )
    if isinstance(answer, list):
        return len(answer) == len(expected) and all(map(is_like, answer, expected))
    return bool(answer == expected)
