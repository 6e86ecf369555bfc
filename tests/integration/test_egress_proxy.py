"""The gate as a sandbox sees it: answers, bytes both ways, ends, and nothing left over."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

import pytest

from sandbox.egress.counts import EgressCounts
from sandbox.egress.limits import EgressLimits
from sandbox.egress.policy import EgressPolicy
from tests.harness.program import free_port
from tests.integration.egress_support import (
    LOOPBACK,
    Refused,
    echo,
    on_both_loops,
    open_gate,
    serve,
)

pytestmark = pytest.mark.integration


@on_both_loops
async def test_bytes_go_both_ways_and_are_counted() -> None:
    async with serve(echo) as port, open_gate() as gate:
        before = gate.gate.counts()
        peer = await gate.tunnel(port)
        for size in (1, 100, 65_536, 1_000_003):
            data = bytes(range(256)) * (size // 256 + 1)
            assert await peer.exchange(data[:size]) == data[:size]
        await peer.close()
        await gate.wait_connections(0)

        moved = 1 + 100 + 65_536 + 1_000_003
        assert gate.gate.counts() - before == EgressCounts(
            connections=1, bytes_up=moved, bytes_down=moved
        )


@on_both_loops
async def test_a_name_is_resolved_and_dialled() -> None:
    looked_up: list[str] = []

    def lookup(name: str) -> Sequence[str]:
        looked_up.append(name)
        return ["127.0.0.1"]

    policy = EgressPolicy.from_text(allow="db.internal")
    async with serve(echo) as port, open_gate(policy=policy, lookup=lookup) as gate:
        peer = await gate.tunnel(port, "DB.Internal.")
        assert await peer.exchange(b"hello") == b"hello"
        await peer.close()
        assert await gate.refusal("127.0.0.1", port) == (403, "EACCES")
        assert await gate.refusal("other.internal", port) == (403, "EACCES")

    assert looked_up == ["db.internal", "other.internal"]


@on_both_loops
async def test_a_refusal_is_answered_told_and_counted() -> None:
    refused = Refused()
    async with open_gate(policy=EgressPolicy(), on_refused=refused) as gate:
        status, fields, peer = await gate.request("169.254.169.254", 80)
        assert status == 403
        assert fields == {
            "X-Egress-Error": "EACCES",
            "X-Egress-Reason": "169.254.169.254 is a link-local address, which needs an allow rule"
            ": yunhan egress allow SPACE 169.254.169.254:80, or YUNHAN_EGRESS_ALLOW",
        }
        assert await peer.read_to_end() == b""
        await peer.close()
        assert await gate.refusal("0x7f.1", 80) == (403, "EACCES")
        assert await gate.refusal("localhost", "http") == (403, "EACCES")
        assert gate.gate.counts() == EgressCounts(refused=3)

    assert [(host, port) for host, port, _ in refused.lines] == [
        ("169.254.169.254", 80),
        ("0x7f.1", 80),
        ("localhost", None),
    ]


@on_both_loops
async def test_many_refusals_are_told_in_part() -> None:
    refused = Refused()
    limits = EgressLimits(refusals_told_max=3)
    async with open_gate(policy=EgressPolicy(), limits=limits, on_refused=refused) as gate:
        for _ in range(8):
            await gate.refusal("10.0.0.1", 80)
        assert len(refused.lines) == 3
        assert gate.gate.take_untold() == 5
        await gate.refusal("10.0.0.1", 80)
        assert len(refused.lines) == 4
        assert gate.gate.counts().refused == 9


@on_both_loops
async def test_what_cannot_be_reached_has_the_code_of_the_system() -> None:
    def lookup(name: str) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "x")

    async with open_gate(lookup=lookup) as gate:
        assert await gate.refusal("127.0.0.1", free_port()) == (502, "ECONNREFUSED")
        assert await gate.refusal("nowhere.example", 80) == (502, "ENOTFOUND")
        assert gate.gate.counts() == EgressCounts(failed=2)


@on_both_loops
async def test_the_policy_may_change_while_connections_are_open() -> None:
    async with serve(echo) as port, open_gate(policy=EgressPolicy()) as gate:
        assert await gate.refusal("127.0.0.1", port) == (403, "EACCES")
        gate.gate.policy = LOOPBACK
        peer = await gate.tunnel(port)
        gate.gate.policy = EgressPolicy()
        assert await gate.refusal("127.0.0.1", port) == (403, "EACCES")
        assert await peer.exchange(b"still") == b"still"
        await peer.close()


@on_both_loops
async def test_what_is_sent_before_the_answer_is_passed_on() -> None:
    async with serve(echo) as port, open_gate() as gate:
        peer = await gate.connect()
        data = b"early" * 40_000
        peer.writer.write(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n".encode() + data)
        peer.writer.write_eof()
        assert (await peer.answer())[0] == 200
        assert await peer.read_to_end() == data
        await peer.close()


@on_both_loops
async def test_the_sandbox_may_close_its_half() -> None:
    async def answer_after_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.read()
        writer.write(data[::-1] * 10_000)

    async with serve(answer_after_end) as port, open_gate() as gate:
        peer = await gate.tunnel(port)
        peer.writer.write(b"abc")
        peer.writer.write_eof()
        assert await peer.read_to_end() == b"cba" * 10_000
        await peer.close()
        await gate.wait_connections(0)


@on_both_loops
async def test_the_far_side_may_close_its_half() -> None:
    received: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def greet_and_listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.write_eof()
        received.set_result(await reader.read())

    async with serve(greet_and_listen) as port, open_gate() as gate:
        peer = await gate.tunnel(port)
        assert await peer.read_to_end() == b"hello"
        peer.writer.write(b"x" * 300_000)
        peer.writer.write_eof()
        assert await received == b"x" * 300_000
        await peer.close()
        await gate.wait_connections(0)


@on_both_loops
async def test_what_was_sent_before_a_full_close_arrives() -> None:
    received: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    go_on = asyncio.Event()

    async def read_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await go_on.wait()
        received.set_result(await reader.read())

    async with serve(read_late) as port, open_gate() as gate:
        peer = await gate.tunnel(port)
        peer.writer.write(b"x" * 400_000)
        await peer.close()
        go_on.set()
        assert await received == b"x" * 400_000
        await gate.wait_connections(0)


@on_both_loops
async def test_a_connection_that_the_sandbox_dropped_is_not_kept_for_a_silent_server() -> None:
    ended = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()

    async with serve(silent) as port, open_gate() as gate:
        peer = await gate.tunnel(port)
        await peer.close()
        await gate.wait_connections(0)
        ended.set()


@on_both_loops
async def test_a_reset_by_the_far_side_ends_the_sandbox_side() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        connection = writer.get_extra_info("socket")
        raw = socket.socket(fileno=connection.fileno())
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        raw.detach()
        writer.transport.abort()

    async with serve(reset) as port, open_gate() as gate:
        peer = await gate.tunnel(port)
        peer.writer.write(b"x")
        assert await peer.read_to_end() == b""
        await gate.wait_connections(0)
        await peer.close()


@on_both_loops
async def test_an_abort_by_the_sandbox_with_unread_data_resets_the_far_side() -> None:
    error: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                writer.write(bytes(65536))
                await writer.drain()
        except ConnectionError as caught:
            error.set_result(caught)
            raise

    async with serve(pour) as port, open_gate() as gate:
        peer = await gate.tunnel(port)
        await peer.reader.readexactly(100_000)
        peer.abort()
        assert isinstance(await error, ConnectionError)
        await gate.wait_connections(0)


@on_both_loops
async def test_closing_the_gate_ends_everything_in_every_state() -> None:
    hung = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(bytes(65536))
            await writer.drain()

    async def drained(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await hung.wait()

    async with (
        serve(silent) as quiet,
        serve(pour) as loud,
        serve(drained) as deaf,
        open_gate() as gate,
    ):
        peers = [await gate.connect() for _ in range(3)]
        peers[1].writer.write(b"CONNECT 127.0")
        peers += [await gate.tunnel(quiet) for _ in range(3)]
        peers += [await gate.tunnel(loud) for _ in range(3)]
        full = await gate.tunnel(deaf)
        full.writer.write(bytes(20_000_000))
        half = await gate.tunnel(quiet)
        half.writer.write_eof()
        newest = await gate.connect()
        await gate.gate.close()
        assert gate.gate.open_connections == 0
        assert not gate.gate.listening
        hung.set()
        for peer in [*peers, full, half, newest]:
            await peer.read_to_end()
            await peer.close()
        await gate.gate.close()
        with pytest.raises(OSError, match=r".*"):
            await gate.connect()


@on_both_loops
async def test_closing_the_gate_ends_what_is_being_opened() -> None:
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()

    def lookup(name: str) -> Sequence[str]:
        loop.call_soon_threadsafe(asked.set)
        return ["127.0.0.1"]

    async with serve(echo) as port:
        for turns in range(25):  # wherever it is: looking up, connecting, handing over
            asked.clear()
            async with open_gate(lookup=lookup) as gate:
                peer = await gate.connect()
                peer.writer.write(f"CONNECT localhost:{port} HTTP/1.1\r\n\r\n".encode())
                await asked.wait()
                for _ in range(turns):
                    await asyncio.sleep(0)
                await gate.gate.close()
                await peer.read_to_end()
                await peer.close()
