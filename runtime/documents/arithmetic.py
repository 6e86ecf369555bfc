"""Expressions as a database is asked that computes in an interpreter, with numbers of any size. Pure.

The embedded database cannot be interrupted within an expression. Where it would compute for long on little
input, the same is asked in another way, whose answers are those of MongoDB but for what is said at each form.
A literal that needs nothing stays as it is; what is computed is looked at by the database itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from runtime.documents.errors import BAD_VALUE, DatabaseError
from runtime.messages import DocumentCommand

EXPONENT_MAX: Final = 1_024
"""Whole numbers to this power have at most 2^16 bits. More than 1 or less than -1 it is beyond doubles, which
makes it infinite, as in MongoDB; so that above it only matters whether an exponent is even."""
DATE_TEXT_MAX: Final = 64
"""Bytes of a text that is read as a date, which takes the embedded database up to 0.2 ms for each."""
COMPUTED_RANGE_MAX: Final = 1_000
"""Items of a `$range` whose ends are not written out; more is an error."""
FORMS_MAX: Final = 20
"""Operators asked in another way within each other: each makes a command up to eight levels deeper."""

_EXPRESSIONS: Final = frozenset({"query", "filter", "pipeline", "arrayFilters"})
"""Arguments and options that can hold some."""
_IT: Final = "$$it"


def interpretable(command: DocumentCommand) -> DocumentCommand:
    """A command that the allow-lists have let through, which bounds the recursion. Raises DatabaseError."""
    return replace(
        command,
        arguments=_all_asked(command.arguments),
        options=_all_asked(command.options),
    )


def _all_asked(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: asked(each) if name in _EXPRESSIONS else each for name, each in values.items()}


def asked(value: Any, forms: int = 0) -> Any:
    """An expression, filter or pipeline, with everything inside it; `forms` are around it."""
    if isinstance(value, list):
        return [asked(each, forms) for each in value]
    if not isinstance(value, dict):
        return value
    form = _FORMS.get(next(iter(value))) if len(value) == 1 else None
    forms += form is not None
    if forms > FORMS_MAX:
        raise DatabaseError(
            BAD_VALUE, f"more than {FORMS_MAX} of $pow, $sin and the like within each other"
        )
    made = {name: asked(each, forms) for name, each in value.items()}
    if form is None:
        return made
    ((name, argument),) = made.items()
    return form(argument) if name in _WHOLE else {name: form(argument)}


def _power(argument: Any) -> Any:
    """The whole operator: what both operands are is known when they are computed. The answer is the same."""
    if not isinstance(argument, list) or len(argument) != 2:
        return {"$pow": argument}
    base, exponent = argument
    small = _is_number(exponent) and exponent <= EXPONENT_MAX
    if small or isinstance(base, float) or isinstance(exponent, float):
        return {"$pow": argument}
    whole = [{"$in": [{"$type": each}, ["int", "long"]]} for each in ("$$base", _IT)]
    above = {"$and": [*whole, {"$gt": [_IT, EXPONENT_MAX]}]}
    smaller = {"$add": [EXPONENT_MAX, {"$mod": [_IT, 2]}]}
    power = {"$pow": ["$$base", {"$cond": [above, smaller, _IT]}]}
    return _let({"base": base, "it": exponent}, power)


def _doubles(argument: Any) -> Any:
    """Operands that are decimals become doubles: 15 digits instead of 34. Its series for decimals are long,
    and for large ones endless."""
    if isinstance(argument, list):
        return [_double(each) for each in argument]
    return _double(argument)


def _double(operand: Any) -> Any:
    if _is_number(operand):
        return operand
    return _unless(operand, {"$eq": [{"$type": _IT}, "decimal"]}, {"$toDouble": _IT})


def _to_date(argument: Any) -> Any:
    if isinstance(argument, list):
        return [_date_text(each) for each in argument]
    return _date_text(argument)


def _convert(argument: Any) -> Any:
    if not isinstance(argument, dict) or "input" not in argument:
        return argument
    to = argument.get("to")
    other = to not in ("date", 9) if _is_literal(to) else False
    return argument if other else {**argument, "input": _date_text(argument["input"])}


def _date_from_string(argument: Any) -> Any:
    if not isinstance(argument, dict) or "dateString" not in argument:
        return argument
    return {**argument, "dateString": _date_text(argument["dateString"])}


def _date_text(text: Any) -> Any:
    """A longer one is none: what it becomes is not a date either."""
    if _is_literal(text) and len(str(text)) <= DATE_TEXT_MAX:
        return text
    is_text = {"$eq": [{"$type": _IT}, "string"]}
    problem = {"$and": [is_text, {"$gt": [{"$strLenBytes": _IT}, DATE_TEXT_MAX]}]}
    return _unless(text, problem, f"more than {DATE_TEXT_MAX} bytes")


def _range(argument: Any) -> Any:
    """The whole operator: its ends are computed once."""
    if (
        not isinstance(argument, list)
        or not 2 <= len(argument) <= 3
        or all(map(_is_number, argument))
    ):
        return {"$range": argument}
    ends = dict(zip(("start", "end", "step"), [*argument, 1], strict=False))
    items = {"$divide": [{"$subtract": ["$$end", "$$start"]}, "$$step"]}
    told = {"$toInt": f"a $range that is computed has more than {COMPUTED_RANGE_MAX} items"}
    made = {"$range": ["$$start", "$$end", "$$step"]}
    bounded = {"$cond": [{"$gt": [items, COMPUTED_RANGE_MAX]}, told, made]}
    return _let(ends, bounded)


def _let(variables: dict[str, Any], value: Any) -> Any:
    """Each is computed once. An absent field becomes null: the embedded database takes an absent variable
    for an object."""
    named = {
        name: each if _is_literal(each) else {"$ifNull": [each, None]}
        for name, each in variables.items()
    }
    return {"$let": {"vars": named, "in": value}}


def _unless(value: Any, problem: Any, instead: Any) -> Any:
    """`value`, or `instead` of it when there is a problem; both may name it."""
    return _let({"it": value}, {"$cond": [problem, instead, _IT]})


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _is_literal(value: Any) -> bool:
    """A number, or a text that names nothing."""
    return _is_number(value) or (isinstance(value, str) and not value.startswith("$"))


_SERIES: Final = "sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh"
_FORMS: Final[Mapping[str, Callable[[Any], Any]]] = {
    **{f"${name}": _doubles for name in _SERIES.split()},
    "$convert": _convert,
    "$dateFromString": _date_from_string,
    "$pow": _power,
    "$range": _range,
    "$toDate": _to_date,
}
_WHOLE: Final = frozenset({"$pow", "$range"})
"""Their form takes the place of the operator, too."""
