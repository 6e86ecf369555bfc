"""The text of an access rule -> the rule, or every fault with its place. Pure.

A rule is an object with `.read`, `.write` and `*` (both); each is true, false or a condition in a string.
Further members are allowed and mean nothing, so that a rule written for the original survives.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from runtime.documents.expressions import Condition, ExpressionError, parse_expression
from runtime.documents.placed_json import (
    Fault,
    Lines,
    Node,
    Object,
    PlacedJsonError,
    Text,
    Value,
    read_json,
)
from runtime.errors import InvalidParameterError

RULE_MAX_CHARACTERS = 10_000
"""Of one collection's rule; of a whole document of the guide a hundred times as many."""

_SHOWN_FAULTS = 5


class Operation(StrEnum):
    """What a rule is asked for: its keys."""

    READ = ".read"
    WRITE = ".write"


ANY = "*"
"""As a key of a rule: both operations; as a collection's name: those without a fitting rule."""

Grant = bool | Condition
"""What a rule says about an operation."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What one collection's text says; an operation may be absent."""

    grants: dict[str, Grant]

    def own(self, operation: Operation) -> Grant | None:
        """The operation's own grant, else that of `*`; None = the rule says nothing."""
        grant = self.grants.get(operation)
        return self.grants.get(ANY) if grant is None else grant


class RuleTextError(InvalidParameterError):
    """The text of a rule is wrong; `faults` has every place, in the order of the text."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        shown = "; ".join(str(fault) for fault in self.faults[:_SHOWN_FAULTS])
        more = len(self.faults) - _SHOWN_FAULTS
        super().__init__("Policy", f"{shown}; and {more} more" if more > 0 else shown)


def parse_rule(text: str) -> Rule:
    """Raises RuleTextError."""
    node, lines = read_placed(text, RULE_MAX_CHARACTERS)
    faults: list[tuple[int, str]] = []
    rule = rule_of(node, faults)
    raise_faults(faults, lines)
    return rule


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
    """Members by name; a name that comes again is a fault, here and in the objects within."""
    members: dict[str, tuple[Text, Node]] = {}
    for name, value in node.members:
        if name.value in members:
            faults.append((name.start, f"{name.value!r} is here a second time"))
        members.setdefault(name.value, (name, value))
    return members


def rule_of(node: Node, faults: list[tuple[int, str]]) -> Rule:
    """The rule of a value; what is wrong is added to `faults` and left out."""
    if not isinstance(node, Object):
        faults.append(
            (node.start, 'a rule is a JSON object, as in {".read": true, ".write": false}')
        )
        return Rule({})
    grants: dict[str, Grant] = {}
    for name, (_, value) in members_once(node, faults).items():
        if name in {Operation.READ, Operation.WRITE, ANY}:
            grant = _grant(name, value, faults)
            if grant is not None:
                grants[name] = grant
        else:
            _refuse_twins(value, faults)
    return Rule(grants)


def _grant(name: str, value: Node, faults: list[tuple[int, str]]) -> Grant | None:
    if isinstance(value, Text):
        try:
            return parse_expression(value.value)
        except ExpressionError as error:
            faults.append((value.at(error.at), f"in the condition of {name!r}: {error.message}"))
            return None
    if isinstance(value, Value) and isinstance(value.value, bool):
        return value.value
    faults.append((value.start, f"{name!r} is true, false or a condition in a string"))
    return None


def _refuse_twins(node: Node, faults: list[tuple[int, str]]) -> None:
    if isinstance(node, Object):
        for _, value in members_once(node, faults).values():
            _refuse_twins(value, faults)
