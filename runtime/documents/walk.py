"""One walk over a command: what it may hold at most, what was met so far, and how it is refused."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from runtime.documents.errors import BAD_VALUE, DatabaseError
from runtime.documents.names import check_collection, check_path, key_problem, shown
from runtime.documents.regexes import DEGREE_MAX, regex_problem

_DEPTH_MAX = 150  # the walkers recurse: at most three frames for a level
INT64_MAX: Final = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorLimits:
    """What one command may hold. ValueError when the depth is more than the walkers can go."""

    depth: int = 100
    """Levels of nested objects and arrays of one argument."""
    values: int = 200_000
    """Of objects and arrays, all levels counted."""
    choices: int = 10_000
    """Items of `$in`, `$nin`, `$all`, `$pullAll` and branches of `$and`, `$or`, `$nor`."""
    documents: int = 1_000
    """Of insertMany."""
    stages: int = 50
    """Of a pipeline and all pipelines inside it."""
    regexes: int = 20
    regex_chars: int = 1_000
    """Of one pattern."""
    regex_degree: int = DEGREE_MAX
    """Power of a text's length that a search may take (`regexes`)."""
    steps: int = 1_000_000
    """Of the expressions and stages for one document, as estimated (`expression_bounds`)."""
    interpreted: bool = False
    """The database computes in an interpreter, uninterrupted (`arithmetic`, `arithmetic_costs`)."""

    def __post_init__(self) -> None:
        if not 1 <= self.depth <= _DEPTH_MAX:
            raise ValueError(f"depth is from 1 to {_DEPTH_MAX}")


def has_more_values(value: Any, most: int) -> bool:
    """Whether all objects and arrays of a value together hold more than `most`; looks at no more of them."""
    open_ = [value]
    values = 0
    while open_:
        each = open_.pop()
        values += len(each)
        if values > most:
            return True
        inner = each.values() if isinstance(each, dict) else each
        open_ += [item for item in inner if isinstance(item, dict | list)]
    return False


@dataclass(slots=True)
class Walk:
    """The state of a walk. All methods raise DatabaseError, whose message names the collection."""

    collection: str
    limits: OperatorLimits
    foreign: set[str] = field(default_factory=set)
    stages: int = 0
    values: int = 0
    regexes: int = 0

    def error(self, message: str, number: int = BAD_VALUE) -> DatabaseError:
        return DatabaseError(number, f"{message} (collection {self.collection})")

    def unknown(self, name: str, where: str) -> DatabaseError:
        return self.error(f"{shown(name)} is not allowed in {where}")

    def shape(self, value: Any, where: str) -> None:
        """Depth, number of values and keys of a whole argument, before anything recurses into it."""
        open_: list[tuple[Any, int]] = [(value, 1)]
        while open_:
            each, depth = open_.pop()
            if not isinstance(each, dict | list):
                continue
            if depth > self.limits.depth:
                raise self.error(f"{where} is nested deeper than {self.limits.depth} levels")
            self.values += len(each)
            if self.values > self.limits.values:
                raise self.error(f"{where}: more than {self.limits.values} values in a command")
            if isinstance(each, dict):
                self._keys(each, where)
            inner = each.values() if isinstance(each, dict) else each
            open_ += [(item, depth + 1) for item in inner if isinstance(item, dict | list)]

    def stored(self, value: Any, where: str, *, dots: bool = True) -> None:
        """A value that is kept or compared as it is: no key is an operator. Without `dots` no key has
        one, but in arrays, which the SDKs do not search (spec §4)."""
        open_ = [(value, dots)]
        while open_:
            each, may = open_.pop()
            if isinstance(each, dict):
                for key in each:
                    if key[:1] == "$":
                        raise self.unknown(key, where)
                    if not may and "." in key:
                        raise self.error(f"key {shown(key)} of {where} has a dot")
                open_ += [(item, may) for item in each.values() if isinstance(item, dict | list)]
            elif isinstance(each, list):
                open_ += [(item, True) for item in each if isinstance(item, dict | list)]

    def mapping(
        self, value: Any, where: str, keys: Collection[str], required: Collection[str] = ()
    ) -> Mapping[str, Any]:
        """An object that has no other keys than `keys`."""
        if not isinstance(value, dict):
            raise self.error(f"{where} must be an object")
        for key in value:
            if key not in keys:
                raise self.unknown(key, where)
        for key in required:
            if key not in value:
                raise self.error(f"{where} needs {key}")
        return value

    def choices(self, value: Any, where: str) -> list[Any]:
        if not isinstance(value, list):
            raise self.error(f"{where} needs an array")
        if len(value) > self.limits.choices:
            raise self.error(f"{where} has more than {self.limits.choices} items")
        return value

    def number(self, value: Any, where: str) -> None:
        """A whole number of 64 bits, as a double too. The database refuses most of the others; the embedded
        one fails at some."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(f"{where} must be a number")
        if isinstance(value, float) and not value.is_integer():  # NaN and infinities are none
            raise self.error(f"{where} must be a whole number")
        if not -INT64_MAX <= value <= INT64_MAX:
            raise self.error(f"{where} must be a whole number of 64 bits")

    def path(self, value: Any, where: str) -> None:
        check_path(value, f"{where} (collection {self.collection})")

    def regex(self, pattern: Any, options: Any, where: str) -> None:
        if not isinstance(pattern, str) or not isinstance(options, str):
            # A JavaScript RegExp arrives as {}: the SDK loses it (spec §2).
            raise self.error(f"{where}: a regular expression and its options must be strings")
        self.regexes += 1
        if self.regexes > self.limits.regexes:
            raise self.error(f"more than {self.limits.regexes} regular expressions in a command")
        if len(pattern) > self.limits.regex_chars:
            limit = self.limits.regex_chars
            raise self.error(f"{where}: the regular expression has more than {limit} characters")
        problem = regex_problem(pattern, options, degree_max=self.limits.regex_degree)
        if problem is not None:
            raise self.error(f"{where}: the regular expression {problem}")

    def add_stages(self, stages: int = 1) -> None:
        """Of a pipeline."""
        self.stages += stages
        if self.stages > self.limits.stages:
            raise self.error(
                f"more than {self.limits.stages} stages, those of inner pipelines counted"
            )

    def foreign_collection(self, name: Any, where: str) -> None:
        """Another collection of this space that is read."""
        if not isinstance(name, str):
            raise self.error(f"{where} must be the name of a collection of this space")
        self.foreign.add(check_collection(name, where))

    def _keys(self, value: dict[str, Any], where: str) -> None:
        together = "".join(value)
        if together.isascii() and "\0" not in together:
            return  # what almost all are
        for key in value:
            problem = key_problem(key)
            if problem is not None:
                raise self.error(f"key {shown(key)} of {where} {problem}")
