"""One function's policy, of the worker's and of the rules of its space and itself."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from sandbox.api import INHERITED, EgressRules
from sandbox.egress.access import EgressAccess
from sandbox.egress.effective import effective_policy
from sandbox.egress.policy import Denial, EgressPolicy, Grant

WORKER = EgressPolicy.from_text(allow="10.0.0.5:3306, db.internal", deny="10.9.0.0/16")
OWN = ("127.0.0.1:8080", "8.8.8.8", "*.own.example", "10.9.0.1", "10.0.0.5:3306")

ADDRESSES = st.sampled_from(
    ["10.0.0.5", "10.9.0.1", "127.0.0.1", "8.8.8.8", "1.1.1.1", "169.254.169.254", "::1", "fd00::1"]
).map(ip_address)
PORTS = st.sampled_from([80, 443, 3306, 8080])
NAMES = st.sampled_from([None, "db.internal", "a.own.example", "other.example"])
RULES = st.builds(
    EgressRules,
    st.booleans(),
    st.lists(
        st.sampled_from([*OWN, "0.0.0.0/0", "::/0", "fd00::1", "169.254.169.254"]), unique=True
    ).map(tuple),
)


def reached(policy: EgressPolicy, text: str, port: int = 443, name: str | None = None) -> bool:
    return isinstance(policy.of_address(ip_address(text), port, name), Grant)


def test_without_rules_it_is_the_workers_own() -> None:
    for extend in (True, False):
        assert effective_policy(WORKER, INHERITED, extend=extend) is WORKER


def test_rules_extend_what_is_inherited() -> None:
    policy = effective_policy(WORKER, EgressRules(allow=OWN), extend=True)
    assert reached(policy, "127.0.0.1", 8080)
    assert not reached(policy, "127.0.0.1", 8081)
    assert reached(policy, "10.0.0.5", 3306)
    assert reached(policy, "1.1.1.1")
    assert reached(policy, "192.168.0.1", name="a.own.example")
    assert not reached(policy, "10.9.0.1"), "what the worker denies stays denied"
    assert not reached(WORKER, "127.0.0.1", 8080)


def test_rules_stand_alone_where_nothing_is_inherited() -> None:
    policy = effective_policy(WORKER, EgressRules(False, OWN[:3]), extend=True)
    assert reached(policy, "127.0.0.1", 8080)
    assert reached(policy, "8.8.8.8")
    assert not reached(policy, "1.1.1.1")
    assert not reached(policy, "10.0.0.5", 3306)
    assert not reached(policy, "10.1.1.1", name="db.internal")
    nothing = effective_policy(WORKER, EgressRules(False), extend=True)
    assert not reached(nothing, "8.8.8.8")
    assert isinstance(nothing.of_name("example.com", 443), Denial)


def test_rules_that_may_only_narrow_open_nothing() -> None:
    assert effective_policy(WORKER, EgressRules(allow=OWN), extend=False) is WORKER
    policy = effective_policy(WORKER, EgressRules(False, OWN), extend=False)
    assert reached(policy, "10.0.0.5", 3306)
    assert reached(policy, "8.8.8.8")
    assert not reached(policy, "1.1.1.1")
    assert not reached(policy, "127.0.0.1", 8080)
    assert reached(policy, "1.1.1.1", name="a.own.example")
    assert not reached(policy, "192.168.0.1", name="a.own.example")


@given(RULES, ADDRESSES, PORTS, NAMES)
def test_narrowing_never_widens_and_extending_never_narrows(
    rules: EgressRules, address: object, port: int, name: str | None
) -> None:
    def decide(policy: EgressPolicy) -> bool:
        return isinstance(policy.of_address(address, port, name), Grant)  # type: ignore[arg-type]

    worker = decide(WORKER)
    narrow = decide(effective_policy(WORKER, rules, extend=False))
    wide = decide(effective_policy(WORKER, rules, extend=True))
    assert worker or not narrow
    assert wide or not narrow
    if rules.inherit:
        assert narrow == worker
        assert wide or not worker


@pytest.mark.parametrize("extend", [True, False])
def test_a_rule_that_cannot_be_read_grants_nothing_and_is_told(*, extend: bool) -> None:
    effective_policy.cache_clear()
    with capture_logs() as logs:
        policy = effective_policy(
            WORKER, EgressRules(False, ("10.0.0.1/8", "8.8.8.8")), extend=extend
        )
    assert reached(policy, "8.8.8.8")
    assert not reached(policy, "10.0.0.5", 3306)
    assert [(each["event"], each["rule"]) for each in logs] == [
        ("egress_rule_unreadable", "10.0.0.1/8")
    ]


async def test_the_access_of_a_worker_makes_it() -> None:
    rules = EgressRules(allow=("127.0.0.1",))
    assert reached(EgressAccess(policy=WORKER).policy_for(rules), "127.0.0.1")
    assert not reached(EgressAccess(policy=WORKER, extend=False).policy_for(rules), "127.0.0.1")
