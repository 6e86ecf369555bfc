"""The text of rules: what is read, and what is said about what is not."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.egress.rules import ALL_PORTS, EgressRuleError, NamePattern, Rule, parse_rules


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("10.0.0.0/8", Rule(IPv4Network("10.0.0.0/8"))),
        ("10.0.0.0/8:443", Rule(IPv4Network("10.0.0.0/8"), range(443, 444))),
        ("10.1.0.0/16:8000-8100", Rule(IPv4Network("10.1.0.0/16"), range(8000, 8101))),
        ("192.168.1.5:3306", Rule(IPv4Network("192.168.1.5/32"), range(3306, 3307))),
        ("192.168.1.5", Rule(IPv4Network("192.168.1.5/32"))),
        ("0.0.0.0/0", Rule(IPv4Network("0.0.0.0/0"))),
        ("db.internal:27017", Rule(NamePattern("db.internal"), range(27017, 27018))),
        ("DB.Internal.", Rule(NamePattern("db.internal"))),
        ("localhost", Rule(NamePattern("localhost"))),
        ("*.corp.example:443", Rule(NamePattern("corp.example", below=True), range(443, 444))),
        ("*.corp.example", Rule(NamePattern("corp.example", below=True))),
        ("[fd00::1]:443", Rule(IPv6Network("fd00::1/128"), range(443, 444))),
        ("[fd00::/8]:1-65535", Rule(IPv6Network("fd00::/8"), ALL_PORTS)),
        ("[fd00::1]", Rule(IPv6Network("fd00::1/128"))),
        ("fd00::1", Rule(IPv6Network("fd00::1/128"))),
        ("fd00::/8", Rule(IPv6Network("fd00::/8"))),
        ("::1", Rule(IPv6Network("::1/128"))),
        ("::/0", Rule(IPv6Network("::/0"))),
        ("[fd00::1:443]", Rule(IPv6Network("fd00::1:443/128"))),
        ("fd00::1:443/128", Rule(IPv6Network("fd00::1:443/128"))),
        ("2001:db8:1:2:3:4:5:443", Rule(IPv6Network("2001:db8:1:2:3:4:5:443/128"))),
        ("64:ff9b::/96", Rule(IPv6Network("64:ff9b::/96"))),
    ],
)
def test_a_rule(text: str, rule: Rule) -> None:
    assert parse_rules(text) == (rule,)
    assert parse_rules(str(rule)) == (rule,)


def test_rules_are_separated_by_commas_and_white_space() -> None:
    rules = parse_rules(" 10.0.0.0/8,\n 192.168.1.5:3306\t,, db.internal:27017 10.0.0.0/8 ")

    assert [str(rule) for rule in rules] == [
        "10.0.0.0/8",
        "192.168.1.5:3306",
        "db.internal:27017",
    ]


@pytest.mark.parametrize("text", ["", " ", ",", " , ,"])
def test_no_rules(text: str) -> None:
    assert parse_rules(text) == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("10.0.0.1/8", "did you mean 10.0.0.0/8"),
        ("fd00::1/8", "did you mean fd00::/8"),
        ("[fd00::1/64]:443", "did you mean fd00::/64"),
        ("10.0.0.0/33", "prefix length from 0 to 32"),
        ("10.0.0.0/", "prefix length"),
        ("10.0.0.0/255.0.0.0", "prefix length"),
        ("10.0.0.0/-1", "prefix length"),
        ("10.0.0.0/٨", "prefix length"),
        ("fd00::/129", "prefix length from 0 to 128"),
        ("10.1", "four decimal numbers"),
        ("0x7f.1", "four decimal numbers"),
        ("127.0.0.01", "four decimal numbers"),
        ("2130706433", "four decimal numbers"),
        ("256.0.0.0/8", "four decimal numbers"),
        ("name/8", "four decimal numbers"),
        ("db.internal:", "no port"),
        ("db.internal:0", "no port"),
        ("db.internal:99999", "no port"),
        ("db.internal:http", "no port"),
        ("db.internal:80-", "no port"),
        ("db.internal:90-80", "ends before it begins"),
        ("[fd00::1]443", "brackets"),
        ("[fd00::1", "brackets"),
        ("[fd00::1]:", "no port"),
        ("[db.internal]:80", "not an IPv6 address"),
        ("fe80::1%eth0", "zone"),
        ("fd00::1::2", "not an IPv6 address"),
        ("::1:443", "write [::1]:443 or"),
        ("fd00::1:443", "write [fd00::1]:443 or fd00::1:443/128"),
        ("2001:db8:1:2:3:4:5:6:443", "write [2001:db8:1:2:3:4:5:6]:443"),
        ("*", "0.0.0.0/0 and ::/0"),
        ("*:443", "0.0.0.0/0 and ::/0"),
        ("*.", "not a host name"),
        ("*corp.example", "not a host name"),
        ("a.*.example", "not a host name"),
        ("*.*.example", "not a host name"),
        ("http://127.0.0.1:8080/", "is a URL; a rule is host:port, no URL"),
        ("bücher.example", "not a host name"),
        ("::ffff:10.0.0.0/104", "name them as IPv4"),
        ("::ffff:10.0.0.1", "name them as IPv4"),
        ("::10.0.0.1", "name them as IPv4"),
        ("::/96", "name them as IPv4"),
    ],
)
def test_a_rule_that_cannot_be_read_is_named(text: str, said: str) -> None:
    with pytest.raises(EgressRuleError) as caught:
        parse_rules(f"10.0.0.0/8, {text}, 11.0.0.0/8")

    assert repr(text) in str(caught.value)
    assert said in str(caught.value)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused_with_its_rule(text: str) -> None:
    try:
        rules = parse_rules(text)
    except EgressRuleError:
        return
    assert parse_rules(",".join(map(str, rules))) == rules


@given(st.integers(0, 2**32 - 1), st.integers(0, 32), st.integers(1, 65535))
def test_a_network_rule_has_its_addresses_only(number: int, length: int, port: int) -> None:
    network = ip_network((number, length), strict=False)
    (rule,) = parse_rules(f"{network}:{port}")

    assert rule.has_address(network.network_address, port)
    assert rule.has_address(network.broadcast_address, port)
    assert not rule.has_address(network.network_address, port % 65535 + 1)
    outside = int(network.broadcast_address) + 1
    if outside < 2**32:
        assert not rule.has_address(ip_address(outside), port)
    assert not rule.has_name(str(network.network_address), port)


def test_a_pattern_matches_names_below_and_nothing_else() -> None:
    (rule,) = parse_rules("*.corp.example:443")

    assert rule.has_name("a.corp.example", 443)
    assert rule.has_name("a.b.corp.example", 443)
    assert not rule.has_name("corp.example", 443)
    assert not rule.has_name("evilcorp.example", 443)
    assert not rule.has_name("a.corp.example.evil", 443)
    assert not rule.has_name("a.corp.example", 80)
    assert not rule.has_address(ip_address("10.0.0.1"), 443)
