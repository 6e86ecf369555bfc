"""What spaces and functions may say about their network, and what follows for a job. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from runtime.errors import InvalidParameterError
from runtime.messages import EGRESS_INHERITED, EgressConfig, EgressMode
from sandbox.api import INHERITED, EgressRules
from sandbox.egress.networks import special_kinds
from sandbox.egress.policy import Denial, EgressPolicy
from sandbox.egress.rules import EgressRuleError, NamePattern, Rule, parse_rules


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressRuleLimits:
    """Bounds of the rules of one space or one function."""

    rules_max: int
    rule_max_characters: int
    within: EgressPolicy | None = None
    """What the installation allows, when rules may open nothing else; None = they may open anything."""


def rules_of(space: EgressConfig, function: EgressConfig) -> EgressRules:
    """What a function may reach: its own rules, those of its space, and what the installation allows,
    up to the first level that inherits nothing."""
    if space == function == EGRESS_INHERITED:
        return INHERITED
    if function.mode is EgressMode.NONE:
        return EgressRules(inherit=False, allow=function.allow)
    return EgressRules(
        inherit=space.mode is EgressMode.INHERIT,
        allow=tuple(dict.fromkeys(space.allow + function.allow)),
    )


def read_rules(texts: Sequence[str], parameter: str, limits: EgressRuleLimits) -> tuple[str, ...]:
    """The rules in the one form that is stored, each once.

    Raises InvalidParameterError, which names the place in the list, counted from 0."""
    return tuple(dict.fromkeys(_read(texts, parameter, limits)))


def check_number(allow: Sequence[str], parameter: str, limits: EgressRuleLimits) -> None:
    """Raises InvalidParameterError for too many."""
    if len(allow) > limits.rules_max:
        raise InvalidParameterError(
            parameter,
            f"a space or function has at most {limits.rules_max} egress rules"
            f" (YUNHAN_EGRESS_RULES_MAX), this would be {len(allow)}",
            code="EgressRuleLimitExceeded",
        )


def check_within(texts: Iterable[str], parameter: str, limits: EgressRuleLimits) -> None:
    """Raises InvalidParameterError for a stored rule that opens what this installation does not.

    A name is not looked up here: at its connection the address counts. So does it for a network that is
    allowed at its ends only."""
    if limits.within is None:
        return
    for place, text in enumerate(texts):
        for rule in parse_rules(text):
            if not _is_within(rule, limits.within):
                raise _wrong(
                    parameter,
                    place,
                    f"the egress rule {text!r} opens what this installation does not allow, and it lets"
                    " rules narrow only (YUNHAN_EGRESS_SPACE_RULES)",
                )


def opened(text: str) -> list[str]:
    """What of a stored rule is not public, in words; empty for public addresses and for names."""
    kinds: dict[str, None] = {}
    for rule in parse_rules(text):
        if not isinstance(rule.where, NamePattern):
            kinds.update(dict.fromkeys(special_kinds(rule.where)))
    return list(kinds)


def _read(texts: Sequence[str], parameter: str, limits: EgressRuleLimits) -> Iterator[str]:
    for place, text in enumerate(texts):
        longest = limits.rule_max_characters
        if len(text) > longest:
            raise _wrong(
                parameter,
                place,
                f"the egress rule {text[:40]!r}... has {len(text)} characters, at most {longest} are"
                " allowed (YUNHAN_EGRESS_RULE_MAX)",
            )
        try:
            rules = parse_rules(text)
        except EgressRuleError as error:
            raise _wrong(parameter, place, str(error).removesuffix(".")) from None
        if len(rules) != 1:
            raise _wrong(parameter, place, f"{text[:40]!r} is not one rule but {len(rules)}")
        yield str(rules[0])


def _is_within(rule: Rule, policy: EgressPolicy) -> bool:
    if isinstance(rule.where, NamePattern):
        return True
    ends = (rule.where.network_address, rule.where.broadcast_address)
    return not any(
        isinstance(policy.of_address(address, port), Denial)
        for address in ends
        for port in (rule.ports[0], rule.ports[-1])
    )


def _wrong(parameter: str, place: int, why: str) -> InvalidParameterError:
    return InvalidParameterError(
        parameter, f"{parameter}[{place}]: {why}", code="InvalidEgressRule"
    )
