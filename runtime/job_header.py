"""Reads the header of an encoded job or outcome (`job_codec`), and says what is wrong with it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime.errors import MalformedMessageError

_INT_MAX = 2**63 - 1


class Header:
    """Reads one header and complains about it."""

    __slots__ = ("_fields", "_what")

    def __init__(self, fields: Mapping[str, Any], what: str) -> None:
        self._fields = fields
        self._what = what

    def __contains__(self, key: str) -> bool:
        return key in self._fields

    def text(self, key: str) -> str:
        return self.as_text(key, self._fields.get(key))

    def optional_text(self, key: str) -> str | None:
        value = self._fields.get(key)
        return None if value is None else self.as_text(key, value)

    def integer(self, key: str, default: int | None = None) -> int:
        return self.as_integer(key, self._fields.get(key, default))

    def number(self, key: str, default: float | None = None) -> float:
        return self.as_number(key, self._fields.get(key, default))

    def optional_number(self, key: str) -> float | None:
        value = self._fields.get(key)
        return None if value is None else self.as_number(key, value)

    def flag(self, key: str) -> bool:
        value = self._fields.get(key, False)
        if type(value) is not bool:
            raise self._wrong(key, "true or false", value)
        return value

    def items(self, key: str, count: int, *, more: bool = False) -> list[Any]:
        """The first `count`, and with `more` all that follow."""
        value = self._fields.get(key)
        if type(value) is not list or len(value) < count:
            raise self._wrong(key, f"an array of {count}", value)
        return value if more else value[:count]

    def texts(self, key: str, count: int) -> list[str]:
        return [self.as_text(key, item) for item in self.items(key, count)]

    def inner(self, key: str) -> Header:
        value = self._fields.get(key)
        if type(value) is not dict:
            raise self._wrong(key, "an object", value)
        return Header(value, self._what)

    def as_text(self, key: str, value: object) -> str:
        if type(value) is not str:
            raise self._wrong(key, "a text", value)
        return value

    def as_integer(self, key: str, value: object) -> int:
        if type(value) is not int or not -_INT_MAX <= value <= _INT_MAX:
            raise self._wrong(key, "a whole number", value)
        return value

    def as_number(self, key: str, value: object) -> float:
        if type(value) is float:
            return value
        return float(self.as_integer(key, value))

    def mapping(self, key: str) -> Mapping[str, Any] | None:
        value = self._fields.get(key)
        if value is not None and type(value) is not dict:
            raise self._wrong(key, "an object", value)
        return value

    def _wrong(self, key: str, wanted: str, value: object) -> MalformedMessageError:
        found = "nothing" if value is None else type(value).__name__
        return malformed(self._what, f"header field {key} must be {wanted}, not {found}")


def malformed(what: str, why: str) -> MalformedMessageError:
    """`what` was expected: "job" or "outcome"."""
    return MalformedMessageError(f"these bytes are no {what}: {why}")
