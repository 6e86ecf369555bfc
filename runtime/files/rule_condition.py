"""Conditions of file rules: what they are and when they hold. Pure.

Values are texts, numbers, null and the two user ids. `==` and `!=` compare without coercion: values of
different types differ. `< <= > >=` compare numbers, between others none of them holds. A value that
stands where a condition is wanted holds unless it is absent, null, '' or 0. As in JavaScript, but for
one thing: an absent user id equals null and nothing else, not even another absent one, or strangers
would own every file without an owner.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum, auto


class UserId(StrEnum):
    """The unknowns of a condition."""

    REQUEST = "request.auth.userId"
    """Who asks."""
    RESOURCE = "resource.auth.userId"
    """Whom the file belongs to."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A text, a number or null."""

    value: str | float | None


Operand = UserId | Literal


@dataclass(frozen=True, slots=True)
class Comparison:
    """Of two values."""

    operator: str
    left: Operand
    right: Operand


@dataclass(frozen=True, slots=True)
class Given:
    """A value as a condition."""

    of: Operand


@dataclass(frozen=True, slots=True)
class Negation:
    """`!`."""

    of: Condition


@dataclass(frozen=True, slots=True)
class Conjunction:
    """`&&`."""

    of: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Disjunction:
    """`||`."""

    of: tuple[Condition, ...]


Condition = Comparison | Given | Negation | Conjunction | Disjunction


class _Absent(Enum):
    ABSENT = auto()


_Value = str | float | _Absent | None

_ORDERINGS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
COMPARISONS = frozenset({"==", "!=", *_ORDERINGS})


def holds(condition: Condition, *, user_id: str | None, owner_id: str | None) -> bool:
    """Whether it lets this user at a file of this owner. None: there is no such user."""
    ids: Mapping[UserId, _Value] = {
        UserId.REQUEST: user_id or _Absent.ABSENT,
        UserId.RESOURCE: owner_id or _Absent.ABSENT,
    }
    return _holds(condition, ids)


def _holds(condition: Condition, ids: Mapping[UserId, _Value]) -> bool:
    match condition:
        case Comparison(operator=sign, left=left, right=right):
            return _compare(sign, _value(left, ids), _value(right, ids))
        case Given(of=operand):
            value = _value(operand, ids)
            return value is not _Absent.ABSENT and bool(value)
        case Negation(of=inner):
            return not _holds(inner, ids)
        case Conjunction(of=parts):
            return all(_holds(part, ids) for part in parts)
        case Disjunction(of=parts):
            return any(_holds(part, ids) for part in parts)


def _value(operand: Operand, ids: Mapping[UserId, _Value]) -> _Value:
    return operand.value if isinstance(operand, Literal) else ids[operand]


def _compare(sign: str, left: _Value, right: _Value) -> bool:
    if sign in _ORDERINGS:
        numbers = isinstance(left, float) and isinstance(right, float)
        return numbers and _ORDERINGS[sign](left, right)  # type: ignore[arg-type]
    return _equal(left, right) is (sign == "==")


def _equal(left: _Value, right: _Value) -> bool:
    if _Absent.ABSENT in {left, right}:
        return None in {left, right}
    return type(left) is type(right) and left == right
