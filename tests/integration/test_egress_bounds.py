"""What a hostile sandbox may cost the worker: heads, connections, memory, bytes, time."""

from __future__ import annotations

import asyncio
import errno
import socket
from pathlib import Path
from typing import Any, cast

import pytest

from sandbox.api import SandboxError
from sandbox.egress.gate import EgressGate
from sandbox.egress.hosts import Host
from sandbox.egress.limits import EgressLimits
from sandbox.egress.names import Names
from sandbox.egress.policy import EgressPolicy
from sandbox.egress.route import Route
from tests.integration.egress_support import Refused, echo, on_both_loops, open_gate, serve

pytestmark = pytest.mark.integration


def collect_errors() -> list[dict[str, Any]]:
    """What the loop's exception handler is told from now on."""
    errors: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    return errors


@on_both_loops
async def test_garbage_is_answered_and_closed() -> None:
    async with open_gate() as gate:
        for garbage in (
            b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n" + bytes(500),
            b"\r\n\r\n",
            bytes(1024),
            b"\xff" * 100_000,
            b"CONNECT " + b"a" * 1100 + b":443 HTTP/1.1\r\n\r\n",
            b"CONNECT a.example:443 HTTP/1.1\r\n" + b"X: y\r\n" * 300 + b"\r\n",
        ):
            peer = await gate.connect()
            peer.writer.write(garbage)
            assert (await peer.answer())[0] == 400
            assert await peer.read_to_end() == b""
            await peer.close()
        await gate.wait_connections(0)
        assert gate.gate.counts().failed == 7
        assert gate.gate.counts().connections == 0


@on_both_loops
async def test_a_head_may_be_as_long_as_the_bound_and_come_in_pieces() -> None:
    async with serve(echo) as port, open_gate() as gate:
        peer = await gate.connect()
        start, end = f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\nX: ".encode(), b"\r\n\r\n"
        for byte in start + b"y" * (1024 - len(start) - len(end)) + end:
            peer.writer.write(bytes([byte]))
            await asyncio.sleep(0)
        assert (await peer.answer())[0] == 200
        await peer.close()


@on_both_loops
async def test_a_head_that_does_not_end_in_time_is_cut_off() -> None:
    async with open_gate(limits=EgressLimits(head_timeout_s=0.02)) as gate:
        silent = await gate.connect()
        slow = await gate.connect()
        slow.writer.write(b"CONNECT a.example")
        for peer in (silent, slow):
            assert (await peer.answer())[0] == 400
            assert await peer.read_to_end() == b""
            await peer.close()
        await gate.wait_connections(0)


@on_both_loops
async def test_one_connection_too_many_is_told_so() -> None:
    refused = Refused()
    async with serve(echo) as port, open_gate(on_refused=refused) as gate:
        peers = [await gate.tunnel(port) for _ in range(64)]
        assert await gate.refusal("127.0.0.1", port) == (429, "EMFILE")
        assert await gate.refusal("127.0.0.1", port) == (429, "EMFILE")
        assert refused.lines == [("127.0.0.1", port, "more than 64 connections are open")] * 2
        assert await peers[63].exchange(b"alive") == b"alive"

        await peers.pop().close()
        await gate.wait_connections(63)
        peers.append(await gate.tunnel(port))
        for peer in peers:
            await peer.close()
        await gate.wait_connections(0)
        assert gate.gate.counts().connections == 65


@on_both_loops
async def test_far_too_many_connections_are_closed_without_a_word() -> None:
    limits = EgressLimits(connections_max=2, over_bound_max=3, connects_per_s=1e6)
    async with open_gate(limits=limits) as gate:
        held = [await gate.connect() for _ in range(5)]
        await gate.wait_connections(5)
        for _ in range(20):
            peer = await gate.connect()
            assert await peer.read_to_end() == b""
            await peer.close()
        assert gate.gate.open_connections == 5
        for peer in held:
            await peer.close()
        await gate.wait_connections(0)


@on_both_loops
async def test_connections_beyond_the_pace_wait_in_the_backlog() -> None:
    limits = EgressLimits(connects_burst=2, connects_per_s=1e-6)
    async with open_gate(limits=limits, policy=EgressPolicy()) as gate:
        for _ in range(2):
            await gate.refusal("10.0.0.1", 80)
        late = await gate.connect()
        for _ in range(50):
            await asyncio.sleep(0)
        assert gate.gate.open_connections == 0
        assert gate.gate.listening
        await gate.gate.close()
        assert await late.read_to_end() == b""
        await late.close()


@on_both_loops
async def test_a_pace_that_was_exceeded_goes_on() -> None:
    limits = EgressLimits(connects_burst=1, connects_per_s=200)
    async with open_gate(limits=limits, policy=EgressPolicy()) as gate:
        for _ in range(5):
            await gate.refusal("10.0.0.1", 80)
        assert gate.gate.counts().refused == 5


@on_both_loops
async def test_what_is_held_for_a_slow_reader_is_bounded() -> None:
    size = 30_000_000
    read_on = asyncio.Event()

    async def pour_then_read_late(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(bytes(size))
        await read_on.wait()
        assert len(await reader.read(-1)) == size

    limits = EgressLimits()
    async with serve(pour_then_read_late) as port, open_gate(limits=limits) as gate:
        peer = await gate.tunnel(port)
        peer.writer.write(bytes(size))
        peer.writer.write_eof()
        (connection,) = gate.gate._connections
        relay = connection._relay
        assert relay is not None
        client, far = relay.client.transport, relay.far.transport
        assert client is not None
        assert far is not None
        while not (relay.client.paused and relay.far.paused):
            await asyncio.sleep(0)
            assert client.get_write_buffer_size() <= limits.buffer_bytes
            assert far.get_write_buffer_size() <= limits.buffer_bytes
        stopped = gate.gate.counts()
        for _ in range(200):
            await asyncio.sleep(0)
        assert gate.gate.counts() == stopped
        assert max(stopped.bytes_up, stopped.bytes_down) < size

        read_on.set()
        assert len(await peer.read_to_end()) == size
        await peer.close()
        await gate.wait_connections(0)


@on_both_loops
async def test_what_is_sent_before_the_answer_is_bounded() -> None:
    hung = asyncio.Event()

    class Hanging(Route):
        async def reach(self, host: Host, port: int, policy: EgressPolicy) -> socket.socket:
            await hung.wait()
            raise AssertionError

    limits = EgressLimits()
    route = Hanging(Names().share(1), limits)
    async with open_gate(route=route, limits=limits) as gate:
        peer = await gate.connect()
        peer.writer.write(b"CONNECT a.example:443 HTTP/1.1\r\n\r\n" + bytes(20_000_000))
        await gate.wait_connections(1)
        (connection,) = gate.gate._connections
        while len(connection._received) < limits.buffer_bytes:
            await asyncio.sleep(0)
        for _ in range(200):
            await asyncio.sleep(0)
        assert len(connection._received) <= limits.buffer_bytes + 256 * 1024  # and one read
        peer.abort()


@on_both_loops
async def test_a_sandbox_that_gives_up_ends_what_was_being_opened() -> None:
    ended = asyncio.Event()
    begun = asyncio.Event()

    class Hanging(Route):
        async def reach(self, host: Host, port: int, policy: EgressPolicy) -> socket.socket:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
            raise AssertionError

    async with open_gate(route=Hanging(Names().share(1), EgressLimits())) as gate:
        peer = await gate.connect()
        peer.writer.write(b"CONNECT a.example:443 HTTP/1.1\r\n\r\n")
        await begun.wait()
        await peer.close()
        await ended.wait()
        await gate.wait_connections(0)


@on_both_loops
async def test_a_sandbox_that_half_closes_and_goes_away_while_it_is_connected() -> None:
    go_on = asyncio.Event()

    class Held(Route):
        async def reach(self, host: Host, port: int, policy: EgressPolicy) -> socket.socket:
            await go_on.wait()
            return await super().reach(host, port, policy)

    async def read_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    route = Held(Names().share(1), EgressLimits())
    async with serve(read_all) as port, open_gate(route=route) as gate:
        peer = await gate.connect()
        peer.writer.write(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\nlast words".encode())
        peer.writer.write_eof()
        await gate.wait_connections(1)
        (connection,) = gate.gate._connections
        while not connection._ended:
            await asyncio.sleep(0)
        await peer.close()
        go_on.set()
        await gate.wait_connections(0)


@on_both_loops
async def test_nothing_moving_ends_a_connection() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    limits = EgressLimits(idle_timeout_s=0.02)
    async with serve(silent) as port, open_gate(limits=limits) as gate:
        peer = await gate.tunnel(port)
        half = await gate.tunnel(port)
        half.writer.write(b"x")
        for each in (peer, half):
            assert await each.read_to_end() == b""
            await each.close()
        await gate.wait_connections(0)


@on_both_loops
async def test_a_bound_on_bytes_ends_connections_and_refuses_new_ones() -> None:
    limits = EgressLimits(bytes_max=100_000)
    async with serve(echo) as port, open_gate(limits=limits) as gate:
        peer = await gate.tunnel(port)
        other = await gate.tunnel(port)
        assert await peer.exchange(bytes(20_000)) == bytes(20_000)
        peer.writer.write(bytes(200_000))
        assert len(await peer.read_to_end()) < 200_000
        assert await other.read_to_end() == b""
        assert await gate.refusal("127.0.0.1", port) == (429, "EMFILE")
        for each in (peer, other):
            await each.close()


@on_both_loops
async def test_a_defect_is_answered_and_noticed() -> None:
    class Broken(Route):
        async def reach(self, host: Host, port: int, policy: EgressPolicy) -> socket.socket:
            raise ZeroDivisionError

    errors = collect_errors()
    async with open_gate(route=Broken(Names().share(1), EgressLimits())) as gate:
        status, fields, peer = await gate.request("a.example", 443)
        assert (status, fields["X-Egress-Error"]) == (502, "EIO")
        await peer.close()
        await gate.wait_connections(0)
    assert [type(context["exception"]) for context in errors] == [ZeroDivisionError]


@on_both_loops
async def test_a_socket_that_breaks_stops_listening_and_says_so() -> None:
    errors = collect_errors()
    async with serve(echo) as port, open_gate() as gate:
        peer = await gate.tunnel(port)
        gate.gate._on_accept_error(OSError(errno.EAGAIN, "nobody there"))
        assert errors == []
        gate.gate._on_accept_error(OSError(errno.EMFILE, "no descriptors"))
        assert len(errors) == 1
        gate.gate._on_accept_error(OSError(errno.EINVAL, "broken"))
        assert not gate.gate.listening
        assert len(errors) == 2
        assert await peer.exchange(b"alive") == b"alive"
        await peer.close()


class Upper(asyncio.Protocol):
    """An internal host that answers in capitals and ends with its peer."""

    def __init__(self, lost: list[Exception | None]) -> None:
        self._lost = lost
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data.upper())

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost.append(exc)


@on_both_loops
async def test_an_internal_host_is_reached_under_every_policy() -> None:
    lost: list[Exception | None] = []
    internal = {"files.yunhan.internal:80": lambda: Upper(lost)}
    async with open_gate(policy=EgressPolicy(public=False), internal=internal) as gate:
        peer = await gate.connect()
        peer.writer.write(b"CONNECT Files.Yunhan.internal.:80 HTTP/1.1\r\n\r\nearly ")
        assert (await peer.answer())[0] == 200
        assert await peer.reader.readexactly(6) == b"EARLY "
        assert await peer.exchange(b"123") == b"123"
        peer.writer.write_eof()
        assert await peer.read_to_end() == b""
        await peer.close()
        await gate.wait_connections(0)
        assert lost == [None]

        held = await gate.tunnel(80, "files.yunhan.internal")
        await gate.gate.close()
        assert await held.read_to_end() == b""
        await held.close()
        assert len(lost) == 2


@pytest.mark.parametrize("text", ["files.yunhan.internal", "127.0.0.1:80", "a b:80", "a.example:0"])
async def test_an_internal_host_is_a_name_and_a_port(text: str, short_dir: Path) -> None:
    with pytest.raises(ValueError, match="internal host"):
        EgressGate(short_dir / "egress", names=Names(), internal={text: asyncio.Protocol})
    assert not (short_dir / "egress").exists()


async def test_a_path_that_is_too_long_or_taken_is_an_error(short_dir: Path) -> None:
    with pytest.raises(SandboxError, match="a unix socket takes fewer than"):
        EgressGate(short_dir / ("x" * 100), names=Names())
    with pytest.raises(SandboxError, match="cannot be made"):
        EgressGate(short_dir / "missing" / "egress", names=Names())
    gate = EgressGate(short_dir / "egress", names=Names())
    with pytest.raises(SandboxError, match="cannot be made"):
        EgressGate(short_dir / "egress", names=Names())
    await gate.close()


@pytest.fixture
def short_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("e")
