"""The text of an access rule -> the rule, or every fault with its place. Pure.

A rule is an object with `.read`, `.write` and `*` (both); each is true, false or a condition in a string.
Further members are allowed and mean nothing, so that a rule written for the original survives.
"""

from __future__ import annotations

from dataclasses import dataclass

from runtime.documents.expressions import Condition, ExpressionError, parse_expression
from runtime.placed_json import Node, Object, Text, Value
from runtime.rule_json import ANY, Operation, members_once, own_grant, raise_faults, read_placed

RULE_MAX_CHARACTERS = 10_000
"""Of one collection's rule; of a whole document of the guide a hundred times as many."""


Grant = bool | Condition
"""What a rule says about an operation."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What one collection's text says; an operation may be absent."""

    grants: dict[str, Grant]

    def own(self, operation: Operation) -> Grant | None:
        """See `own_grant`."""
        return own_grant(self.grants, operation)


def parse_rule(text: str) -> Rule:
    """Raises RuleTextError."""
    node, lines = read_placed(text, RULE_MAX_CHARACTERS)
    faults: list[tuple[int, str]] = []
    rule = rule_of(node, faults)
    raise_faults(faults, lines)
    return rule


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
