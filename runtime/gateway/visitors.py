"""Who calls: the client's address behind proxies that are believed, and whether it is served at all."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Literal

from aiohttp import web

from runtime.errors import CallerError
from runtime.settings.networks import Network

Address = IPv4Address | IPv6Address

_HOPS_MAX = 32
"""Proxies in a row. What is left of more of them was written by somebody else."""
_CACHED = 4096
_TEXT_MAX = 64
_WITH_PORT = re.compile(r"\[([^\[\]]+)\](?::[0-9]{1,5})?|([0-9.]+)(?::[0-9]{1,5})?")
_FOR = re.compile(r'(?:^|;)\s*for\s*=\s*(?:"([^"\\]*)"|([^\s;,"]+))\s*(?=;|$)', re.IGNORECASE)
_ADDRESS = web.RequestKey[Address | None]("yunhan-visitor")


class AddressRefusedError(CallerError):
    """Clients of this address are not served (spec: functions (g))."""

    def __init__(self, address: Address | None) -> None:
        super().__init__(
            "ClientIpNotAllowed",
            f"clients at the address {address or 'that is not known'} are not served here",
        )


class Networks:
    """A set of networks; a look-up takes as long as there are different sizes of them, not networks."""

    def __init__(self, networks: Iterable[Network]) -> None:
        self._of: dict[int, dict[int, set[int]]] = {4: {}, 6: {}}
        for each in networks:
            shift = each.max_prefixlen - each.prefixlen
            numbers = self._of[each.version].setdefault(shift, set())
            numbers.add(int(each.network_address) >> shift)

    def __bool__(self) -> bool:
        return any(self._of.values())

    def __contains__(self, address: Address) -> bool:
        number = int(address)
        return any(number >> shift in each for shift, each in self._of[address.version].items())


class Visitors:
    """See the module. Without trusted proxies no header is believed."""

    def __init__(
        self,
        *,
        trusted: Iterable[Network] = (),
        header: Literal["x-forwarded-for", "forwarded"] = "x-forwarded-for",
        allow: Iterable[Network] = (),
        deny: Iterable[Network] = (),
    ) -> None:
        self._trusted = Networks(trusted)
        self._header = header
        self._allow = Networks(allow)
        self._deny = Networks(deny)
        self.refused = 0
        """Requests, since the start."""

    def address_of(self, request: web.Request) -> Address | None:
        """Of the client: the last hop that is no trusted proxy. None when the connection has no address (it
        is gone, or no TCP). What a header says in no form that we know is not believed: then it is the last
        proxy that counts."""
        if _ADDRESS not in request:
            request[_ADDRESS] = self._find(request)
        return request[_ADDRESS]

    def admit(self, request: web.Request) -> Address | None:
        """`address_of`, when it is served. Raises AddressRefusedError. The deny list wins; an address that is
        not known is on no list."""
        address = self.address_of(request)
        if not self._allow and not self._deny:
            return address
        served = not self._allow or (address is not None and address in self._allow)
        if not served or (address is not None and address in self._deny):
            self.refused += 1
            raise AddressRefusedError(address)
        return address

    def _find(self, request: web.Request) -> Address | None:
        address = read_address(request.remote or "")
        if not self._trusted or address is None or address not in self._trusted:
            return address
        for hop in _hops(request.headers.getall(self._header, ()), self._header):
            before = read_hop(hop)
            if before is None:
                return address
            address = before
            if address not in self._trusted:
                return address
        return address


def _hops(fields: Iterable[str], header: str) -> list[str]:
    """From the last to the first, at most `_HOPS_MAX`. Commas are split without regard to quotes: a quote
    that a client leaves open must not swallow what a proxy wrote behind it."""
    elements = ",".join(fields).rsplit(",", _HOPS_MAX)[-_HOPS_MAX:]
    if elements == [""]:
        return []
    elements.reverse()
    return elements if header == "x-forwarded-for" else [_forwarded_for(each) for each in elements]


def _forwarded_for(element: str) -> str:
    """The node of `for=` (RFC 7239, 4); empty when there is none or more than one."""
    found = _FOR.findall(element.strip())
    return "".join(found[0]) if len(found) == 1 else ""


@lru_cache(_CACHED)
def read_hop(text: str) -> Address | None:
    """An address as proxies write it: with or without a port, an IPv6 one with or without brackets. None for
    anything else, also `unknown` and names that hide who it is."""
    text = text.strip(" \t")
    match = _WITH_PORT.fullmatch(text)
    return read_address((match[1] or match[2]) if match else text)


@lru_cache(_CACHED)
def read_address(text: str) -> Address | None:
    """None when it is none. An IPv4 address written in IPv6 is the IPv4 one; a zone is dropped."""
    if len(text) > _TEXT_MAX:
        return None
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped
