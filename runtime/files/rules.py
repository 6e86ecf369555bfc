"""A space's file rules -> what a user may do with a file (guide 6.3). Pure.

The first rule whose scope covers the path decides, alone. Reading is allowed, and writing refused, where
it says nothing and where there is no such rule. Backends, functions and the management side are not asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from runtime.files.rule_condition import UserId, holds
from runtime.files.rule_scope import Everything
from runtime.files.rule_text import FileRule, Grant, parse_file_rules
from runtime.rule_json import ANY, Operation, RuleTextError

__all__ = ["DEFAULT_FILE_RULES", "FileRules", "Operation", "PathRules", "check_file_rules"]

DEFAULT_FILE_RULES: Final = f"""{{
    "file": {{
        "*": {{
            ".write": "{UserId.REQUEST} == {UserId.RESOURCE}"
        }}
    }}
}}
"""
"""What holds in a space without a document: everybody reads, owners write."""

_UNSAID = {Operation.READ: True, Operation.WRITE: False}


def check_file_rules(text: str) -> None:
    """Whether this can be a space's document. Raises RuleTextError with every fault and its place."""
    parse_file_rules(text)


@dataclass(frozen=True, slots=True)
class PathRules:
    """What a space's rules say about the file at one path."""

    grants: Mapping[Operation, Grant]

    @property
    def is_public(self) -> bool:
        """Whether everybody may read it, whosever it is. A condition is none for everybody, even one that
        always holds."""
        return self.grants[Operation.READ] is True

    def may(self, operation: Operation, *, user_id: str | None, owner_id: str | None) -> bool:
        """Whether this user may do it. The owner of a file that is not there yet is whoever makes it: give
        the user's id for both. None: nobody."""
        grant = self.grants[operation]
        if isinstance(grant, bool):
            return grant
        return holds(grant, user_id=user_id, owner_id=owner_id)


class FileRules:
    """The file rules of one space. Immutable: a change of the space makes new ones."""

    def __init__(self, rules: Sequence[FileRule]) -> None:
        self._rules = rules

    @classmethod
    def of(cls, text: str) -> FileRules:
        """Of a stored text; empty: DEFAULT_FILE_RULES. One that is unreadable (written by a newer version)
        refuses everything."""
        try:
            return cls(parse_file_rules(text if text.strip() else DEFAULT_FILE_RULES))
        except RuleTextError:
            return cls([FileRule(Everything(), {ANY: False})])

    def of_path(self, path: str) -> PathRules:
        """About the file at this path (`paths.check_path`). Finding that out takes some ms at the worst
        (`rule_text.FILE_RULES_MAX_COST`): once for each file, and others get a turn between the files of a
        list."""
        found = next((rule for rule in self._rules if rule.scope.covers(path)), None)
        grants: dict[Operation, Grant] = {}
        for operation, unsaid in _UNSAID.items():
            grant = found.own(operation) if found is not None else None
            grants[operation] = unsaid if grant is None else grant
        return PathRules(grants)

    def may(
        self, path: str, operation: Operation, *, user_id: str | None, owner_id: str | None
    ) -> bool:
        """As `PathRules.may`."""
        return self.of_path(path).may(operation, user_id=user_id, owner_id=owner_id)

    def is_public(self, path: str) -> bool:
        """As `PathRules.is_public`."""
        return self.of_path(path).is_public
