"""How connections end, of themselves and with the program, and what answers faults and what is no HTTP."""

from __future__ import annotations

import json
import socket
import struct

import pytest
from structlog.testing import capture_logs

from runtime.gateway import refused_connections
from tests.harness.polling import until
from tests.unit.gateway.listening import (
    BOTH,
    GET,
    GET_BIG,
    GET_FAIL,
    GET_WAIT,
    Bounds,
    Gateway,
    OnLoop,
    read_answer,
    read_end,
)

# --- ends of all kinds ------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("sent", [b"", GET[:20], GET_WAIT, GET_BIG, b"\x00" * 100])
def test_a_reset_leaves_nothing_behind(on_loop: OnLoop, sent: bytes, tls: bool) -> None:
    async def body(gateway: Gateway) -> None:
        _, writer = await gateway.connect(tls=tls, receive_bytes=4096)
        await until(lambda: len(gateway.connections) == 1)
        (connection,) = gateway.connections._open
        writer.write(sent)
        if sent in {GET_WAIT, GET_BIG}:
            await until(lambda: gateway.begun == 1)
        writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        writer.transport.abort()
        await until(lambda: len(gateway.connections) == 0)
        assert connection._head_timer is None
        assert connection._stall_timer is None
        gateway.go_on.set()
        await until(lambda: gateway.ended == gateway.begun)
        reader, writer = await gateway.connect(tls=tls)
        writer.write(GET)
        assert (await read_answer(reader))[0] == 200

    on_loop(Bounds(), body)


@pytest.mark.parametrize("sent", [b"", GET[:20], GET_WAIT])
def test_a_half_closed_connection_ends(on_loop: OnLoop, sent: bytes) -> None:
    async def body(gateway: Gateway) -> None:
        reader, writer = await gateway.connect()
        writer.write(sent)
        if sent == GET_WAIT:
            await until(lambda: gateway.begun == 1)
        writer.write_eof()
        assert await read_end(reader) == b""
        await until(lambda: len(gateway.connections) == 0)
        gateway.go_on.set()
        await until(lambda: gateway.ended == gateway.begun)

    on_loop(Bounds(), body)


@BOTH
def test_pipelined_requests_are_answered_in_order(on_loop: OnLoop, tls: bool) -> None:
    async def body(gateway: Gateway) -> None:
        reader, writer = await gateway.connect(tls=tls)
        numbers = [str(number) for number in range(100)]
        writer.write(b"".join(GET.replace(b"/ ", f"/?n={n} ".encode(), 1) for n in numbers))
        assert [(await read_answer(reader))[2].decode() for _ in numbers] == numbers

    on_loop(Bounds(), body)


def test_cleanup_and_abort_end_every_kind_of_connection(
    on_loop: OnLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refused_connections, "LINGER_S", 1000)

    async def body(gateway: Gateway) -> None:
        await gateway.connect()
        _, stuck = await gateway.connect(tls=True, receive_bytes=4096)
        stuck.write(GET_BIG)
        _, waiting = await gateway.connect()
        waiting.write(GET_WAIT)
        await until(lambda: gateway.begun == 2 and len(gateway.connections) == 3)
        await gateway.connect()
        await until(lambda: gateway.connections.refused == 1)
        await gateway.runner.cleanup()
        gateway.connections.abort()
        gateway.connections.abort()
        await until(lambda: len(gateway.connections) == 0 and not gateway.connections._refusing)
        assert gateway.ended == 2

    on_loop(Bounds(connections_max=3), body)


# --- answers to what is no HTTP, and to faults ------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nbad header\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        b"GET /" + b"y" * 20_000 + b" HTTP/1.1\r\n\r\n",
    ],
    ids=["tls", "version", "header", "length", "smuggling", "long"],
)
@pytest.mark.parametrize("second", [False, True], ids=["first", "second"])
def test_what_is_no_http_is_answered_in_json_and_not_logged(
    on_loop: OnLoop, sent: bytes, second: bool
) -> None:
    async def body(gateway: Gateway) -> None:
        reader, writer = await gateway.connect()
        if second:
            writer.write(GET)
            assert (await read_answer(reader))[0] == 200
        writer.write(sent)
        with capture_logs() as lines:
            status, headers, answer = await read_answer(reader)
            assert await read_end(reader) == b""
        assert status == 400
        assert headers["server"] == "yunhan"
        refusal = json.loads(answer)
        assert refusal["requestId"] == headers["request-id"]
        assert refusal["error"]["code"] == "BadRequest"
        assert refusal["error"]["message"].isprintable()
        assert {line["log_level"] for line in lines} <= {"debug"}
        await until(lambda: len(gateway.connections) == 0)
        assert gateway.connections.malformed == 1
        assert gateway.connections.cut_head == 0

    on_loop(Bounds(), body)


def test_a_fault_of_ours_is_answered_in_json_and_logged_once(on_loop: OnLoop) -> None:
    async def body(gateway: Gateway) -> None:
        reader, writer = await gateway.connect()
        with capture_logs() as lines:
            writer.write(GET_FAIL)
            status, headers, answer = await read_answer(reader)
            assert await read_end(reader) == b""
        assert status == 500
        assert "a fault of ours" not in answer.decode()
        assert json.loads(answer)["requestId"] == headers["request-id"]
        (line,) = lines
        assert line["event"] == "request_failed"
        assert line["request_id"] == headers["request-id"]
        assert isinstance(line["exc_info"], LookupError)

    on_loop(Bounds(), body)


def test_the_numbers_are_shown(on_loop: OnLoop) -> None:
    async def body(gateway: Gateway) -> None:
        _, writer = await gateway.connect()
        await until(lambda: len(gateway.connections) == 1)
        gauges = dict(gateway.connections.gauges())
        assert gauges.pop("connections_open") == 1
        assert set(gauges.values()) == {0}
        writer.close()

    on_loop(Bounds(), body)
