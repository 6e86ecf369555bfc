"""What a sandbox may reach: a value made of rules, and the decisions that follow from it.

A rule that denies beats one that allows, and both beat the default, which is: public addresses
(`networks`), nothing else. A rule that allows a name allows whatever it resolves to: that is the
operator's word. IPv4 addresses in an IPv6 spelling are never reached, so that no rule for the one
can be passed by with the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv6Address

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
    way_out: str = ""
    """What follows `kind` to say how an operator can open it, `{target}` for what; empty where no allow rule
    would."""

    def advice(self, host: Address | str, port: int) -> str:
        """What comes behind the reason; empty when there is no way."""
        target = f"[{host}]:{port}" if isinstance(host, IPv6Address) else f"{host}:{port}"
        return self.way_out.format(target=target)


def needs_rule(kind: str, *, inherits: bool = True) -> Denial:
    """The denial of what an operator may open. `inherits` as in `EgressPolicy`."""
    return Denial(
        f"{kind}, which needs an allow rule", _OF_INSTALLATION if inherits else _OF_SPACE_ALONE
    )


_OF_INSTALLATION = ": yunhan egress allow SPACE {target}, or YUNHAN_EGRESS_ALLOW"
_OF_SPACE_ALONE = " (egress mode is none): yunhan egress allow SPACE {target} [--function NAME]"


_DENIED = Denial("denied by a rule")


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressPolicy:
    """Immutable. `public` says whether public addresses may be reached without a rule."""

    allow: tuple[Rule, ...] = ()
    deny: tuple[Rule, ...] = ()
    public: bool = True
    inherits: bool = True
    """Whether rules of the installation are among these; not where a space or function says `none`."""
    within: EgressPolicy | None = None
    """What this one grants must be granted there as well, and on that one's word."""

    @classmethod
    def from_text(cls, *, allow: str = "", deny: str = "", public: bool = True) -> EgressPolicy:
        """Rules as `rules` describes them. Raises EgressRuleError."""
        return cls(allow=parse_rules(allow), deny=parse_rules(deny), public=public)

    def of_name(self, name: str, port: int) -> Denial | None:
        """Why a name (as `hosts.parse_name` gives it) may not even be looked up; None = its addresses
        decide, by `of_address`.

        A look-up carries bytes to whom the name belongs: where no address could be granted there is none.
        """
        if any(rule.has_name(name, port) for rule in self.deny):
            return _DENIED
        if not self.public and not self._may_be_granted(name, port):
            return self._needs_rule("a host name")
        return None if self.within is None else self.within.of_name(name, port)

    def of_address(self, address: Address, port: int, name: str | None = None) -> Grant | Denial:
        """The decision for an address: one that was named as such, or one that `name` resolved to."""
        if is_embedded_v4(address):
            return Denial("an IPv4 address in an IPv6 spelling")
        if any(rule.has_address(address, port) for rule in self.deny):
            return _DENIED
        decision: Grant | Denial = Grant.RULE
        if not any(rule.grants(address, port, name) for rule in self.allow):
            kind = special_kind(address)
            if kind is not None:
                return self._needs_rule(kind)
            if not self.public:
                return self._needs_rule("a public address")
            decision = Grant.PUBLIC
        return decision if self.within is None else self.within.of_address(address, port, name)

    def _needs_rule(self, kind: str) -> Denial:
        return needs_rule(kind, inherits=self.inherits)

    def _may_be_granted(self, name: str, port: int) -> bool:
        return any(
            rule.has_name(name, port) or (rule.is_of_addresses and port in rule.ports)
            for rule in self.allow
        )


NOTHING = EgressPolicy(public=False)
"""Reaches nothing: for a sandbox that is not bound to a space yet."""
