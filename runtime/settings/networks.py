"""Lists of networks in settings: who is believed, allowed or denied by address."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_network

Network = IPv4Network | IPv6Network

_MAPPED = IPv6Network("::ffff:0:0/96")
_BETWEEN = re.compile(r"[,\s]+")


def parse_networks(text: str) -> tuple[Network, ...]:
    """Addresses and networks, with commas or spaces between them; empty = none. Raises ValueError, which says
    which one is wrong: a network with bits beyond its prefix is, it may mean another one.

    An IPv4 network written in IPv6 (::ffff:10.0.0.0/104) is the IPv4 network."""
    return tuple(_network(each) for each in _BETWEEN.split(text) if each)


def _network(text: str) -> Network:
    try:
        network = ip_network(text)
    except ValueError:
        raise ValueError(
            f"addresses and networks, e.g. 10.0.0.0/8, 2001:db8::/32; {text[:60]!r} is none"
        ) from None
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        unwrapped = int(network.network_address) & 0xFFFF_FFFF
        return IPv4Network((unwrapped, network.prefixlen - 96))
    return network
