"""What an expression may cost and make, seen before it runs: operator by operator, an estimate. Pure.

The estimate may not cost much itself: it counts its looks at the command (`Work.look`), copies of variables
and of what a value holds among them, and gives up when these are too many.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from runtime.documents.arithmetic_costs import size_made, steps_more
from runtime.documents.expression_names import Fields, Scope
from runtime.documents.expression_values import (
    SCALAR,
    Value,
    largest,
    listed,
    sum_of,
    together,
)

_COMPUTED_RANGE: Final = 1_000
"""Items of a `$range` whose ends are not written out."""
_REDUCES_MAX: Final = 500
"""Looks at a `$reduce`; each looks at what is inside twice."""
COPIED: Final = 10
"""Items that are copied in the time of one step, or look."""

_SCALAR_NAMES: Final = """
    abs acos acosh add allElementsTrue and anyElementTrue asin asinh atan atan2 atanh avg binarySize
    bitAnd bitNot bitOr bitXor bsonSize ceil cmp cos cosh dateAdd dateDiff dateFromParts
    dateFromString dateSubtract dateToString dateTrunc dayOfMonth dayOfWeek dayOfYear
    degreesToRadians divide eq exp floor gt gte hour in indexOfArray indexOfBytes indexOfCP isArray
    isNumber isoDayOfWeek isoWeek isoWeekYear ln log log10 lt lte median millisecond minute mod month
    multiply ne not or pow radiansToDegrees rand regexMatch round second setEquals setIsSubset sin
    sinh size sqrt stdDevPop stdDevSamp strLenBytes strLenCP strcasecmp subtract sum tan tanh toBool
    toDate toDecimal toDouble toInt toLong toObjectId trunc tsIncrement tsSecond type week year
"""
_SCALARS: Final = frozenset(f"${name}" for name in _SCALAR_NAMES.split())
_ITEMS: Final = frozenset({"$arrayElemAt", "$first", "$last"})


class GrowthError(ValueError):
    """Says what grows too much, to be put behind the place."""


@dataclass(slots=True)
class Work:
    """Counts steps of one command. Raises GrowthError when there are more than `steps_max`, or values ten
    times as large, or when the estimate takes more than `looks_max` itself."""

    steps_max: int
    looks_max: int
    interpreted: bool = False
    """Whether the costs of `arithmetic_costs` are added."""
    steps: int = 0
    looks: int = 0
    reduces: int = 0

    def look(self, looks: int = 1) -> None:
        """At parts of the command; one takes a microsecond or two."""
        self.looks += looks
        if self.looks > self.looks_max:
            raise GrowthError(
                "is too entangled to be estimated; use fewer variables, fewer $reduce within each other"
                " and fewer names of what they gather"
            )

    def spend(self, steps: int) -> None:
        self.steps += steps
        if self.steps > self.steps_max:
            raise GrowthError(
                f"would take more than {self.steps_max} steps for one document; use shorter ranges and"
                " fewer loops within loops"
            )

    def value(self, expression: Any, names: Scope, times: int) -> Value:
        """What an expression gives that is evaluated so often; its work is spent."""
        self.look()
        self.spend(times)
        value = self._value(expression, names, times)
        if value.copies:  # whoever takes the value goes through them
            self.look(len(value.copies))
        return value

    def inside(self, names: Scope, variables: Mapping[str, Value]) -> Scope:
        """`names` with variables more."""
        self.look(1 + (len(names.variables) + len(variables)) // COPIED)
        return names.inside(variables)

    def whole(self, fields: Fields) -> Value:
        if not fields.whole_is_known:
            self.look(len(fields))
        return fields.whole()

    def _value(self, expression: Any, names: Scope, times: int) -> Value:
        if isinstance(expression, str):
            whole = names.object_named(expression)
            return names.named(expression) if whole is None else self.whole(whole)
        if isinstance(expression, list):
            return self._bounded(listed([self.value(each, names, times) for each in expression]))
        if not isinstance(expression, dict):
            return SCALAR
        if len(expression) == 1:
            ((name, argument),) = expression.items()
            if name.startswith("$"):
                return self._bounded(self._operator(name, argument, names, times))
        inside = [self.value(each, names, times) for each in expression.values()]
        return self._bounded(listed(inside)._replace(length=largest(inside).length))

    def _operator(self, name: str, argument: Any, names: Scope, times: int) -> Value:
        special = _SPECIAL.get(name)
        if special is not None and (name in _OF_ANY or isinstance(argument, dict)):
            return special(self, argument, names, times)
        arguments = argument if isinstance(argument, list) else [argument]
        if isinstance(argument, dict) and not _is_operator(argument):
            arguments = list(argument.values())
        values = [self.value(each, names, times) for each in arguments]
        self.spend(times * (sum(each.length for each in values) // COPIED))
        if self.interpreted:
            self.spend(times * steps_more(name, values))
            sized = size_made(name, values)
            if sized is not None:
                return sized
        if name in _SCALARS:
            return SCALAR
        if name in _ITEMS and values:
            return values[0].one()
        return together(values)

    def _bounded(self, value: Value) -> Value:
        if value.total > 10 * self.steps_max:
            raise GrowthError(
                f"would make more than {10 * self.steps_max} values; name each large value once"
            )
        return value


def _is_operator(value: dict[str, Any]) -> bool:
    return len(value) == 1 and next(iter(value)).startswith("$")


def _literal(work: Work, argument: Any, names: Scope, times: int) -> Value:
    work.look()
    if isinstance(argument, str):
        return names.named(argument.lstrip("$"))
    if not isinstance(argument, dict | list):
        return SCALAR
    inner = argument.values() if isinstance(argument, dict) else argument
    return listed([_literal(work, each, names, times) for each in inner])


def _range(work: Work, argument: Any, names: Scope, times: int) -> Value:
    ends = argument if isinstance(argument, list) else [argument]
    for each in ends:
        work.value(each, names, times)
    items = _COMPUTED_RANGE
    if all(isinstance(each, int | float) and abs(each) < 2**53 for each in ends):
        start, end, step = [*ends, 1][:3] if len(ends) > 1 else (0, 0, 1)
        items = 1 + int(min(max(0, (end - start) / step), 2**53)) if step else 1
    work.spend(times * (1 + items // COPIED))
    return Value(items, 1, items)


def _map(work: Work, argument: dict[str, Any], names: Scope, times: int) -> Value:
    source = work.value(argument.get("input"), names, times)
    inside = work.inside(names, {str(argument.get("as", "this")): source.one()})
    made = work.value(argument.get("in"), inside, times * source.length)
    copies = sum_of([(source.copies, 1), (made.copies, source.length)])
    return Value(source.length, made.length, source.length * made.total, copies)


def _filter(work: Work, argument: dict[str, Any], names: Scope, times: int) -> Value:
    source = work.value(argument.get("input"), names, times)
    inside = work.inside(names, {str(argument.get("as", "this")): source.one()})
    work.value(argument.get("cond"), inside, times * source.length)
    work.value(argument.get("limit"), names, times)
    return source


def _reduce(work: Work, argument: dict[str, Any], names: Scope, times: int) -> Value:
    source = work.value(argument.get("input"), names, times)
    first = work.value(argument.get("initialValue"), names, times)
    work.reduces += 1
    if work.reduces > _REDUCES_MAX:
        raise GrowthError("has too many $reduce within each other")
    number, turns = work.reduces, source.length
    own = {(number, ""): 1}
    turn = {"this": source.one(), "value": first._replace(copies=own)}
    second = work.value(argument.get("in"), work.inside(names, turn), times)
    parts = {held: count for (of, held), count in second.copies.items() if of == number}
    if parts.pop("", 0) + max(parts.values(), default=0) > 1:
        raise GrowthError(
            "has a $reduce that puts $$value more than once into its result, which doubles it each time"
        )
    last = Value(
        first.length + turns * max(0, second.length - first.length),
        max(first.item, second.item),
        first.total + turns * max(0, second.total - first.total),
        own,
    )
    turn["value"] = last
    made = work.value(argument.get("in"), work.inside(names, turn), times * turns)
    outer = {key: count for key, count in second.copies.items() if key[0] != number}
    copies = sum_of([(first.copies, 1), (outer, turns)])
    return largest([last, made])._replace(copies=copies)


def _merge(work: Work, argument: Any, names: Scope, times: int) -> Value:
    """A field of a later object takes the place of the same field of an earlier one."""
    parts = argument if isinstance(argument, list) else [argument]
    values = [work.value(each, names, times) for each in parts]
    copies = dict(sum_of((each.copies, 1) for each in values))
    replaced = {name for each in parts[1:] if isinstance(each, dict) for name in each}
    work.look(len(replaced))
    for of, held in copies:
        if held in replaced and held and copies.get((of, ""), 0):
            copies[of, held] -= 1
    return together(values)._replace(copies=copies)


def _let(work: Work, argument: dict[str, Any], names: Scope, times: int) -> Value:
    variables = argument.get("vars")
    made = variables.items() if isinstance(variables, dict) else ()
    inside = {name: work.value(each, names, times) for name, each in made}
    return work.value(argument.get("in"), work.inside(names, inside), times)


def _cond(work: Work, argument: Any, names: Scope, times: int) -> Value:
    parts = argument if isinstance(argument, list) else _parts(argument, ("if", "then", "else"))
    values = [work.value(each, names, times) for each in parts]
    return largest(values[1:])


def _if_null(work: Work, argument: Any, names: Scope, times: int) -> Value:
    parts = argument if isinstance(argument, list) else [argument]
    return largest([work.value(each, names, times) for each in parts])


def _switch(work: Work, argument: dict[str, Any], names: Scope, times: int) -> Value:
    values = [work.value(argument.get("default"), names, times)]
    branches = argument.get("branches")
    for branch in branches if isinstance(branches, list) else ():
        case, then = _parts(branch, ("case", "then"))
        work.value(case, names, times)
        values.append(work.value(then, names, times))
    return largest(values)


def _replace_all(work: Work, argument: dict[str, Any], names: Scope, times: int) -> Value:
    source, find, other = (
        work.value(each, names, times)
        for each in _parts(argument, ("input", "find", "replacement"))
    )
    made = source.length * other.length
    work.spend(times * (made // COPIED))
    copies = sum_of([(source.copies, 1), (find.copies, 1), (other.copies, source.length)])
    return Value(made, 1, made, copies)


def _parts(value: Any, keys: tuple[str, ...]) -> list[Any]:
    return [value.get(key) if isinstance(value, dict) else None for key in keys]


_OF_ANY: Final = frozenset({"$literal", "$range", "$cond", "$ifNull", "$mergeObjects"})
"""Their argument need not be an object."""
_SPECIAL: Final = {
    "$literal": _literal,
    "$range": _range,
    "$map": _map,
    "$filter": _filter,
    "$reduce": _reduce,
    "$mergeObjects": _merge,
    "$let": _let,
    "$cond": _cond,
    "$ifNull": _if_null,
    "$switch": _switch,
    "$replaceAll": _replace_all,
}
