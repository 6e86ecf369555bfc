"""Several addresses: in turn, beside each other, and nothing left open but the first connection."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address

import pytest

from sandbox.egress.dial import dial, is_own
from sandbox.egress.networks import Address

V4 = [ip_address(f"192.0.2.{number}") for number in range(1, 4)]
V6 = [ip_address(f"2001:db8::{number}") for number in range(1, 4)]


class Network:
    """Connects, fails or hangs as it is told, and remembers."""

    def __init__(self) -> None:
        self.tried: list[Address] = []
        self.errors: dict[Address, Exception] = {}
        self.gates: dict[Address, asyncio.Event] = {}
        self.sockets: list[socket.socket] = []
        self.cancelled: list[Address] = []

    async def connect(self, address: Address, port: int) -> socket.socket:
        self.tried.append(address)
        try:
            if address in self.gates:
                await self.gates[address].wait()
        except asyncio.CancelledError:
            self.cancelled.append(address)
            raise
        if address in self.errors:
            raise self.errors[address]
        connection = socket.socket()
        self.sockets.append(connection)
        return connection

    @property
    def open_sockets(self) -> list[socket.socket]:
        return [connection for connection in self.sockets if connection.fileno() != -1]


async def test_the_first_address_that_connects_wins() -> None:
    network = Network()
    network.errors = {V4[0]: ConnectionRefusedError(), V4[1]: OSError(113, "x")}

    with await dial(V4, 80, attempt_delay_s=30, connect=network.connect) as connection:
        assert network.tried == V4
        assert network.open_sockets == [connection]


async def test_a_slow_address_is_overtaken_and_given_up() -> None:
    network = Network()
    network.gates = {V4[0]: asyncio.Event(), V4[1]: asyncio.Event()}

    with await dial(V4, 80, attempt_delay_s=0, connect=network.connect) as connection:
        assert network.open_sockets == [connection]
    assert sorted(network.cancelled) == V4[:2]


async def test_a_slow_address_may_still_win() -> None:
    network = Network()
    network.gates = {address: asyncio.Event() for address in V4}
    dialling = asyncio.create_task(dial(V4, 80, attempt_delay_s=0, connect=network.connect))
    while len(network.tried) < 3:
        await asyncio.sleep(0)
    network.gates[V4[0]].set()

    with await dialling as connection:
        assert network.open_sockets == [connection]
    assert sorted(network.cancelled) == V4[1:]


async def test_two_that_connect_at_once_leave_one_open() -> None:
    network = Network()
    gate = asyncio.Event()
    network.gates = dict.fromkeys(V4, gate)
    dialling = asyncio.create_task(dial(V4, 80, attempt_delay_s=0, connect=network.connect))
    while len(network.tried) < 3:
        await asyncio.sleep(0)
    gate.set()

    with await dialling as connection:
        await asyncio.sleep(0)
        assert len(network.sockets) == 3
        assert network.open_sockets == [connection]


async def test_when_all_fail_the_first_error_is_told() -> None:
    network = Network()
    network.errors = {V4[0]: ConnectionRefusedError(111, "a"), V4[1]: OSError(113, "b")}

    with pytest.raises(ConnectionRefusedError):
        await dial(V4[:2], 80, attempt_delay_s=30, connect=network.connect)


async def test_cancellation_ends_all_attempts() -> None:
    network = Network()
    network.gates = {address: asyncio.Event() for address in V4}
    dialling = asyncio.create_task(dial(V4, 80, attempt_delay_s=0, connect=network.connect))
    while len(network.tried) < 3:
        await asyncio.sleep(0)
    dialling.cancel()

    with pytest.raises(asyncio.CancelledError):
        await dialling
    assert sorted(network.cancelled) == V4
    assert network.open_sockets == []


async def test_a_defect_is_not_hidden() -> None:
    network = Network()
    network.errors = {V4[0]: ZeroDivisionError()}

    with pytest.raises(ZeroDivisionError):
        await dial(V4, 80, attempt_delay_s=30, connect=network.connect)


async def test_the_families_take_turns() -> None:
    network = Network()
    network.errors = {address: ConnectionRefusedError(111, "x") for address in V4 + V6}

    with pytest.raises(ConnectionRefusedError):
        await dial([*V6, *V4[:1]], 80, attempt_delay_s=30, connect=network.connect)
    assert network.tried == [V6[0], V4[0], V6[1], V6[2]]


@pytest.mark.parametrize("text", ["127.0.0.1", "127.8.9.10"])
def test_the_machine_knows_its_own_addresses(text: str) -> None:
    assert is_own(ip_address(text))


@pytest.mark.parametrize("text", ["192.0.2.77", "8.8.8.8", "2001:db8::77"])
def test_the_machine_knows_what_is_not_its_own(text: str) -> None:
    assert not is_own(ip_address(text))
