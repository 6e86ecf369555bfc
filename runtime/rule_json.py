"""What rule documents of database and files share: JSON that people write, every fault of which is told with
its place, and operations with their grants. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TypeVar

from runtime.errors import InvalidParameterError
from runtime.placed_json import Fault, Lines, Node, Object, PlacedJsonError, Text, read_json

_SHOWN_FAULTS = 5

G = TypeVar("G")

ANY = "*"
"""As a key of a rule: the operations that it does not name."""


class Operation(StrEnum):
    """What a rule is asked for: its keys."""

    READ = ".read"
    WRITE = ".write"


def own_grant(grants: Mapping[str, G], operation: Operation) -> G | None:
    """The operation's own grant, else that of `*`; None = the rule says nothing."""
    grant = grants.get(operation)
    return grants.get(ANY) if grant is None else grant


class RuleTextError(InvalidParameterError):
    """The text of a rule is wrong; `faults` has every place, in the order of the text."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        shown = "; ".join(str(fault) for fault in self.faults[:_SHOWN_FAULTS])
        more = len(self.faults) - _SHOWN_FAULTS
        super().__init__("Policy", f"{shown}; and {more} more" if more > 0 else shown)


class RulePartError(ValueError):
    """A part of a rule is wrong. `at` counts characters from the part's beginning, from 0."""

    def __init__(self, at: int, message: str) -> None:
        super().__init__(message)
        self.at = at
        self.message = message


def read_placed(text: str, max_characters: int) -> tuple[Node, Lines]:
    """Raises RuleTextError for a text that is no JSON or too long."""
    lines = Lines(text)
    if len(text) > max_characters:
        message = (
            f"a text of this kind has at most {max_characters} characters, this one {len(text)}"
        )
        raise RuleTextError([Fault(lines.place(max_characters), message)])
    try:
        return read_json(text), lines
    except PlacedJsonError as error:
        raise RuleTextError([Fault(lines.place(error.at), error.message)]) from None


def raise_faults(faults: list[tuple[int, str]], lines: Lines) -> None:
    """Raises RuleTextError when there are any."""
    if faults:
        raise RuleTextError(Fault(lines.place(at), message) for at, message in sorted(faults))


def members_once(node: Object, faults: list[tuple[int, str]]) -> dict[str, tuple[Text, Node]]:
    """Members by name, in the order of the text; a name that comes again is a fault."""
    members: dict[str, tuple[Text, Node]] = {}
    for name, value in node.members:
        if name.value in members:
            faults.append((name.start, f"{name.value!r} is here a second time"))
        members.setdefault(name.value, (name, value))
    return members
