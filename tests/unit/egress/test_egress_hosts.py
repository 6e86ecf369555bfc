"""Every spelling of a host: an address, a name, or refused unseen."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.egress.hosts import HostError, parse_host, parse_port
from tests.unit.egress.spellings import LOOPBACK_AND_METADATA, NAMES, ODDLY_SPELLED


def test_the_tables_are_large() -> None:
    assert len(set(LOOPBACK_AND_METADATA) | set(ODDLY_SPELLED) | set(NAMES)) > 200


@pytest.mark.parametrize("text", LOOPBACK_AND_METADATA)
def test_a_well_spelled_address_is_an_address(text: str) -> None:
    assert parse_host(text) == ip_address(text.strip("[]"))


@pytest.mark.parametrize("text", ODDLY_SPELLED)
def test_an_odd_spelling_is_refused(text: str) -> None:
    with pytest.raises(HostError):
        parse_host(text)


@pytest.mark.parametrize(
    "text",
    ["", " ", "a b", "example.com ", " 127.0.0.1", "127.0.0.1\t", "a\0b", "a\nb", "127.0.0.1\n"],
)
def test_white_space_and_control_characters_are_refused(text: str) -> None:
    with pytest.raises(HostError):
        parse_host(text)


@pytest.mark.parametrize(
    "text",
    [
        "b\u00fccher.example",
        "\u0661\u0662\u0667.0.0.1",
        "\uff11\uff12\uff17.0.0.1",
        "127\u30020\u30020\u30021",
        "\u2460\u2461\u2466.0.0.1",
        "\u24dbocalhost",
        "\u212a.example",
    ],
)
def test_characters_beyond_ascii_are_refused(text: str) -> None:
    with pytest.raises(HostError):
        parse_host(text)


@pytest.mark.parametrize(("text", "name"), NAMES.items())
def test_a_name_is_lower_case_without_its_last_dot(text: str, name: str) -> None:
    assert parse_host(text) == name


@pytest.mark.parametrize("text", ["a" * 64, ("a" * 63 + ".") * 4, "a." * 127 + "a"])
def test_too_long_a_name_is_refused(text: str) -> None:
    if len(text) == 253:
        assert parse_host(text) == text
    else:
        with pytest.raises(HostError):
            parse_host(text)


@given(st.text(alphabet="0123456789abcdefxX.", max_size=20))
def test_nothing_that_the_system_reads_as_ipv4_is_taken_for_a_name(text: str) -> None:
    try:
        packed = socket.inet_aton(text)
    except OSError:
        return
    try:
        host = parse_host(text)
    except HostError:
        return
    assert host == IPv4Address(packed)
    assert host == IPv4Address(text)


@given(st.integers(0, 2**128 - 1))
def test_an_ipv6_address_is_the_same_in_every_length(number: int) -> None:
    address = IPv6Address(number)

    assert parse_host(f"[{address}]") == address
    assert parse_host(f"[{address.exploded.upper()}]") == address


@pytest.mark.parametrize(("text", "port"), [("1", 1), ("443", 443), ("65535", 65535)])
def test_a_port(text: str, port: int) -> None:
    assert parse_port(text) == port


@pytest.mark.parametrize(
    "text",
    ["", "0", "00", "080", "65536", "99999", "100000", "-1", "+80", "8 0", "0x50", "٨٠", "80\n"],
)
def test_no_port(text: str) -> None:
    with pytest.raises(HostError, match="port"):
        parse_port(text)
