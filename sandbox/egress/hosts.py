"""What a host and a port may look like: one spelling for each address, and plain names.

Everything else is refused unseen. In particular the spellings that resolvers take for IPv4
addresses (``0x7f.1``, ``017700000001``, ``2130706433``, ``127.1``) are no names, so that an address
is checked as an address or not reached at all.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from sandbox.egress.networks import Address

NAME_MAX_CHARACTERS = 253

Host = Address | str
"""An address, or a name in lower case without a trailing dot."""

# An underscore is not of RFC 1123, but names of containers have it.
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
# As in the WHATWG URL standard: such a last label makes the whole an attempt at IPv4.
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_IPV6 = re.compile(r"[0-9a-fA-F:.]{2,45}", re.ASCII)
_PORT = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)


class HostError(ValueError):
    """Not a host as this module takes it; the text says why, and is a clause after the host."""


def parse_host(text: str) -> Host:
    """The host of a CONNECT target: a name, an IPv4 address, or an IPv6 address in brackets.

    Raises HostError.
    """
    if text.startswith("["):
        if not text.endswith("]"):
            raise HostError("has no closing bracket")
        return parse_ipv6(text[1:-1])
    if ":" in text:
        raise HostError("is an IPv6 address without brackets")
    if looks_like_ipv4(text):
        return parse_ipv4(text)
    return parse_name(text)


def parse_ipv4(text: str) -> IPv4Address:
    """Four decimal numbers without leading zeros. Raises HostError."""
    try:
        return IPv4Address(text)
    except AddressValueError:
        raise HostError("is not an IPv4 address of four decimal numbers") from None


def parse_ipv6(text: str) -> IPv6Address:
    """An IPv6 address without brackets and zone. Raises HostError."""
    if "%" in text:
        raise HostError("has a zone, which means nothing outside its machine")
    if not _IPV6.fullmatch(text):
        raise HostError("is not an IPv6 address")
    try:
        return IPv6Address(text)
    except AddressValueError:
        raise HostError("is not an IPv6 address") from None


def parse_name(text: str) -> str:
    """A name in lower case without its trailing dot. Raises HostError."""
    name = text.lower().removesuffix(".")
    if not text.isascii() or len(name) > NAME_MAX_CHARACTERS:
        raise HostError("is not a host name")
    if looks_like_ipv4(name):
        raise HostError("is neither a host name nor an IPv4 address of four decimal numbers")
    if not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise HostError("is not a host name")
    return name


def looks_like_ipv4(text: str) -> bool:
    """Whether a resolver might take `text` for an IPv4 address in some spelling."""
    last = text.lower().removesuffix(".").rpartition(".")[2]
    return _NUMERIC_LABEL.fullmatch(last) is not None


def parse_port(text: str) -> int:
    """A decimal port from 1 to 65535. Raises HostError."""
    if not _PORT.fullmatch(text) or (port := int(text)) > 0xFFFF:
        raise HostError("has no port from 1 to 65535")
    return port
