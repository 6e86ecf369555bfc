"""How large the value of an expression may be, and how values become others. Pure.

Sizes are nominal: an array or text of a document counts as `DATA` items, whatever it holds. So what data
alone makes large is not seen here (the database's time and memory limits are for that); what the command
itself multiplies is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

DATA: Final = 50
_CHARACTERS: Final = 100
"""Of a text that weigh as much as one value."""

Copies = Mapping[tuple[int, str], int]
"""By number of the `$reduce` and field of its `$$value`; the empty name is for the whole."""


@dataclass(frozen=True, slots=True)
class Value:
    """What an expression gives."""

    length: int = 1
    """Items, or hundreds of characters."""
    item: int = 1
    """Length of an item."""
    total: int = 1
    """Values when all is written out, however often one is named."""
    copies: Copies = field(default_factory=dict)
    """How often it holds what the `$reduce`s around it have gathered."""

    def one(self) -> Value:
        """One of its items."""
        return Value(self.item, self.item, max(1, self.total // max(1, self.length)), self.copies)


SCALAR: Final = Value()
FIELD: Final = Value(DATA, DATA, DATA)
"""What a document holds."""

Names = Mapping[str, Value]
"""Variables by their names, fields of the document by `$` and their first names where they are known."""

OTHER_FIELDS: Final = "$"
"""Among the names: fields that are not known by theirs."""
_DOCUMENT: Final = frozenset({"ROOT", "CURRENT"})


def named(text: str, names: Names) -> Value:
    """A path into a value counts as the whole value."""
    if text.startswith("$$"):
        name, _, path = text[2:].partition(".")
        if name not in _DOCUMENT:
            value = names.get(name, FIELD)
            if not path or not value.copies:
                return value
            part = path.partition(".")[0]
            return replace(
                value,
                copies={(of, held or part): count for (of, held), count in value.copies.items()},
            )
        if not path:
            return largest([FIELD, *(each for key, each in names.items() if key.startswith("$"))])
        text = f"${path}"
    if text.startswith("$"):
        return names.get(text.partition(".")[0], names.get(OTHER_FIELDS, FIELD))
    weight = 1 + len(text) // _CHARACTERS
    return Value(weight, 1, weight)


def scope(names: Names, variables: Names) -> Names:
    """The names inside an operator that has variables of its own; `CURRENT` is where `$field` begins."""
    current = variables.get("CURRENT")
    if current is None:
        return {**names, **variables}
    kept = {name: value for name, value in names.items() if not name.startswith("$")}
    return {**kept, **variables, OTHER_FIELDS: current}


def together(values: list[Value]) -> Value:
    """All of them, as one behind the other."""
    return Value(
        max(1, sum(each.length for each in values)),
        max((each.item for each in values), default=1),
        1 + sum(each.total for each in values),
        sum_of((each.copies, 1) for each in values),
    )


def listed(values: list[Value]) -> Value:
    """An array of them."""
    return replace(together(values), length=len(values), item=largest(values).length)


def largest(values: list[Value]) -> Value:
    """One of them, it is not known which."""
    return Value(
        max((each.length for each in values), default=1),
        max((each.item for each in values), default=1),
        max((each.total for each in values), default=1),
        _most_of(each.copies for each in values),
    )


def sum_of(parts: Iterable[tuple[Copies, int]]) -> Copies:
    """Each so many times."""
    total: Counter[tuple[int, str]] = Counter()
    for copies, times in parts:
        for key, count in copies.items():
            total[key] += count * times
    return total


def _most_of(parts: Iterable[Copies]) -> Copies:
    most: Counter[tuple[int, str]] = Counter()
    for copies in parts:
        most |= Counter(copies)
    return most
