"""Typed reading of an action's parameters, which all arrive as texts (spec: management API §2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from runtime.errors import InvalidParameterError

PAGE_SIZE_DEFAULT = 10
PAGE_SIZE_MAX = 1000
PAGE_NUM_MAX = 1_000_000
LIST_MAX = 1000

T = TypeVar("T")

_INTEGER = re.compile(r"[+-]?[0-9]{1,15}")
_BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Which page; `number` from 1."""

    number: int
    size: int

    @property
    def offset(self) -> int:
        return (self.number - 1) * self.size

    def paginator(self, total: int) -> dict[str, int]:
        """The `Paginator` of an answer."""
        return {
            "PageNum": self.number,
            "PageSize": self.size,
            "Total": total,
            "PageCount": -(-total // self.size),
        }


class Parameters:
    """All parameters of one call. Methods raise InvalidParameterError, which names the parameter."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def needed(self, name: str) -> str:
        """A text that must be there and not be empty."""
        value = self._values.get(name)
        if not value:
            raise InvalidParameterError(name, f"{name} is missing", code=f"Missing{name}")
        return value

    def text(self, name: str) -> str | None:
        """A text as it came, also an empty one; None when absent."""
        return self._values.get(name)

    def integer(
        self, name: str, *, lowest: int | None = None, highest: int | None = None
    ) -> int | None:
        """None when absent or empty."""
        value = self._values.get(name)
        if not value:
            return None
        if not _INTEGER.fullmatch(value):
            raise InvalidParameterError(name, f"{name} is an integer, not {value[:32]!r}")
        number = int(value)
        if lowest is not None and number < lowest:
            raise InvalidParameterError(name, f"{name} is at least {lowest}, not {number}")
        if highest is not None and number > highest:
            raise InvalidParameterError(name, f"{name} is at most {highest}, not {number}")
        return number

    def boolean(self, name: str) -> bool:
        """False when absent or empty."""
        return bool(self.flag(name))

    def flag(self, name: str) -> bool | None:
        """In any case: pop-core sends `true`, the Python package `True`. None when absent or empty."""
        value = self._values.get(name)
        if not value:
            return None
        if value.lower() not in _BOOLEANS:
            raise InvalidParameterError(name, f"{name} is true or false, not {value[:32]!r}")
        return _BOOLEANS[value.lower()]

    def texts(self, name: str) -> list[str]:
        """A list: `name.1`, `name.2` as pop-core sends it or `a,b` as the Python package does."""
        items = [item.strip() for item in self._values.get(name, "").split(",")]
        numbered = {
            int(key.removeprefix(f"{name}.")): value
            for key, value in self._values.items()
            if re.fullmatch(rf"{re.escape(name)}\.[1-9][0-9]{{0,5}}", key)
        }
        items += [numbered[index] for index in sorted(numbered)]
        found = [item for item in items if item]
        if len(found) > LIST_MAX:
            raise InvalidParameterError(name, f"{name} has at most {LIST_MAX} items")
        return found

    def one_of(self, name: str, choices: Mapping[str, T]) -> T | None:
        """The choice that the text names, in any case; None when absent or empty."""
        value = self._values.get(name)
        if not value:
            return None
        if value.upper() not in choices:
            raise InvalidParameterError(
                name, f"{name} is one of {', '.join(choices)}, not {value[:32]!r}"
            )
        return choices[value.upper()]

    def page(self, *, size_max: int = PAGE_SIZE_MAX) -> Page:
        """`PageNum` and `PageSize`."""
        number = self.integer("PageNum", lowest=1, highest=PAGE_NUM_MAX)
        size = self.integer("PageSize", lowest=1, highest=size_max)
        return Page(number=number or 1, size=size or PAGE_SIZE_DEFAULT)
