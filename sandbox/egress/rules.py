"""Rules of the egress policy, and how they are read from an operator's text.

10.0.0.0/8              a network, all ports
192.168.1.5:3306        an address and a port
10.1.0.0/16:8000-8100   a network and a range of ports
fd00::/8                IPv6 without a port
[fd00::1]:443           IPv6 with a port
db.internal:27017       a name: whatever it resolves to
*.corp.example:443      every name below corp.example, not corp.example itself
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import TypeVar

from sandbox.egress.hosts import (
    HostError,
    looks_like_ipv4,
    parse_ipv4,
    parse_ipv6,
    parse_name,
    parse_port,
)
from sandbox.egress.networks import EMBEDDED_V4, Address, Network, is_embedded_v4

ALL_PORTS = range(1, 0x10000)

N = TypeVar("N", IPv4Network, IPv6Network)

_SEPARATORS = re.compile(r"[,\s]+")
_BRACKETS = re.compile(r"\[([^\[\]]*)\](?::(.*))?", re.DOTALL)


class EgressRuleError(ValueError):
    """A rule that cannot be read; the text says which one and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class NamePattern:
    """One name, or (`below`) every name below it."""

    name: str
    below: bool = False

    def matches(self, name: str) -> bool:
        """`name` as `hosts.parse_name` gives it."""
        return name.endswith("." + self.name) if self.below else name == self.name

    def __str__(self) -> str:
        return f"*.{self.name}" if self.below else self.name


@dataclass(frozen=True, slots=True)
class Rule:
    """Where and on which ports."""

    where: Network | NamePattern
    ports: range = ALL_PORTS

    def has_name(self, name: str, port: int) -> bool:
        """Whether this is a rule for names and `name` is one of them."""
        return (
            isinstance(self.where, NamePattern) and port in self.ports and self.where.matches(name)
        )

    def has_address(self, address: Address, port: int) -> bool:
        """Whether this is a rule for addresses and `address` is one of them."""
        return (
            not isinstance(self.where, NamePattern) and port in self.ports and address in self.where
        )

    @property
    def is_of_addresses(self) -> bool:
        """Whether it says where by addresses, not by names."""
        return not isinstance(self.where, NamePattern)

    def grants(self, address: Address, port: int, name: str | None) -> bool:
        """Whether it is for `address`, or for the `name` that resolved to it."""
        return self.has_address(address, port) or (name is not None and self.has_name(name, port))

    def __str__(self) -> str:
        """In the form that `parse_rules` reads; a single address has no prefix length."""
        where = str(self.where)
        if not isinstance(self.where, NamePattern) and self.where.num_addresses == 1:
            where = str(self.where.network_address)
        if self.ports == ALL_PORTS:
            return f"[{where}]" if _ends_like_port(where) else where
        if isinstance(self.where, IPv6Network):
            where = f"[{where}]"
        low, high = self.ports[0], self.ports[-1]
        return f"{where}:{low}" if low == high else f"{where}:{low}-{high}"


def parse_rules(text: str) -> tuple[Rule, ...]:
    """Rules separated by commas or white space, each once, in order. Raises EgressRuleError."""
    return tuple(dict.fromkeys(_rules(text)))


def _rules(text: str) -> Iterator[Rule]:
    for entry in _SEPARATORS.split(text):
        if entry:
            try:
                yield _parse_rule(entry)
            except HostError as error:
                raise EgressRuleError(
                    f"the egress rule {entry!r} {error}; write for example 10.0.0.0/8,"
                    " 192.168.1.5:3306, db.internal:27017, [fd00::1]:443 or *.corp.example:443."
                ) from None


def _parse_rule(entry: str) -> Rule:
    if "://" in entry:
        raise HostError("is a URL; a rule is host:port, no URL")
    if entry.startswith("["):
        match = _BRACKETS.fullmatch(entry)
        if match is None:
            raise HostError("has brackets that do not match")
        return Rule(_parse_v6_network(match[1]), _parse_ports(match[2]))
    if entry.count(":") > 1:
        if _ends_like_port(entry):
            address, _, port = entry.rpartition(":")
            raise HostError(f"may end with a port or not; write [{address}]:{port} or {entry}/128")
        return Rule(_parse_v6_network(entry))
    where, colon, ports = entry.partition(":")
    return Rule(_parse_where(where), _parse_ports(ports if colon else None))


def _ends_like_port(text: str) -> bool:
    """Whether an IPv6 address without brackets may as well be one with a port: `::1:443`."""
    address, _, port = text.rpartition(":")
    try:
        parse_ipv6(address)
        parse_port(port)
    except HostError:
        return False
    return True


def _parse_where(text: str) -> IPv4Network | NamePattern:
    if "/" in text or looks_like_ipv4(text):
        address, length = _split_network(text, 32)
        return _network(IPv4Network, str(parse_ipv4(address)), length)
    if text == "*":
        raise HostError("names everything; write 0.0.0.0/0 and ::/0 if that is what you mean")
    return NamePattern(parse_name(text.removeprefix("*.")), below=text.startswith("*."))


def _parse_v6_network(text: str) -> IPv6Network:
    address, length = _split_network(text, 128)
    network = _network(IPv6Network, str(parse_ipv6(address)), length)
    embedded = any(network.subnet_of(wider) for wider in EMBEDDED_V4)
    if embedded and is_embedded_v4(network.broadcast_address):
        raise HostError("holds IPv4 addresses in an IPv6 spelling; name them as IPv4")
    return network


def _split_network(text: str, bits: int) -> tuple[str, int]:
    address, slash, length = text.partition("/")
    if not slash:
        return address, bits
    if not (length.isascii() and length.isdigit() and len(length) <= 3 and int(length) <= bits):
        raise HostError(f"has no prefix length from 0 to {bits} after the slash")
    return address, int(length)


def _network(kind: type[N], address: str, length: int) -> N:
    try:
        return kind(f"{address}/{length}")
    except ValueError:
        network = kind(f"{address}/{length}", strict=False)
        raise HostError(f"has bits set behind its prefix; did you mean {network}?") from None


def _parse_ports(text: str | None) -> range:
    if text is None:
        return ALL_PORTS
    low, dash, high = text.partition("-")
    first = parse_port(low)
    last = parse_port(high) if dash else first
    if last < first:
        raise HostError("has a range of ports that ends before it begins")
    return range(first, last + 1)
