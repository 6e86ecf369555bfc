"""How large the value of an expression may be, and how values become others. Pure.

Sizes are nominal: an array or text of a document counts as `DATA` items, whatever it holds. So what data
alone makes large is not seen here (the database's time and memory limits are for that); what the command
itself multiplies is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

DATA: Final = 50

Copies = Mapping[tuple[int, str], int]
"""By number of the `$reduce` and field of its `$$value`; the empty name is for the whole."""

NO_COPIES: Final[Copies] = MappingProxyType({})


class Value(NamedTuple):
    """What an expression gives."""

    length: int = 1
    """Items, or hundreds of characters."""
    item: int = 1
    """Length of an item."""
    total: int = 1
    """Values when all is written out, however often one is named."""
    copies: Copies = NO_COPIES
    """How often it holds what the `$reduce`s around it have gathered."""

    def one(self) -> Value:
        """One of its items."""
        return Value(self.item, self.item, max(1, self.total // max(1, self.length)), self.copies)


SCALAR: Final = Value()
FIELD: Final = Value(DATA, DATA, DATA)
"""What a document holds."""


def together(values: Sequence[Value]) -> Value:
    """All of them, as one behind the other."""
    length, item, total = 0, 0, 1
    for each in values:
        length += each.length
        total += each.total
        item = max(item, each.item)
    copies = sum_of((each.copies, 1) for each in values)
    return Value(max(1, length), item if values else 1, total, copies)


def listed(values: Sequence[Value]) -> Value:
    """An array of them."""
    longest = max((each.length for each in values), default=1)
    return together(values)._replace(length=len(values), item=longest)


def largest(values: Sequence[Value]) -> Value:
    """One of them, it is not known which."""
    if not values:
        return SCALAR
    length, item, total = 0, 0, 0
    for each in values:
        length = max(length, each.length)
        item = max(item, each.item)
        total = max(total, each.total)
    return Value(length, item, total, _most_of(each.copies for each in values))


def sum_of(parts: Iterable[tuple[Copies, int]]) -> Copies:
    """Each so many times."""
    total: dict[tuple[int, str], int] = {}
    for copies, times in parts:
        for key, count in copies.items():
            total[key] = total.get(key, 0) + count * times
    return total or NO_COPIES


def _most_of(parts: Iterable[Copies]) -> Copies:
    most: dict[tuple[int, str], int] = {}
    for copies in parts:
        for key, count in copies.items():
            most[key] = max(most.get(key, 0), count)
    return most or NO_COPIES
