"""Accepting, TLS handshakes that do not come, and stopping: over real sockets."""

from __future__ import annotations

import asyncio
import socket

import pytest
from structlog.testing import capture_logs

from runtime.gateway import listeners as module
from tests.harness.polling import until
from tests.unit.gateway.listening import (
    BOTH,
    GET,
    GET_WAIT,
    Bounds,
    Gateway,
    OnLoop,
    read_answer,
    read_end,
)


async def open_raw(gateway: Gateway) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """At the TLS port, without TLS."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.tls_port)
    gateway.clients.append(writer)
    return reader, writer


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"])
def test_a_handshake_that_does_not_come_is_ended(on_loop: OnLoop, sent: bytes) -> None:
    async def body(gateway: Gateway) -> None:
        reader, writer = await open_raw(gateway)
        writer.write(sent)
        assert await read_end(reader) == b""
        await until(lambda: gateway.connections.handshakes_failed == 1)
        assert len(gateway.connections) == 0

    on_loop(Bounds(handshake_timeout_s=0.1), body)


@pytest.mark.parametrize("sent", [GET, b"\x00" * 2000, b"\x16\x03\x01\x00\x05" + b"\xff" * 5])
def test_what_is_no_tls_is_ended(on_loop: OnLoop, sent: bytes) -> None:
    async def body(gateway: Gateway) -> None:
        reader, writer = await open_raw(gateway)
        writer.write(sent)
        await read_end(reader)
        await until(lambda: gateway.connections.handshakes_failed == 1)

    on_loop(Bounds(), body)


def test_handshakes_are_bounded_and_others_wait_their_turn(on_loop: OnLoop) -> None:
    async def body(gateway: Gateway) -> None:
        silent = [await open_raw(gateway) for _ in range(3)]
        reader, writer = await gateway.connect(tls=True)
        writer.write(GET)
        assert (await read_answer(reader))[0] == 200
        assert gateway.connections.handshakes_failed >= 2  # two at once: so many had to go before
        for stream, _ in silent:
            assert await read_end(stream) == b""

    on_loop(Bounds(handshakes_max=2, handshake_timeout_s=0.4), body)


def test_clients_that_say_nothing_keep_nobody_out(on_loop: OnLoop) -> None:
    async def body(gateway: Gateway) -> None:
        silent = [await open_raw(gateway) for _ in range(50)]
        reader, writer = await gateway.connect(tls=True)
        writer.write(GET)
        assert (await read_answer(reader))[0] == 200
        for stream, _ in silent[:40]:  # the youngest have their time still
            assert await read_end(stream) == b""

    on_loop(Bounds(handshakes_max=5, handshake_timeout_s=50), body)


def test_a_client_that_goes_during_the_handshake_frees_its_place(on_loop: OnLoop) -> None:
    async def body(gateway: Gateway) -> None:
        for _ in range(5):
            _, writer = await open_raw(gateway)
            writer.transport.abort()
        reader, writer = await gateway.connect(tls=True)
        writer.write(GET)
        assert (await read_answer(reader))[0] == 200
        assert gateway.connections.handshakes_failed == 5

    on_loop(Bounds(handshakes_max=1), body)


@BOTH
def test_after_a_stop_calls_end_and_nobody_comes(on_loop: OnLoop, tls: bool) -> None:
    async def body(gateway: Gateway) -> None:
        reader, writer = await gateway.connect(tls=tls)
        writer.write(GET_WAIT)
        await until(lambda: gateway.begun == 1)
        for site in gateway.runner.sites:
            await site.stop()
        with pytest.raises(ConnectionRefusedError):
            await gateway.connect(tls=tls)
        gateway.go_on.set()
        assert (await read_answer(reader))[0] == 200
        await gateway.runner.cleanup()
        assert await read_end(reader) == b""

    on_loop(Bounds(), body)


def test_a_stop_closes_handshakes_under_way(on_loop: OnLoop) -> None:
    async def body(gateway: Gateway) -> None:
        streams = [await open_raw(gateway) for _ in range(5)]
        for site in gateway.runner.sites:
            await site.stop()
        for reader, _ in streams:
            assert await read_end(reader) == b""

    on_loop(Bounds(handshakes_max=3), body)


def test_a_listener_outlives_trouble_with_accepting(
    on_loop: OnLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ACCEPT_RETRY_S", 0)

    async def body(gateway: Gateway) -> None:
        accept = socket.socket.accept
        troubles = [OSError(24, "Too many open files"), LookupError("a defect")]

        def failing(address: socket.socket) -> tuple[socket.socket, object]:
            if troubles:
                raise troubles.pop()
            return accept(address)

        monkeypatch.setattr(socket.socket, "accept", failing)
        with capture_logs() as lines:
            for _ in range(3):  # the first is for the accept that was under way
                reader, writer = await gateway.connect(tls=True)
                writer.write(GET)
                assert (await read_answer(reader))[0] == 200
        assert [line["event"] for line in lines].count("accept_failed") == 2

    on_loop(Bounds(handshakes_max=1), body)
