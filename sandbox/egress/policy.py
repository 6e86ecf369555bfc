"""What a sandbox may reach: a value made of rules, and the decisions that follow from it.

A rule that denies beats one that allows, and both beat the default, which is: public addresses
(`networks`), nothing else. A rule that allows a name allows whatever it resolves to: that is the
operator's word. IPv4 addresses in an IPv6 spelling are never reached, so that no rule for the one
can be passed by with the other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from sandbox.egress.networks import Address, is_embedded_v4, special_kind
from sandbox.egress.rules import Rule, parse_rules


class Grant(Enum):
    """On whose word something may be reached."""

    RULE = "rule"
    PUBLIC = "public"


@dataclass(frozen=True, slots=True)
class Denial:
    """Why something may not be reached: what it is, as words with an article."""

    kind: str


def needs_rule(kind: str) -> Denial:
    """The denial of what an operator may open."""
    return Denial(f"{kind}, which needs an allow rule")


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressPolicy:
    """Immutable. `public` says whether public addresses may be reached without a rule."""

    allow: tuple[Rule, ...] = ()
    deny: tuple[Rule, ...] = ()
    public: bool = True

    @classmethod
    def from_text(cls, *, allow: str = "", deny: str = "", public: bool = True) -> EgressPolicy:
        """Rules as `rules` describes them. Raises EgressRuleError."""
        return cls(allow=parse_rules(allow), deny=parse_rules(deny), public=public)

    def extended(self, *, allow: str = "", deny: str = "") -> EgressPolicy:
        """This policy with further rules, as those of one space. Raises EgressRuleError."""
        return replace(
            self, allow=self.allow + parse_rules(allow), deny=self.deny + parse_rules(deny)
        )

    def of_name(self, name: str, port: int) -> Grant | Denial | None:
        """The decision for a name (as `hosts.parse_name` gives it); None = its addresses decide.

        A granted name's addresses must still pass `of_granted_address`.
        """
        if any(rule.has_name(name, port) for rule in self.deny):
            return Denial("denied by a rule")
        if any(rule.has_name(name, port) for rule in self.allow):
            return Grant.RULE
        return None

    def of_address(self, address: Address, port: int) -> Grant | Denial:
        """The decision for an address that was named as such, or that a name resolved to."""
        granted = self.of_granted_address(address, port)
        if isinstance(granted, Denial):
            return granted
        if any(rule.has_address(address, port) for rule in self.allow):
            return Grant.RULE
        kind = special_kind(address)
        if kind is not None:
            return needs_rule(kind)
        return Grant.PUBLIC if self.public else needs_rule("a public address")

    def of_granted_address(self, address: Address, port: int) -> Grant | Denial:
        """The decision for an address of a name that a rule allows."""
        if is_embedded_v4(address):
            return Denial("an IPv4 address in an IPv6 spelling")
        if any(rule.has_address(address, port) for rule in self.deny):
            return Denial("denied by a rule")
        return Grant.RULE


NOTHING = EgressPolicy(public=False)
"""Reaches nothing: for a sandbox that is not bound to a space yet."""
