"""JSON text whose every value and fault has a place. Pure. For small texts that people write."""

from __future__ import annotations

import bisect
import json
import re
from dataclasses import dataclass, field

JSON_MAX_DEPTH = 30


@dataclass(frozen=True, slots=True)
class Place:
    """Both count from 1; columns are characters."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}"


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a text, and where."""

    place: Place
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


class PlacedJsonError(ValueError):
    """Not JSON. `at` counts characters from 0."""

    def __init__(self, at: int, message: str) -> None:
        super().__init__(message)
        self.at = at
        self.message = message


@dataclass(frozen=True, slots=True)
class Value:
    """A string, number, true, false or null: `value` is Python's. From `start` to before `end`."""

    start: int
    end: int
    value: str | float | bool | None


@dataclass(frozen=True, slots=True)
class Text(Value):
    """A string. `origins` has the place in the source of each of its characters."""

    value: str
    origins: tuple[int, ...] = field(repr=False)

    def at(self, index: int) -> int:
        """Where the character stands in the source; of the end: the closing quote."""
        return self.origins[index] if index < len(self.origins) else self.end - 1


@dataclass(frozen=True, slots=True)
class Array:
    """Its members are of no interest to anybody."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Object:
    """Members in the order of the text, also those whose name comes again."""

    start: int
    end: int
    members: tuple[tuple[Text, Node], ...]


Node = Value | Array | Object


class Lines:
    """Turns places in a text into lines and columns."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *(found.end() for found in re.finditer(r"\r\n|\r|\n", text))]

    def place(self, at: int) -> Place:
        line = bisect.bisect_right(self._starts, at)
        return Place(line, at - self._starts[line - 1] + 1)


def read_json(text: str) -> Node:
    """Raises PlacedJsonError: also beyond JSON_MAX_DEPTH. Names that come twice are left to the caller."""
    reader = _Reader(text)
    node = reader.value(0)
    reader.space()
    if reader.at < len(text):
        raise PlacedJsonError(reader.at, "the JSON value ends here, but the text goes on")
    return node


_WORDS = {"true": True, "false": False, "null": None}
_SPACE = re.compile(r"[ \t\r\n]*")
_SCALAR = re.compile(
    r"true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?", re.ASCII
)
_PIECE = re.compile(
    r"[^\"\\\x00-\x1f]|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|\\u[0-9a-fA-F]{4}|\\[\"\\/bfnrt]"
)


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def space(self) -> str:
        """Skip white space; the character after it, empty at the end."""
        self.at = _SPACE.match(self.text, self.at).end()  # type: ignore[union-attr]
        return self.text[self.at : self.at + 1]

    def value(self, depth: int) -> Node:
        if depth > JSON_MAX_DEPTH:
            raise PlacedJsonError(self.at, f"nested deeper than {JSON_MAX_DEPTH} levels")
        first = self.space()
        if first == "{":
            return self._object(depth)
        if first == "[":
            return self._array(depth)
        if first == '"':
            return self._text()
        found = _SCALAR.match(self.text, self.at)
        if found is None:
            raise PlacedJsonError(self.at, f"{self._here()} is no JSON value")
        start, self.at = self.at, found.end()
        token = found.group()
        # Not an int: Python refuses to read one of thousands of digits.
        return Value(start, self.at, _WORDS[token] if token in _WORDS else float(token))

    def _object(self, depth: int) -> Object:
        start = self.at
        self.at += 1
        members: list[tuple[Text, Node]] = []
        if self.space() == "}":
            self.at += 1
            return Object(start, self.at, ())
        while True:
            if self.space() != '"':
                raise PlacedJsonError(
                    self.at, f"expected is a name in double quotes, not {self._here()}"
                )
            name = self._text()
            if self.space() != ":":
                raise PlacedJsonError(self.at, f"expected is a colon, not {self._here()}")
            self.at += 1
            members.append((name, self.value(depth + 1)))
            if self._ends("}"):
                return Object(start, self.at, tuple(members))

    def _array(self, depth: int) -> Array:
        start = self.at
        self.at += 1
        if self.space() == "]":
            self.at += 1
            return Array(start, self.at)
        while True:
            self.value(depth + 1)
            if self._ends("]"):
                return Array(start, self.at)

    def _ends(self, bracket: str) -> bool:
        found = self.space()
        if found not in {bracket, ","} or not found:
            raise PlacedJsonError(self.at, f"expected is , or {bracket}, not {self._here()}")
        self.at += 1
        return found == bracket

    def _text(self) -> Text:
        start = self.at
        self.at += 1
        characters: list[str] = []
        origins: list[int] = []
        while self.text[self.at : self.at + 1] != '"':
            piece = _PIECE.match(self.text, self.at)
            if piece is None:
                raise PlacedJsonError(self.at, f"{self._here()} cannot stand in a string")
            raw = piece.group()
            character: str = json.loads(f'"{raw}"') if raw[0] == "\\" else raw
            if "\ud800" <= character <= "\udfff":
                raise PlacedJsonError(self.at, "half a surrogate pair is no character")
            characters.append(character)
            origins.append(self.at)
            self.at = piece.end()
        self.at += 1
        return Text(start, self.at, "".join(characters), tuple(origins))

    def _here(self) -> str:
        return repr(self.text[self.at : self.at + 12]) if self.at < len(self.text) else "the end"
