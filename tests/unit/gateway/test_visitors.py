"""Who calls: addresses behind proxies, and lists of networks."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from runtime.gateway.management.answers import failure
from runtime.gateway.triggers.answers import refusal_of_error
from runtime.gateway.visitors import AddressRefusedError, Networks, Visitors, read_hop
from runtime.settings.networks import parse_networks

PROXY = "10.0.0.9"


def request(peer: str | None, *headers: tuple[str, str]) -> web.Request:
    made = make_mocked_request("POST", "/client", CIMultiDict(headers))
    return made.clone(remote=peer) if peer is not None else made.clone(remote="")


def visitors(**settings: Any) -> Visitors:
    lists = {name: parse_networks(text) for name, text in settings.items() if name != "header"}
    header = settings.get("header", "x-forwarded-for")
    return Visitors(header=header, **lists)


def seen(peer: str, *forwarded: str, trusted: str = "10.0.0.0/8, fd00::/8") -> str:
    headers = [("X-Forwarded-For", each) for each in forwarded]
    return str(visitors(trusted=trusted).address_of(request(peer, *headers)))


def test_nobody_is_believed_by_default() -> None:
    headers = (("X-Forwarded-For", "1.2.3.4"), ("Forwarded", "for=1.2.3.4"))
    assert str(Visitors().address_of(request("10.0.0.9", *headers))) == "10.0.0.9"
    assert seen("192.0.2.1", "1.2.3.4") == "192.0.2.1"


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        (["1.2.3.4"], "1.2.3.4"),
        (["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
        (["6.6.6.6, 1.2.3.4, 10.1.1.1"], "1.2.3.4"),
        (["6.6.6.6", "1.2.3.4", "10.1.1.1"], "1.2.3.4"),
        (["10.2.2.2, 10.1.1.1"], "10.2.2.2"),
        ([], PROXY),
        ([""], PROXY),
        (["nonsense"], PROXY),
        (["1.2.3.4, nonsense"], PROXY),
        (["1.2.3.4, "], PROXY),
        (["nonsense, 1.2.3.4"], "1.2.3.4"),
        (["unknown, 1.2.3.4"], "1.2.3.4"),
        (["1.2.3.4:5678"], "1.2.3.4"),
        (["2001:DB8::1"], "2001:db8::1"),
        (["[2001:db8::1]"], "2001:db8::1"),
        (["[2001:db8::1]:443"], "2001:db8::1"),
        (["::ffff:1.2.3.4"], "1.2.3.4"),
        (["fe80::1%eth0"], "fe80::1"),
        (["1.2.3.4, ::ffff:10.1.1.1, fd00::1"], "1.2.3.4"),
        (["01.2.3.4"], PROXY),
        (["1.2.3.4.5"], PROXY),
        ([", ".join(["6.6.6.6", *["10.1.1.1"] * 32])], "10.1.1.1"),
    ],
)
def test_the_last_hop_that_is_no_proxy_of_ours_counts(forwarded: list[str], address: str) -> None:
    assert seen(PROXY, *forwarded) == address
    assert seen(f"::ffff:{PROXY}", *forwarded) == address


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("for=1.2.3.4", "1.2.3.4"),
        ("For=1.2.3.4; proto=https;by=10.0.0.1", "1.2.3.4"),
        ('proto=http; for="[2001:db8::1]:4711"', "2001:db8::1"),
        ("for=6.6.6.6, for=1.2.3.4", "1.2.3.4"),
        ("for=1.2.3.4, for=10.1.1.1", "1.2.3.4"),
        ('for=6.6.6.6;x="a, for=1.2.3.4', "1.2.3.4"),
        ("for=unknown", PROXY),
        ("for=_hidden", PROXY),
        ("for=1.2.3.4;for=6.6.6.6", PROXY),
        ("xfor=1.2.3.4", PROXY),
        ("by=1.2.3.4", PROXY),
        ("1.2.3.4", PROXY),
    ],
)
def test_forwarded_is_read_when_it_is_the_proxies_header(forwarded: str, address: str) -> None:
    headers = (("Forwarded", forwarded), ("X-Forwarded-For", "6.6.6.6"))
    believing = visitors(trusted="10.0.0.0/8", header="forwarded")
    assert str(believing.address_of(request(PROXY, *headers))) == address


def test_the_other_header_is_ignored() -> None:
    headers = (("Forwarded", "for=6.6.6.6"), ("X-Forwarded-For", "1.2.3.4"))
    believing = visitors(trusted="10.0.0.0/8")
    assert str(believing.address_of(request(PROXY, *headers))) == "1.2.3.4"


@pytest.mark.parametrize(
    ("allow", "deny", "peer", "served"),
    [
        ("", "", "1.2.3.4", True),
        ("", "1.2.3.0/24", "1.2.3.4", False),
        ("", "1.2.3.0/24", "1.2.4.4", True),
        ("1.2.0.0/16", "", "1.2.3.4", True),
        ("1.2.0.0/16", "", "1.3.3.4", False),
        ("1.2.0.0/16", "1.2.3.4", "1.2.3.4", False),
        ("1.2.0.0/16", "1.2.3.4", "1.2.3.5", True),
        ("1.2.0.0/16", "", "::ffff:1.2.3.4", True),
        ("2001:db8::/32", "", "2001:db8::1", True),
        ("2001:db8::/32", "", "2001:db9::1", False),
        ("0.0.0.0/0", "", "::1", False),
        ("::/0", "", "1.2.3.4", False),
        ("::ffff:1.2.0.0/112", "", "1.2.3.4", True),
        ("1.2.0.0/16", "", "", False),
        ("", "1.2.3.4", "", True),
    ],
)
def test_lists(allow: str, deny: str, peer: str, served: bool) -> None:
    listed = visitors(allow=allow, deny=deny)
    if served:
        listed.admit(request(peer))
        return
    with pytest.raises(AddressRefusedError) as raised:
        listed.admit(request(peer))
    assert raised.value.code == "ClientIpNotAllowed"
    assert listed.refused == 1
    assert refusal_of_error(raised.value, "r").status == 403
    assert failure(raised.value, request_id="r", host="h").status == 403


def test_lists_are_about_the_client_not_its_proxy() -> None:
    listed = visitors(trusted="10.0.0.0/8", deny="10.0.0.0/8, 6.6.6.6")
    assert listed.admit(request(PROXY, ("X-Forwarded-For", "1.2.3.4"))) == ip_address("1.2.3.4")
    with pytest.raises(AddressRefusedError):
        listed.admit(request(PROXY, ("X-Forwarded-For", "6.6.6.6")))


@given(
    st.lists(st.ip_addresses(v=4, network="10.0.0.0/28"), max_size=4),
    st.lists(st.tuples(st.ip_addresses(v=4, network="10.0.0.0/28"), st.integers(26, 32))),
)
def test_a_set_of_networks_is_what_its_networks_are(
    addresses: list[Any], networks: list[tuple[Any, int]]
) -> None:
    parsed = parse_networks(
        " ".join(f"{ip_address(int(a) >> 32 - n << 32 - n)}/{n}" for a, n in networks)
    )
    found = Networks(parsed)
    assert bool(found) == bool(parsed)
    for address in addresses:
        assert (address in found) == any(address in each for each in parsed)


@given(st.text(max_size=80))
def test_any_header_is_read_or_ignored(text: str) -> None:
    read_hop(text)
    clean = text.replace("\r", "").replace("\n", "")
    for header in ("x-forwarded-for", "forwarded"):
        believing = visitors(trusted="10.0.0.0/8", header=header)
        assert believing.address_of(request(PROXY, (header, clean))) is not None
        spoofed = f"{clean}, {'for=' if header == 'forwarded' else ''}1.2.3.4"
        assert str(believing.address_of(request(PROXY, (header, spoofed)))) == "1.2.3.4"
