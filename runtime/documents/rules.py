"""A space's access rules -> what a caller may do with a collection (spec: database commands §7). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runtime.documents.expressions import (
    EVERYBODY,
    NOBODY,
    REQUEST_USER,
    RESOURCE_OWNER,
    Owners,
    owners_let_through,
)
from runtime.documents.hidden import OWNER_FIELD
from runtime.documents.rule_text import Grant, Rule, parse_rule
from runtime.errors import InvalidParameterError
from runtime.messages import READS, CollectionPolicy, PolicyName, Verb
from runtime.rule_json import ANY, Operation, RuleTextError

_OWNER = f'"{REQUEST_USER}=={RESOURCE_OWNER}"'

PRESETS: Mapping[PolicyName, str] = {
    PolicyName.PUBLICREAD: f'{{".read": true, ".write": {_OWNER}}}',
    PolicyName.PRIVATE: f'{{".read": {_OWNER}, ".write": {_OWNER}}}',
    PolicyName.ADMINWRITEONLY: '{".read": true, ".write": false}',
    PolicyName.ADMINREADWRITEONLY: '{".read": false, ".write": false}',
}
"""The texts of the policies that have one; EXTENDED brings its own."""


def policy_of(name: PolicyName, text: str | None = None) -> CollectionPolicy:
    """A policy to keep. The text counts for EXTENDED only, and is kept as it is.

    Raises RuleTextError with the places of what is wrong, InvalidParameterError when it is missing."""
    if name is not PolicyName.EXTENDED:
        return CollectionPolicy(name=name, text=PRESETS[name])
    if text is None or not text.strip():
        raise InvalidParameterError(
            "Policy", "the policy EXTENDED needs a rule of its own, a JSON text"
        )
    parse_rule(text)
    return CollectionPolicy(name=name, text=text)


def operation_of(verb: Verb) -> Operation:
    """What a command needs (spec §7); see `owner.answers_nothing` for writes that answer a document."""
    return Operation.READ if verb in READS else Operation.WRITE


@dataclass(frozen=True, slots=True)
class Decision:
    """Whose documents a caller may reach: those of everybody (`allowed`), of nobody (`refused`), or of some
    (`filter`)."""

    owners: Owners

    @property
    def allowed(self) -> bool:
        """Without any condition."""
        return self.owners == EVERYBODY

    @property
    def refused(self) -> bool:
        """Whatever the document."""
        return self.owners == NOBODY

    @property
    def filter(self) -> dict[str, Any] | None:
        """What must hold for a document; None when there is no condition, or no way."""
        if self.allowed or self.refused:
            return None
        named = sorted(self.owners.named, key=lambda owner: (owner is not None, owner or ""))
        if len(named) == 1:
            return {OWNER_FIELD: {"$ne" if self.owners.but else "$eq": named[0]}}
        return {OWNER_FIELD: {"$nin" if self.owners.but else "$in": named}}


ALLOW = Decision(EVERYBODY)
REFUSE = Decision(NOBODY)


class Rules:
    """The rules of one space. Immutable: a change of the space makes new ones."""

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        self._rules = rules

    @classmethod
    def of(cls, policies: Mapping[str, CollectionPolicy]) -> Rules:
        """A stored text that is unreadable (written by a newer version) refuses everything."""
        return cls({collection: _stored(policy.text) for collection, policy in policies.items()})

    def decide(self, collection: str, operation: Operation, user_id: str | None) -> Decision:
        """The order of the guide: the collection's own operation, its `*`, the operation of the collection
        `*`, its `*`; nothing found refuses. Whoever has no user id owns nothing: documents without an
        owner are not theirs."""
        user_id = user_id or None
        owners = _owners(self._grant(collection, operation), user_id)
        decision = Decision(owners)
        return REFUSE if user_id is None and not decision.allowed else decision

    def _grant(self, collection: str, operation: Operation) -> Grant | None:
        for name in (collection, ANY):
            rule = self._rules.get(name)
            grant = None if rule is None else rule.own(operation)
            if grant is not None:
                return grant
        return None


def _owners(grant: Grant | None, user_id: str | None) -> Owners:
    if grant is None or isinstance(grant, bool):
        return EVERYBODY if grant else NOBODY
    return owners_let_through(grant, user_id)


def _stored(text: str) -> Rule:
    try:
        return parse_rule(text)
    except RuleTextError:
        return Rule({ANY: False})
