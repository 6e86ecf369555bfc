"""What operators cost a database that computes in an interpreter: steps beyond the one that each takes, and
sizes that are not those of their operands. Pure.

Measured on the embedded database with the worst operands of their size, at 2.5 microseconds a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Final

from runtime.documents.expression_values import Value

_PIECES: Final = 50
"""Of a hundred characters, at most, by separators between them."""

_FLAT: Final = {
    **dict.fromkeys(("$toDate", "$dateFromString", "$convert"), 2_000),
    **dict.fromkeys(("$toInt", "$toLong", "$firstN", "$lastN", "$maxN", "$minN"), 1_000),
    **dict.fromkeys(("$exp", "$ln", "$log", "$log10", "$mod", "$pow", "$sqrt"), 100),
    **dict.fromkeys(("$ceil", "$divide", "$floor", "$round", "$toDecimal", "$trunc"), 20),
}
"""Numbers of 6,000 digits and the texts of dates among them."""
_BY_ITEM: Final = {
    **dict.fromkeys(("$in", "$indexOfArray", "$max", "$min", "$sum", "$avg"), 2),
    **dict.fromkeys(("$setUnion", "$setEquals", "$sortArray", "$maxN", "$minN"), 5),
    "$percentile": 1_000,
}
"""Steps for each item of all operands; percentiles sort what a group has gathered for each."""
_PAIRS: Final = frozenset({"$setDifference", "$setIntersection", "$setIsSubset"})
_PAIR: Final = 3
"""Steps for each pair of items of two operands."""
_FACTORS: Final = 50
"""Factors of `$multiply`, squared, that take a step: their product is exact until the last one."""
_ZIPPED: Final = 5
"""Items that `$zip` makes in a step."""


def steps_more(name: str, values: Sequence[Value]) -> int:
    """For one evaluation of an operator, given what its operands are."""
    lengths = [each.length for each in values]
    steps = _FLAT.get(name, 0) + _BY_ITEM.get(name, 0) * sum(lengths)
    if name in _PAIRS:
        steps += _PAIR * prod(lengths)
    elif name == "$multiply":
        steps += len(lengths) ** 2 // _FACTORS
    elif name == "$zip":
        steps += max((each.length * each.item for each in values), default=0) // _ZIPPED
    return steps


def size_made(name: str, values: Sequence[Value]) -> Value | None:
    """What an operator gives whose value has another size than its operands together; None for others."""
    if name == "$zip" and values:
        inputs = max(values, key=lambda each: each.length * each.item)
        return Value(inputs.item, inputs.length, inputs.length * inputs.item, inputs.copies)
    if name in ("$split", "$regexFindAll") and values:
        text = max(values, key=lambda each: each.length)
        holds_data = text.item > 1
        pieces = text.length if holds_data else text.length * _PIECES
        return Value(pieces, 1, pieces, text.copies)
    return None
