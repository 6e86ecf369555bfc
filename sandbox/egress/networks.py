"""Which addresses are not public: the special-purpose networks of IPv4 and IPv6, written out.

From IANA's registries of special-purpose, multicast and IPv6 address space. `ipaddress.is_global`
is not used: its table differs between versions of Python.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# First match counts, so the narrower network comes first.
_SPECIAL_V4 = (
    ("0.0.0.0/8", "an unspecified address"),  # RFC 791; 0.0.0.0 connects to this machine
    ("10.0.0.0/8", "a private address"),  # RFC 1918
    # Metadata of Alibaba Cloud is 100.100.100.200.
    ("100.64.0.0/10", "a shared (carrier NAT) address"),  # RFC 6598
    ("127.0.0.0/8", "a loopback address"),  # RFC 1122
    # Metadata of most clouds is 169.254.169.254.
    ("169.254.0.0/16", "a link-local address"),  # RFC 3927
    ("172.16.0.0/12", "a private address"),  # RFC 1918
    # Whole, though two anycast addresses in it are global; 192.0.0.192 is Oracle's metadata.
    ("192.0.0.0/24", "a reserved address"),  # RFC 6890
    ("192.0.2.0/24", "a documentation address"),  # RFC 5737
    ("192.88.99.0/24", "a 6to4 relay address"),  # RFC 7526
    ("192.168.0.0/16", "a private address"),  # RFC 1918
    ("198.18.0.0/15", "a benchmarking address"),  # RFC 2544
    ("198.51.100.0/24", "a documentation address"),  # RFC 5737
    ("203.0.113.0/24", "a documentation address"),  # RFC 5737
    ("224.0.0.0/4", "a multicast address"),  # RFC 5771
    ("255.255.255.255/32", "a broadcast address"),  # RFC 919
    ("240.0.0.0/4", "a reserved address"),  # RFC 1112
    # Public by registry, but answered by the host below a virtual machine of Azure.
    ("168.63.129.16/32", "a cloud metadata address"),
)

_SPECIAL_V6 = (
    ("::/128", "an unspecified address"),  # RFC 4291
    ("::1/128", "a loopback address"),  # RFC 4291
    ("::ffff:0:0/96", "an IPv4-mapped address"),  # RFC 4291
    ("::/96", "an IPv4-compatible address"),  # RFC 4291, deprecated
    ("::ffff:0:0:0/96", "an IPv4-translated address"),  # RFC 7915
    ("64:ff9b::/96", "a NAT64 address"),  # RFC 6052
    ("64:ff9b:1::/48", "a NAT64 address"),  # RFC 8215
    ("100::/64", "a discard-only address"),  # RFC 6666
    ("2001::/32", "a Teredo address"),  # RFC 4380
    ("2001:2::/48", "a benchmarking address"),  # RFC 5180
    ("2001:db8::/32", "a documentation address"),  # RFC 3849
    ("2001::/23", "a reserved address"),  # RFC 2928, with ORCHID, AMT and anycast services
    ("2002::/16", "a 6to4 address"),  # RFC 3056
    ("3fff::/20", "a documentation address"),  # RFC 9637
    # Metadata of AWS is fd00:ec2::254.
    ("fc00::/7", "a private (unique local) address"),  # RFC 4193
    ("fe80::/10", "a link-local address"),  # RFC 4291
    ("fec0::/10", "a site-local address"),  # RFC 3879
    ("ff00::/8", "a multicast address"),  # RFC 4291
)

SPECIAL_V4 = tuple((IPv4Network(network), kind) for network, kind in _SPECIAL_V4)
SPECIAL_V6 = tuple((IPv6Network(network), kind) for network, kind in _SPECIAL_V6)

GLOBAL_UNICAST_V6 = IPv6Network("2000::/3")
"""All IPv6 space that is given out; the rest is reserved (RFC 4291)."""

EMBEDDED_V4 = (IPv6Network("::ffff:0:0/96"), IPv6Network("::/96"))
"""Second spellings of IPv4 addresses. The system may connect to the IPv4 address itself."""

_UNSPECIFIED_AND_LOOPBACK_V6 = (IPv6Address("::"), IPv6Address("::1"))


def special_kind(address: Address) -> str | None:
    """What `address` is instead of public, as words with an article; None for a public one."""
    special = SPECIAL_V4 if isinstance(address, IPv4Address) else SPECIAL_V6
    for network, kind in special:
        if address in network:
            return kind
    if isinstance(address, IPv6Address) and address not in GLOBAL_UNICAST_V6:
        return "a reserved address"
    return None


def special_kinds(network: Network) -> list[str]:
    """What of `network` is not public, as `special_kind` says it, each kind once; empty = nothing."""
    if network.num_addresses == 1:
        kind = special_kind(network.network_address)
        return [] if kind is None else [kind]
    special = SPECIAL_V4 if isinstance(network, IPv4Network) else SPECIAL_V6
    kinds = {kind: None for each, kind in special if _overlap(network, each)}
    if isinstance(network, IPv6Network) and not kinds and not network.overlaps(GLOBAL_UNICAST_V6):
        return ["a reserved address"]
    return list(kinds)


def _overlap(one: Network, other: Network) -> bool:
    """Both of one version, so one holds the other or they are apart."""
    return int(one.network_address) <= int(other.broadcast_address) and int(
        other.network_address
    ) <= int(one.broadcast_address)


def is_embedded_v4(address: Address) -> bool:
    """Whether `address` is an IPv4 address spelled as IPv6, which no rule can allow."""
    if address in _UNSPECIFIED_AND_LOOPBACK_V6:
        return False
    return any(address in network for network in EMBEDDED_V4)
