"""The table of special-purpose networks: what is in it, its edges, and what it leaves alone."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.egress.networks import (
    GLOBAL_UNICAST_V6,
    SPECIAL_V4,
    SPECIAL_V6,
    is_embedded_v4,
    special_kind,
)

SPECIAL = {
    "0.0.0.0": "unspecified",
    "0.1.2.3": "unspecified",
    "10.0.0.1": "private",
    "100.64.0.1": "shared",
    "100.100.100.200": "shared",
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "169.254.169.254": "link-local",
    "169.254.170.2": "link-local",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.0.0.192": "reserved",
    "192.0.2.1": "documentation",
    "192.88.99.1": "6to4 relay",
    "192.168.255.255": "private",
    "198.18.0.1": "benchmarking",
    "198.19.255.255": "benchmarking",
    "198.51.100.7": "documentation",
    "203.0.113.7": "documentation",
    "224.0.0.1": "multicast",
    "239.255.255.255": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "broadcast",
    "168.63.129.16": "cloud metadata",
    "::": "unspecified",
    "::1": "loopback",
    "::2": "IPv4-compatible",
    "::127.0.0.1": "IPv4-compatible",
    "::ffff:127.0.0.1": "IPv4-mapped",
    "::ffff:8.8.8.8": "IPv4-mapped",
    "::ffff:0:127.0.0.1": "IPv4-translated",
    "64:ff9b::169.254.169.254": "NAT64",
    "64:ff9b:1:ffff::a00:1": "NAT64",
    "100::1": "discard-only",
    "100:0:0:1::1": "reserved",
    "2001::1": "Teredo",
    "2001:2::1": "benchmarking",
    "2001:10::1": "reserved",
    "2001:20::1": "reserved",
    "2001:db8::1": "documentation",
    "2002:7f00:1::": "6to4",
    "3fff::1": "documentation",
    "5f00::1": "reserved",
    "4000::1": "reserved",
    "fc00::1": "private",
    "fd00:ec2::254": "private",
    "fe80::1": "link-local",
    "fec0::1": "site-local",
    "ff02::1": "multicast",
    "fe00::1": "reserved",
    "1::1": "reserved",
}

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "168.63.129.15",
    "168.63.129.17",
    "2000::1",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2003::1",
    "2400:3200::1",
    "2606:4700::1111",
    "3ffe:ffff::1",
    "2620:4f:8000::1",
]


@pytest.mark.parametrize(("text", "kind"), SPECIAL.items())
def test_an_address_that_is_not_public(text: str, kind: str) -> None:
    found = special_kind(ip_address(text))

    assert found is not None
    assert kind in found


@pytest.mark.parametrize("text", PUBLIC)
def test_a_public_address(text: str) -> None:
    assert special_kind(ip_address(text)) is None


@pytest.mark.parametrize(
    "network", [str(network) for network, _ in SPECIAL_V4 + SPECIAL_V6], ids=str
)
def test_a_network_is_refused_from_its_first_to_its_last_address(network: str) -> None:
    edges = ip_network(network)

    assert special_kind(edges.network_address) is not None
    assert special_kind(edges.broadcast_address) is not None


@given(st.integers(0, 2**32 - 1))
def test_no_ipv4_address_that_python_calls_private_or_reserved_is_public(number: int) -> None:
    address = IPv4Address(number)
    if address.is_private or address.is_reserved or address.is_multicast or address.is_link_local:
        assert special_kind(address) is not None


@given(st.integers(0, 2**128 - 1))
def test_no_ipv6_address_outside_global_unicast_is_public(number: int) -> None:
    address = IPv6Address(number)
    if address not in GLOBAL_UNICAST_V6:
        assert special_kind(address) is not None


def test_loopback_and_unspecified_are_no_embedded_ipv4_addresses() -> None:
    assert not is_embedded_v4(IPv6Address("::1"))
    assert not is_embedded_v4(IPv6Address("::"))
    assert not is_embedded_v4(IPv4Address("127.0.0.1"))
    assert is_embedded_v4(IPv6Address("::ffff:127.0.0.1"))
    assert is_embedded_v4(IPv6Address("::127.0.0.1"))
