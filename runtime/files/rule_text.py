"""The guide's document of file rules -> the rules, or every fault with its place (guide 6.3). Pure.

    {"file": {"<path, /regular expression/ or *>": {".read": ..., ".write": ..., "*": ...}, ...}}

A rule's grants are true, false or a condition in a string; `*` is for the operations that the rule does
not name. Other members are faults: a misspelt `.write` beside `"*": true` would let everybody write.
"""

from __future__ import annotations

from dataclasses import dataclass

from runtime.files.rule_condition import Condition
from runtime.files.rule_expression import parse_expression
from runtime.files.rule_scope import Scope, scope_of
from runtime.placed_json import Node, Object, Text, Value
from runtime.rule_json import (
    ANY,
    Operation,
    RulePartError,
    members_once,
    own_grant,
    raise_faults,
    read_placed,
)

FILE_RULES_MAX_CHARACTERS = 50_000
"""Of the document: it lies in the record of its space, which every gateway reads at every change."""
FILE_RULES_MAX = 100
FILE_RULES_MAX_COST = 500
"""Sum of `Scope.cost`: to find the rule of a path of 1,023 bytes then took at most 7 ms, measured with
expressions made to be slow (4 to 14 microseconds an instruction); usual ones take some hundredths of one.
Nothing else of the program runs meanwhile."""


Grant = bool | Condition
"""What a rule says about an operation."""


@dataclass(frozen=True, slots=True)
class FileRule:
    """For the files of its scope, unless an earlier rule is for them."""

    scope: Scope
    grants: dict[str, Grant]

    def own(self, operation: Operation) -> Grant | None:
        """See `own_grant`."""
        return own_grant(self.grants, operation)


def parse_file_rules(text: str) -> tuple[FileRule, ...]:
    """In the order of the text. Raises RuleTextError."""
    node, lines = read_placed(text, FILE_RULES_MAX_CHARACTERS)
    faults: list[tuple[int, str]] = []
    members = members_once(node, faults) if isinstance(node, Object) else {}
    for name, (key, _) in members.items():
        if name != "file":
            faults.append(
                (key.start, f"{name[:40]!r} is unknown: the document has one member, 'file'")
            )
    files = members["file"][1] if "file" in members else node
    rules: tuple[FileRule, ...] = ()
    if "file" in members and isinstance(files, Object):
        rules = _rules(files, faults)
    else:
        faults.append((files.start, 'the document is an object of rules in {"file": {...}}'))
    raise_faults(faults, lines)
    return rules


def _rules(files: Object, faults: list[tuple[int, str]]) -> tuple[FileRule, ...]:
    if len(files.members) > FILE_RULES_MAX:
        message = f"there are at most {FILE_RULES_MAX} rules, here are {len(files.members)}"
        faults.append((files.members[FILE_RULES_MAX][0].start, message))
        return ()
    rules: list[FileRule] = []
    cost = 0
    for key, value in members_once(files, faults).values():
        grants = _grants(value, faults)
        try:
            rule = FileRule(scope_of(key.value), grants)
        except RulePartError as error:
            faults.append((key.at(error.at), f"in the scope of a rule: {error.message}"))
            continue
        if cost <= FILE_RULES_MAX_COST < cost + rule.scope.cost:
            message = (
                "from here on the regular expressions take too much time (more than"
                f" {FILE_RULES_MAX_COST} steps for each byte of a path); count repetitions to less"
            )
            faults.append((key.start, message))
        cost += rule.scope.cost
        rules.append(rule)
    return tuple(rules)


def _grants(node: Node, faults: list[tuple[int, str]]) -> dict[str, Grant]:
    """Of one rule; what is wrong is added to `faults` and left out."""
    if not isinstance(node, Object):
        faults.append((node.start, 'a rule is a JSON object, as in {".read": true, "*": false}'))
        return {}
    grants: dict[str, Grant] = {}
    for name, (key, value) in members_once(node, faults).items():
        if name not in {*Operation, ANY}:
            faults.append((key.start, f"{name[:40]!r} is unknown: a rule has .read, .write and *"))
            continue
        grant = _grant(name, value, faults)
        if grant is not None:
            grants[name] = grant
    return grants


def _grant(name: str, value: Node, faults: list[tuple[int, str]]) -> Grant | None:
    if isinstance(value, Text):
        try:
            return parse_expression(value.value)
        except RulePartError as error:
            faults.append((value.at(error.at), f"in the condition of {name!r}: {error.message}"))
            return None
    if isinstance(value, Value) and isinstance(value.value, bool):
        return value.value
    faults.append((value.start, f"{name!r} is true, false or a condition in a string"))
    return None
