"""What is dialled: only what was checked, whatever names resolve to and however hosts are spelled."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.egress.answers import Answer, NotConnected
from sandbox.egress.head import Target
from sandbox.egress.limits import EgressLimits
from sandbox.egress.names import Names
from sandbox.egress.networks import SPECIAL_V4, SPECIAL_V6, Address
from sandbox.egress.policy import EgressPolicy
from sandbox.egress.route import Route
from tests.unit.egress.spellings import LOOPBACK_AND_METADATA, ODDLY_SPELLED

PUBLIC_V4, PUBLIC_V6 = "93.184.216.34", "2606:2800:220:1::1"


class World:
    """A resolver and a network that remember what was asked of them."""

    def __init__(self, names: Mapping[str, Iterator[Sequence[str]]] | None = None) -> None:
        self.names = names or {}
        self.own: set[Address] = set()
        self.errors: dict[Address, OSError] = {}
        self.looked_up: list[str] = []
        self.dialled: list[Address] = []

    def lookup(self, name: str) -> Sequence[str]:
        self.looked_up.append(name)
        if name not in self.names:
            # A resolver that is as obliging as the system's.
            try:
                return [str(IPv4Address(socket.inet_aton(name)))]
            except OSError:
                raise socket.gaierror(socket.EAI_NONAME, "x") from None
        return next(self.names[name])

    async def connect(self, address: Address, port: int) -> socket.socket:
        self.dialled.append(address)
        if address in self.errors:
            raise self.errors[address]
        return socket.socket()

    def route(self, limits: EgressLimits | None = None) -> Route:
        limits = limits or EgressLimits()
        return Route(
            Names(self.lookup).share(limits.lookups_max),
            limits,
            connect=self.connect,
            is_own=lambda address: address in self.own,
        )

    async def reach(self, host: str, policy: EgressPolicy, port: int = 443) -> Answer | None:
        """None when it was connected."""
        try:
            parsed = Target(host, str(port)).parse()
            (await self.route().reach(*parsed, policy)).close()
        except NotConnected as error:
            return error.answer
        return None


def always(*addresses: str) -> Iterator[Sequence[str]]:
    while True:
        yield list(addresses)


@pytest.mark.parametrize("host", LOOPBACK_AND_METADATA + ODDLY_SPELLED)
async def test_no_spelling_is_looked_up_or_dialled(host: str) -> None:
    world = World()

    answer = await world.reach(host, EgressPolicy())

    assert answer is not None
    assert (answer.status, answer.code) == (403, "EACCES")
    assert world.looked_up == []
    assert world.dialled == []


V4_FORMS = (
    "{a}", "{n}", "0x{n:x}", "0{n:o}", "{q[0]}.{r}", "0x{q[0]:x}.{r}", "{a}.", "{n}.",
    "0{q[0]:o}.0{q[1]:o}.0{q[2]:o}.0{q[3]:o}", "0x{q[0]:x}.0x{q[1]:x}.0x{q[2]:x}.0x{q[3]:x}",
    "[::ffff:{a}]", "[::{a}]", "[::ffff:0:{a}]", "[64:ff9b::{a}]", "[64:ff9b:1::{a}]",
    "[2002:{h}::]", "[2002:{h}::1]", "[::FFFF:{h}]", "[{a}]", "{a}%00", "[::ffff:{a}%1]",
)  # fmt: skip


def spell_v4(address: IPv4Address, form: str) -> str:
    packed, number = address.packed, int(address)
    hexadecimal = f"{number >> 16:x}:{number & 0xFFFF:x}"
    return form.format(a=address, n=number, q=packed, r=number & 0xFFFFFF, h=hexadecimal)


refused_v4 = st.sampled_from([network for network, _ in SPECIAL_V4]).flatmap(
    lambda network: st.integers(int(network.network_address), int(network.broadcast_address)).map(
        IPv4Address
    )
)
refused_v6 = st.sampled_from([network for network, _ in SPECIAL_V6]).flatmap(
    lambda network: st.integers(int(network.network_address), int(network.broadcast_address)).map(
        IPv6Address
    )
)


@given(refused_v4, st.sampled_from(V4_FORMS))
def test_no_refused_ipv4_address_is_dialled_in_any_form(address: IPv4Address, form: str) -> None:
    world = World()

    answer = asyncio.run(world.reach(spell_v4(address, form), EgressPolicy()))

    assert answer is not None
    assert (answer.status, world.dialled) == (403, [])


@given(refused_v6, st.sampled_from(["[{}]", "[{}%eth0]", "{}"]), st.booleans())
def test_no_refused_ipv6_address_is_dialled_in_any_form(
    address: IPv6Address, form: str, long: bool
) -> None:
    world = World()
    host = form.format(address.exploded.upper() if long else address)

    answer = asyncio.run(world.reach(host, EgressPolicy()))

    assert answer is not None
    assert (answer.status, world.dialled) == (403, [])


@given(refused_v4 | refused_v6, st.sampled_from(V4_FORMS[11:13] + V4_FORMS[15:17]))
def test_no_refused_address_is_dialled_through_a_name(address: Address, form: str) -> None:
    addresses = [str(address)]
    if isinstance(address, IPv4Address):
        addresses.append(str(ip_address(spell_v4(address, form).strip("[]"))))
    world = World({"evil.example": always(*addresses)})

    answer = asyncio.run(world.reach("evil.example", EgressPolicy()))

    assert answer is not None
    assert (answer.status, world.dialled) == (403, [])
    assert str(address) not in answer.reason


async def test_a_name_that_changes_its_mind_gains_nothing() -> None:
    rebinding = iter([[PUBLIC_V4], ["127.0.0.1"], [PUBLIC_V4]])
    world = World({"rebind.example": rebinding})

    assert await world.reach("rebind.example", EgressPolicy()) is None
    assert (world.looked_up, world.dialled) == (["rebind.example"], [ip_address(PUBLIC_V4)])

    answer = await world.reach("Rebind.Example.", EgressPolicy())
    assert answer is not None
    assert answer.reason == (
        "rebind.example resolves to a loopback address, which needs an allow rule"
        ": yunhan egress allow SPACE rebind.example:443, or YUNHAN_EGRESS_ALLOW"
    )
    assert world.dialled == [ip_address(PUBLIC_V4)]
    assert next(rebinding) == [PUBLIC_V4]  # one look-up each


async def test_of_mixed_addresses_only_the_allowed_ones_are_dialled() -> None:
    addresses = ("10.0.0.1", PUBLIC_V4, "::1", PUBLIC_V6, "169.254.169.254", "::ffff:127.0.0.1")
    world = World({"mixed.example": always(*addresses)})
    world.errors = {
        ip_address(text): ConnectionRefusedError(errno.ECONNREFUSED, "x") for text in addresses
    }

    answer = await world.reach("mixed.example", EgressPolicy())

    assert answer is not None
    assert (answer.status, answer.code) == (502, "ECONNREFUSED")
    assert world.dialled == [ip_address(PUBLIC_V4), ip_address(PUBLIC_V6)]


async def test_a_rule_for_a_name_opens_its_addresses_and_not_the_addresses_themselves() -> None:
    world = World({"db.internal": always("10.0.0.1"), "other.internal": always("10.0.0.1")})
    policy = EgressPolicy.from_text(allow="db.internal:443", deny="10.9.0.0/16")

    assert await world.reach("DB.internal", policy) is None
    assert world.dialled == [ip_address("10.0.0.1")]
    for host, port in (("10.0.0.1", 443), ("other.internal", 443), ("db.internal", 444)):
        answer = await world.reach(host, policy, port)
        assert answer is not None
        assert answer.status == 403

    denied = World({"db.internal": always("10.9.0.1", "::ffff:10.0.0.1")})
    answer = await denied.reach("db.internal", policy)
    assert answer is not None
    assert (answer.status, denied.dialled) == (403, [])


@pytest.mark.parametrize(
    ("host", "policy", "way_out"),
    [
        ("[fd00::1]", EgressPolicy(), "SPACE [fd00::1]:443, or YUNHAN_EGRESS_ALLOW"),
        (
            "api.example",
            EgressPolicy(public=False, inherits=False),
            " (egress mode is none): yunhan egress allow SPACE api.example:443 [--function NAME]",
        ),
        ("[::ffff:10.0.0.1]", EgressPolicy(), None),
        ("8.8.8.8", EgressPolicy.from_text(deny="8.8.8.8"), None),
    ],
)
async def test_a_refusal_says_how_to_open_it_where_a_rule_can(
    host: str, policy: EgressPolicy, way_out: str | None
) -> None:
    answer = await World().reach(host, policy)
    assert answer is not None
    assert answer.reason.endswith(way_out) if way_out else "allow" not in answer.reason


async def test_a_name_that_is_denied_is_not_even_looked_up() -> None:
    world = World({"example.com": always(PUBLIC_V4)})

    answer = await world.reach("example.com", EgressPolicy.from_text(deny="*.com"))

    assert answer is not None
    assert (answer.status, world.looked_up) == (403, [])


async def test_a_public_address_of_the_machine_itself_needs_a_rule() -> None:
    world = World({"me.example": always(PUBLIC_V4)})
    world.own = {ip_address(PUBLIC_V4)}

    for host in (PUBLIC_V4, "me.example"):
        answer = await world.reach(host, EgressPolicy())
        assert answer is not None
        assert "the worker's own machine" in answer.reason
    assert world.dialled == []
    assert await world.reach(PUBLIC_V4, EgressPolicy.from_text(allow=PUBLIC_V4)) is None


async def test_a_name_of_very_many_addresses_is_tried_a_bounded_number_of_times() -> None:
    addresses = [f"8.8.{number}.8" for number in range(100)]
    world = World({"many.example": always("10.0.0.1", *addresses)})
    world.errors = {
        ip_address(text): ConnectionRefusedError(errno.ECONNREFUSED, "x") for text in addresses
    }

    await world.reach("many.example", EgressPolicy())

    assert len(world.dialled) == EgressLimits().addresses_max


async def test_a_connection_that_takes_too_long_is_given_up() -> None:
    world = World()
    hung = asyncio.Event()

    async def connect(address: Address, port: int) -> socket.socket:
        await hung.wait()
        raise AssertionError

    limits = EgressLimits(connect_timeout_s=0.001)
    route = Route(Names(world.lookup).share(1), limits, connect=connect, is_own=lambda _: False)

    with pytest.raises(NotConnected) as caught:
        await route.reach(ip_address(PUBLIC_V4), 443, EgressPolicy())
    assert (caught.value.answer.status, caught.value.answer.code) == (502, "ETIMEDOUT")


async def test_no_more_are_being_connected_than_the_bound() -> None:
    limits = EgressLimits(connecting_max=3)
    under_way = most = 0

    async def connect(address: Address, port: int) -> socket.socket:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        for _ in range(5):
            await asyncio.sleep(0)
        under_way -= 1
        return socket.socket()

    route = Route(Names(World().lookup).share(1), limits, connect=connect, is_own=lambda _: False)
    reached = await asyncio.gather(
        *(route.reach(ip_address(PUBLIC_V4), 443, EgressPolicy()) for _ in range(12))
    )

    assert most == 3
    for connection in reached:
        connection.close()
