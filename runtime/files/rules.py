"""A space's file rules -> what a user may do with a file (guide 6.3). Pure.

The first rule whose scope covers the path decides, alone. Reading is allowed, and writing refused, where
it says nothing and where there is no such rule. Backends, functions and the management side are not asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from runtime.files.rule_condition import UserId, holds
from runtime.files.rule_scope import Everything
from runtime.files.rule_text import ANY, FileOperation, FileRule, Grant, parse_file_rules
from runtime.rule_json import RuleTextError

__all__ = ["DEFAULT_FILE_RULES", "FileOperation", "FileRules", "check_file_rules"]

DEFAULT_FILE_RULES: Final = f"""{{
    "file": {{
        "*": {{
            ".write": "{UserId.REQUEST} == {UserId.RESOURCE}"
        }}
    }}
}}
"""
"""What holds in a space without a document: everybody reads, owners write."""

_UNSAID = {FileOperation.READ: True, FileOperation.WRITE: False}


def check_file_rules(text: str) -> None:
    """Whether this can be a space's document. Raises RuleTextError with every fault and its place."""
    parse_file_rules(text)


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

    def may(
        self, path: str, operation: FileOperation, *, user_id: str | None, owner_id: str | None
    ) -> bool:
        """Whether this user may do it with the file at this path (`paths.check_path`). The owner of a file
        that is not there yet is whoever makes it: give the user's id for both. None: nobody."""
        grant = self._grant(path, operation)
        if isinstance(grant, bool):
            return grant
        return holds(grant, user_id=user_id, owner_id=owner_id)

    def is_public(self, path: str) -> bool:
        """Whether everybody may read the file, whosever it is. A condition is none for everybody, even one
        that always holds."""
        return self._grant(path, FileOperation.READ) is True

    def _grant(self, path: str, operation: FileOperation) -> Grant:
        for rule in self._rules:
            if rule.scope.covers(path):
                grant = rule.own(operation)
                return _UNSAID[operation] if grant is None else grant
        return _UNSAID[operation]
