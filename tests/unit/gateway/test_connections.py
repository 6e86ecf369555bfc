"""How long a client may keep us waiting, and how many clients there may be: over real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
import tracemalloc

import pytest

from runtime.gateway import connections as module
from runtime.gateway import refused_connections
from tests.harness.polling import until
from tests.unit.gateway.listening import (
    BIG,
    BOTH,
    GET,
    GET_BIG,
    GET_WAIT,
    Bounds,
    Gateway,
    OnLoop,
    read_answer,
    read_end,
    trickle,
)

LONG_HEAD = b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * 4000


# --- heads ------------------------------------------------------------------------------------


@BOTH
def test_a_silent_connection_is_cut(on_loop: OnLoop, tls: bool) -> None:
    async def body(gateway: Gateway) -> None:
        reader, _ = await gateway.connect(tls=tls)
        assert await read_end(reader) == b""
        assert (gateway.connections.cut_head, gateway.begun) == (1, 0)

    on_loop(Bounds(head_timeout_s=0.05), body)


@BOTH
def test_a_head_that_comes_byte_by_byte_is_cut(on_loop: OnLoop, tls: bool) -> None:
    async def body(gateway: Gateway) -> None:
        reader, writer = await gateway.connect(tls=tls)
        ended = asyncio.ensure_future(read_end(reader))
        await trickle(writer, LONG_HEAD, ended)
        assert await ended == b""
        assert (gateway.connections.cut_head, gateway.begun) == (1, 0)

    on_loop(Bounds(head_timeout_s=0.1), body)


def test_after_its_first_head_a_connection_has_time(on_loop: OnLoop) -> None:
    async def body(gateway: Gateway) -> None:
        reader, writer = await gateway.connect()
        writer.write(GET_WAIT)
        await until(lambda: gateway.begun == 1)
        silent, _ = await gateway.connect()
        await read_end(silent)  # which began later: the other one's time would be over
        gateway.go_on.set()
        assert (await read_answer(reader))[0] == 200
        writer.write(GET)
        assert (await read_answer(reader))[0] == 200
        assert gateway.connections.cut_head == 1

    on_loop(Bounds(head_timeout_s=0.3), body)


@BOTH
def test_silence_after_a_request_ends_the_connection(on_loop: OnLoop, tls: bool) -> None:
    async def body(gateway: Gateway) -> None:
        reader, writer = await gateway.connect(tls=tls)
        writer.write(GET)
        assert (await read_answer(reader))[0] == 200
        assert await read_end(reader) == b""
        await until(lambda: len(gateway.connections) == 0)
        assert gateway.connections.cut_head == 0

    on_loop(Bounds(keepalive_s=0.3), body)


@BOTH
def test_a_second_head_that_comes_byte_by_byte_ends_the_connection(
    on_loop: OnLoop, tls: bool
) -> None:
    async def body(gateway: Gateway) -> None:
        reader, writer = await gateway.connect(tls=tls)
        writer.write(GET)
        assert (await read_answer(reader))[0] == 200
        ended = asyncio.ensure_future(read_end(reader))
        await trickle(writer, LONG_HEAD, ended)
        assert await ended == b""
        assert gateway.begun == 1

    on_loop(Bounds(keepalive_s=0.3), body)


# --- answers that nobody takes ----------------------------------------------------------------


@BOTH
def test_a_client_that_never_reads_is_cut(on_loop: OnLoop, tls: bool) -> None:
    async def body(gateway: Gateway) -> None:
        _, writer = await gateway.connect(tls=tls, receive_bytes=4096)
        writer.write(GET_BIG)
        await until(lambda: gateway.ended == 1 and len(gateway.connections) == 0)
        assert gateway.connections.cut_stalled == 1

    on_loop(Bounds(write_stall_s=0.2), body)


def test_it_is_cut_without_the_help_of_the_system(
    on_loop: OnLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(socket, "TCP_USER_TIMEOUT", raising=False)
    test_a_client_that_never_reads_is_cut(on_loop, tls=False)


def test_what_is_left_when_a_connection_closes_does_not_keep_it_open(on_loop: OnLoop) -> None:
    """Less than the flow control notices, and aiohttp has closed: nothing but the system is left."""
    if not hasattr(socket, "TCP_USER_TIMEOUT"):
        pytest.skip("this system has no option for it")

    async def body(gateway: Gateway) -> None:
        _, writer = await gateway.connect(receive_bytes=4096)
        n = b"z" * 3000
        writer.write(GET.replace(b"/ ", b"/?n=" + n + b" ", 1) * 40)
        await until(lambda: gateway.begun > 1 and len(gateway.connections) == 0)

    on_loop(Bounds(write_stall_s=0.3, keepalive_s=0.3), body)


class Wire:
    """A transport of which only the unsent bytes matter: what each look finds."""

    def __init__(self, *unsent: int, address: socket.socket | None = None) -> None:
        self.unsent = list(unsent)
        self.cut = False
        self._address = address

    def get_extra_info(self, name: str) -> socket.socket | None:
        assert name == "socket"
        return self._address

    def get_write_buffer_size(self) -> int:
        return self.unsent.pop(0)

    def abort(self) -> None:
        self.cut = True


def paused(wire: Wire) -> module.Connection:
    """A connection whose transport has just said that it takes no more."""

    class Owner:
        server = type("Server", (), {"request_handler": None, "request_factory": None})()
        loop = asyncio.get_running_loop()
        keepalive_s = 1
        write_stall_s = 0
        cut_stalled = 0
        head_field_max_bytes = 8190
        head_fields_max = 64
        linger_s = 1

    connection = module.Connection(Owner())  # type: ignore[arg-type]
    connection._wire = wire  # type: ignore[assignment]
    connection.pause_writing()
    return connection


async def test_slow_is_not_stalled() -> None:
    """The bound is on progress: each look compares with the one before."""
    wire = Wire(500, 400, 300, 300)
    paused(wire)
    await until(lambda: wire.cut)
    assert wire.unsent == []


async def test_what_the_system_still_holds_counts_too() -> None:
    """Ours stands still while a client takes what is in the system's buffers."""
    ours, client = socket.socketpair()
    with ours, client:
        ours.send(b"x" * 1000)
        wire = Wire(500, 500, 500, 500, address=ours)
        connection = paused(wire)
        before = module._unsent(wire)  # type: ignore[arg-type]
        client.recv(1000)
        assert module._unsent(wire) < before  # type: ignore[arg-type]
        connection.resume_writing()
    assert not wire.cut


async def test_an_answer_that_is_taken_is_watched_no_longer() -> None:
    connection = paused(Wire(500))
    timer = connection._stall_timer
    assert timer is not None
    connection.resume_writing()
    assert timer.cancelled()
    assert connection._stall_timer is None


# --- how many ---------------------------------------------------------------------------------


@BOTH
def test_connections_beyond_the_bound_are_refused(on_loop: OnLoop, tls: bool) -> None:
    async def body(gateway: Gateway) -> None:
        first, one = await gateway.connect()
        other, two = await gateway.connect(tls=True)
        await until(lambda: len(gateway.connections) == 2)

        reader, writer = await gateway.connect(tls=tls)
        writer.write(GET)
        status, headers, answer = await read_answer(reader)
        assert status == 503
        assert headers["connection"] == "close"
        assert headers["retry-after"] == "1"
        assert headers["content-type"] == "application/json; charset=utf-8"
        refusal = json.loads(answer)
        assert refusal["success"] is False
        assert refusal["error"]["code"] == "Throttling.Api.Concurrency"
        assert refusal["requestId"] == headers["request-id"]
        writer.close()
        assert await read_end(reader) == b""
        assert (gateway.connections.refused, gateway.begun) == (1, 0)

        for stream, client in ((first, one), (other, two)):
            client.write(GET)
            assert (await read_answer(stream))[0] == 200
        one.close()
        await until(lambda: len(gateway.connections) == 1)
        reader, writer = await gateway.connect(tls=tls)
        writer.write(GET)
        assert (await read_answer(reader))[0] == 200

    on_loop(Bounds(connections_max=2), body)


def test_the_refusal_arrives_though_the_client_still_sends(on_loop: OnLoop) -> None:
    async def body(gateway: Gateway) -> None:
        await gateway.connect()
        await until(lambda: len(gateway.connections) == 1)
        reader, writer = await gateway.connect()
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1048576\r\n\r\n" + BIG)
        await writer.drain()
        assert (await read_answer(reader))[0] == 503

    on_loop(Bounds(connections_max=1), body)


def test_refused_connections_are_bounded_too(
    on_loop: OnLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REFUSED_AT_ONCE_MAX", 1)
    monkeypatch.setattr(refused_connections, "LINGER_S", 0.2)

    async def body(gateway: Gateway) -> None:
        await gateway.connect()
        await until(lambda: len(gateway.connections) == 1)
        refused, _ = await gateway.connect()
        assert (await read_answer(refused))[0] == 503
        for tls in (False, True):
            reader, _ = await gateway.connect(tls=tls)
            assert await read_end(reader) == b""
        assert gateway.connections.refused == 3
        # The one that was answered does not go on its own accord: it is cut.
        await until(lambda: not gateway.connections._refusing)

    on_loop(Bounds(connections_max=1), body)


def test_five_hundred_slow_heads_need_little_memory(on_loop: OnLoop) -> None:
    async def body(gateway: Gateway) -> None:
        clients: list[socket.socket] = []
        try:
            for _ in range(500):
                client = socket.create_connection(("127.0.0.1", gateway.port))
                clients.append(client)
                await asyncio.sleep(0)
            await until(lambda: len(gateway.connections) == 500)
            tracemalloc.start()
            for at in range(0, 2000, 20):
                for client in clients:
                    client.sendall(LONG_HEAD[at : at + 20])
                await asyncio.sleep(0)
            assert gateway.begun == 0
            grown, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            for client in clients:
                client.close()
        assert grown < 500 * 16 * 1024
        await until(lambda: len(gateway.connections) == 0)

    on_loop(Bounds(), body)
