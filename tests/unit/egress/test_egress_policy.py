"""Decisions: what is denied, what a rule grants, what is public, in this order."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.egress.policy import NOTHING, Denial, EgressPolicy, Grant, needs_rule
from sandbox.egress.rules import EgressRuleError


def address_decision(policy: EgressPolicy, text: str, port: int = 443) -> Grant | Denial:
    return policy.of_address(ip_address(text), port)


def test_by_default_public_addresses_only() -> None:
    policy = EgressPolicy()

    assert address_decision(policy, "8.8.8.8") is Grant.PUBLIC
    assert address_decision(policy, "2606:4700::1111") is Grant.PUBLIC
    assert address_decision(policy, "10.0.0.1") == needs_rule("a private address")
    assert policy.of_name("example.com", 443) is None


def test_an_allow_rule_opens_its_addresses_and_ports() -> None:
    policy = EgressPolicy.from_text(allow="10.0.0.0/8:5432, [::1]:80")

    assert address_decision(policy, "10.1.2.3", 5432) is Grant.RULE
    assert address_decision(policy, "10.1.2.3", 5433) == needs_rule("a private address")
    assert address_decision(policy, "::1", 80) is Grant.RULE
    assert address_decision(policy, "11.0.0.1", 5432) is Grant.PUBLIC


def test_without_public_only_rules_count() -> None:
    policy = EgressPolicy.from_text(allow="8.8.8.8:53", public=False)

    assert address_decision(policy, "8.8.8.8", 53) is Grant.RULE
    assert isinstance(address_decision(policy, "8.8.8.8", 54), Denial)
    assert isinstance(address_decision(policy, "1.1.1.1", 53), Denial)


def test_a_deny_rule_beats_an_allow_rule() -> None:
    policy = EgressPolicy.from_text(
        allow="10.0.0.0/8, *.corp.example", deny="10.9.0.0/16, secret.corp.example, 8.8.8.8"
    )

    assert address_decision(policy, "10.1.0.1") is Grant.RULE
    assert address_decision(policy, "10.9.0.1") == Denial("denied by a rule")
    assert address_decision(policy, "8.8.8.8") == Denial("denied by a rule")
    assert policy.of_name("a.corp.example", 1) is None
    assert policy.of_address(ip_address("10.1.0.1"), 1, "a.corp.example") is Grant.RULE
    assert policy.of_name("secret.corp.example", 1) == Denial("denied by a rule")


def test_a_name_that_is_allowed_may_be_anywhere_but_at_a_denied_address() -> None:
    policy = EgressPolicy.from_text(allow="db.internal", deny="10.9.0.0/16")

    for text in ("10.1.1.1", "127.0.0.1", "169.254.169.254", "::1", "fd00::1", "8.8.8.8"):
        assert policy.of_address(ip_address(text), 1, "db.internal") is Grant.RULE
        assert policy.of_address(ip_address(text), 1, "other.internal") is not Grant.RULE
    for text in ("10.9.1.1", "::ffff:10.9.1.1"):
        assert isinstance(policy.of_address(ip_address(text), 1, "db.internal"), Denial)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0xFFFF << 32, 0]))
def test_no_rule_opens_ipv4_in_an_ipv6_spelling(number: int, prefix: int) -> None:
    policy = EgressPolicy.from_text(allow="::/0 0.0.0.0/0 any.example")
    embedded = IPv6Address(prefix | number)

    assert policy.of_address(IPv4Address(number), 80) is Grant.RULE
    if prefix or number > 1:
        assert isinstance(policy.of_address(embedded, 80), Denial)
        assert isinstance(policy.of_address(embedded, 80, "any.example"), Denial)


def test_a_name_is_not_looked_up_where_no_address_of_it_could_be_granted() -> None:
    """Names carry bytes to whom they belong."""
    closed = EgressPolicy.from_text(allow="api.example:443, 10.0.0.0/8:5432", public=False)

    assert closed.of_name("api.example", 443) is None
    assert closed.of_name("db.internal", 5432) is None
    assert closed.of_name("secret.attacker.example", 443) == needs_rule("a host name")
    assert closed.of_name("api.example", 80) == needs_rule("a host name")
    assert NOTHING.of_name("example.com", 443) == needs_rule("a host name")


def test_within_another_policy_both_must_grant() -> None:
    outer = EgressPolicy.from_text(allow="10.0.0.0/8, db.internal", deny="bad.example, 9.9.9.9")
    inner = replace(
        EgressPolicy.from_text(allow="10.1.0.0/16, 127.0.0.1, *.example, 8.8.8.8, 9.9.9.9"),
        public=False,
        within=outer,
    )

    assert address_decision(inner, "10.1.0.1") is Grant.RULE
    assert isinstance(address_decision(inner, "10.2.0.1"), Denial)
    assert address_decision(inner, "127.0.0.1") == needs_rule("a loopback address")
    assert address_decision(inner, "1.1.1.1") == needs_rule("a public address")
    assert address_decision(inner, "9.9.9.9") == Denial("denied by a rule")
    # On the outer's word: an address of the worker's own machine is no rule's.
    assert address_decision(inner, "8.8.8.8") is Grant.PUBLIC
    for text, name, granted in (
        ("8.8.4.4", "a.example", Grant.PUBLIC),
        ("10.9.9.9", "a.example", Grant.RULE),
        ("127.0.0.1", "a.example", None),
        ("10.9.9.9", "db.internal", None),
    ):
        decision = inner.of_address(ip_address(text), 443, name)
        assert decision is granted if granted else isinstance(decision, Denial)
    both = EgressPolicy.from_text(allow="db.internal", public=False)
    both = replace(both, within=outer)
    assert both.of_address(ip_address("127.0.0.1"), 443, "db.internal") is Grant.RULE
    assert inner.of_name("bad.example", 443) == Denial("denied by a rule")
    assert inner.of_name("a.example", 443) is None


@pytest.mark.parametrize("which", ["allow", "deny"])
def test_a_bad_rule_is_an_error(which: str) -> None:
    with pytest.raises(EgressRuleError, match=r"10\.0\.0\.1/8"):
        EgressPolicy.from_text(**{which: "10.0.0.1/8"})  # type: ignore[arg-type]


def test_an_unbound_sandbox_reaches_nothing() -> None:
    for text in ("8.8.8.8", "2606:4700::1111", "127.0.0.1"):
        assert isinstance(address_decision(NOTHING, text), Denial)
