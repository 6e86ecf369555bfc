"""What the names in an expression stand for: fields of the document, and variables. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from runtime.documents.expression_values import FIELD, SCALAR, Value, largest, sum_of

_CHARACTERS: Final = 100
"""Of a text that weigh as much as one value."""
_NO_VARIABLES: Final[Mapping[str, Value]] = {}


class Fields:
    """An object's members by their first names; those that are not known by theirs are like `other`."""

    __slots__ = ("_made", "_other", "_whole")

    def __init__(self, made: Mapping[str, Value] | None = None, *, other: Value = FIELD) -> None:
        self._made = {} if made is None else dict(made)
        self._other = other
        self._whole: Value | None = None

    def __len__(self) -> int:
        """How many are known by their names."""
        return len(self._made)

    def copy(self) -> Fields:
        return Fields(self._made, other=self._other)

    def of(self, name: str) -> Value:
        return self._made.get(name, self._other)

    def put(self, name: str, value: Value) -> None:
        self._made[name] = value
        self._whole = None

    @property
    def whole_is_known(self) -> bool:
        """Whether `whole` only has to be looked up."""
        return self._whole is not None

    def whole(self) -> Value:
        """The object itself, as large as its largest member."""
        if self._whole is None:
            self._whole = largest([FIELD, self._other, *self._made.values()])
        return self._whole


@dataclass(frozen=True, slots=True)
class Scope:
    """What can be named at one place of an expression."""

    document: Fields = field(default_factory=Fields)
    """`$$ROOT`."""
    current: Fields = field(default_factory=Fields)
    """`$$CURRENT`, where `$field` begins; the document unless a variable of that name is made."""
    variables: Mapping[str, Value] = field(default_factory=lambda: _NO_VARIABLES)

    def inside(self, variables: Mapping[str, Value]) -> Scope:
        """Within an operator that has variables of its own. Copies the variables there are."""
        made = variables.get("CURRENT")
        current = self.current if made is None else Fields(other=made)
        return Scope(self.document, current, {**self.variables, **variables})

    def object_named(self, text: str) -> Fields | None:
        """The whole object that a text names, if it does."""
        return {"$$ROOT": self.document, "$$CURRENT": self.current}.get(text)

    def named(self, text: str) -> Value:
        """A text, or what it names. A path into a value counts as the whole value."""
        if not text.startswith("$"):
            weight = 1 + len(text) // _CHARACTERS
            return Value(weight, 1, weight) if weight > 1 else SCALAR
        whole = self.object_named(text)
        if whole is not None:
            return whole.whole()
        name, _, path = text.lstrip("$").partition(".")
        if not text.startswith("$$"):
            return self.current.of(name)
        part = path.partition(".")[0]
        if name in ("ROOT", "CURRENT"):
            return (self.document if name == "ROOT" else self.current).of(part)
        value = self.variables.get(name, FIELD)
        return _member(value, part) if part and value.copies else value


def _member(value: Value, part: str) -> Value:
    members = ({(of, held or part): count} for (of, held), count in value.copies.items())
    return value._replace(copies=sum_of((each, 1) for each in members))
