"""What expressions of pipelines and of `$expr` may hold: an allow-list of expression operators."""

from __future__ import annotations

from typing import Any, Final

from runtime.documents.names import path_problem, shown
from runtime.documents.walk import Walk

_NAMES: Final = """
    abs acos acosh add allElementsTrue and anyElementTrue arrayElemAt arrayToObject asin asinh atan
    atan2 atanh avg binarySize bitAnd bitNot bitOr bitXor bsonSize ceil cmp concat concatArrays cond
    convert cos cosh dateAdd dateDiff dateFromParts dateFromString dateSubtract dateToParts
    dateToString dateTrunc dayOfMonth dayOfWeek dayOfYear degreesToRadians divide eq exp filter first
    firstN floor getField gt gte hour ifNull in indexOfArray indexOfBytes indexOfCP isArray isNumber
    isoDayOfWeek isoWeek isoWeekYear last lastN let ln log log10 lt lte ltrim map max maxN median
    mergeObjects millisecond min minN minute mod month multiply ne not objectToArray or percentile
    pow radiansToDegrees rand range reduce replaceAll replaceOne reverseArray round rtrim second
    setDifference setEquals setField setIntersection setIsSubset setUnion sin sinh size slice
    sortArray split sqrt stdDevPop stdDevSamp strLenBytes strLenCP strcasecmp substr substrBytes
    substrCP subtract sum switch tan tanh toBool toDate toDecimal toDouble toInt toLong toLower
    toObjectId toString toUpper trim trunc tsIncrement tsSecond type unsetField week year zip
"""
_OPERATORS: Final = frozenset(f"${name}" for name in _NAMES.split())
_REGEXES: Final = frozenset({"$regexFind", "$regexFindAll", "$regexMatch"})
_VARIABLES: Final = frozenset({"ROOT", "CURRENT", "REMOVE", "DESCEND", "PRUNE", "KEEP", "NOW"})
"""Of the database; names of the caller's own start with a small letter."""


def check_expression(walk: Walk, value: Any, where: str) -> None:
    """Any expression; `walk.shape` was asked before, which bounds the recursion."""
    if isinstance(value, str):
        _check_reference(walk, value, where)
    elif isinstance(value, list):
        for each in value:
            check_expression(walk, each, where)
    elif isinstance(value, dict):
        if any(key.startswith("$") for key in value):
            _check_operator(walk, value, where)
        else:
            check_fields(walk, value, where)


def check_fields(walk: Walk, value: Any, where: str) -> None:
    """An object whose keys are field paths and whose values are expressions."""
    if not isinstance(value, dict):
        raise walk.error(f"{where} must be an object")
    for path, each in value.items():
        if path:
            walk.path(path, where)
        check_expression(walk, each, where)


def _check_operator(walk: Walk, value: dict[str, Any], where: str) -> None:
    if len(value) != 1:
        raise walk.error(f"an operator of {where} must be the only key of its object")
    ((name, argument),) = value.items()
    if name in _OPERATORS:
        check_expression(walk, argument, where)
        if name == "$in" and isinstance(argument, list):
            for each in argument:
                walk.choices(each if isinstance(each, list) else [], f"$in of {where}")
    elif name == "$literal":
        walk.stored(argument, name)
    elif name in _REGEXES:
        _check_regex(walk, name, argument, where)
    elif name == "$meta":
        check_meta(walk, argument, where)
    else:
        raise walk.unknown(name, where)


def check_meta(walk: Walk, value: Any, where: str) -> None:
    """The argument of `$meta`: nothing but how well a text search matched."""
    if value != "textScore":
        raise walk.error(f"$meta of {where} must be textScore")


def _check_regex(walk: Walk, name: str, value: Any, where: str) -> None:
    inside = f"{name} of {where}"
    walk.mapping(value, inside, ("input", "regex", "options"), ("input", "regex"))
    check_expression(walk, value["input"], inside)
    pattern, options = value["regex"], value.get("options", "")
    if any(isinstance(each, str) and each.startswith("$") for each in (pattern, options)):
        # One that is computed could not be looked at before it runs.
        raise walk.error(f"{inside}: the regular expression must be written out")
    walk.regex(pattern, options, inside)


def _check_reference(walk: Walk, text: str, where: str) -> None:
    """A string: a field path after `$`, a variable after `$$`, else itself."""
    if not text.startswith("$"):
        return
    problem = path_problem(text)
    if problem is not None:
        raise walk.error(f"{shown(text)} in {where} {problem}")
    if "" in text.lstrip("$").split("."):  # a server may take `$$ROOT.` for `$$ROOT`
        raise walk.error(f"{shown(text)} in {where} has an empty part")
    if text.startswith("$$"):
        name = text[2:].partition(".")[0]
        if name[:1].isupper() and name not in _VARIABLES:
            raise walk.unknown(f"$${name}", where)
