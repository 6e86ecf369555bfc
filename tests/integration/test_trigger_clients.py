"""Clients that are slow, break off or flood end at a limit, leave nothing behind and hurt nobody."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
import tracemalloc
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.harness.trigger_gateway import TriggerGateway, open_gateway, raw_request, serves
from tests.harness.wire import Wire

FDS = Path("/proc/self/fd")

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not FDS.is_dir(), reason="counts descriptors by /proc"),
]

TEXT = "content-type: text/plain"
CLIENTS = 200
DRIBBLE_S = 0.02
SHORT_S = 0.15
"""The limits that clients below run into; the others stay long, so that the right one is seen."""
CROWD_S = 3.0
"""The same for many clients at once: also the last of them has come to its misdeed by then."""
HEAD = raw_request("/http/f", headers=("x-a: b",))
POST = raw_request("/http/f", method="POST", headers=(TEXT, "content-length: 1000"))
CHUNKED = raw_request("/http/f", method="POST", headers=(TEXT, "transfer-encoding: chunked"))


async def dribble(wire: Wire, data: bytes) -> bytes:
    """Send a byte at a time until something comes back or the connection ends; what came."""
    reading = asyncio.ensure_future(wire.reader.read(65536))
    for at in range(len(data)):
        with suppress(ConnectionError):
            wire.writer.write(data[at : at + 1])
        done, _ = await asyncio.wait({reading}, timeout=DRIBBLE_S)
        if done:
            break
    try:
        return await reading
    except ConnectionError:
        return b""


async def test_a_head_that_dribbles_in_is_cut_off() -> None:
    async with open_gateway(head_timeout_s=SHORT_S) as gateway, gateway.connect() as wire:
        assert await dribble(wire, HEAD[:-2] + b"x-b: c\r\n" * 1000) == b""
        assert gateway.connections.cut_head == 1
        assert gateway.seen == []
        await serves(gateway)


async def test_silence_is_cut_off() -> None:
    async with open_gateway(head_timeout_s=SHORT_S) as gateway, gateway.connect() as wire:
        assert await wire.rest() == []
        assert gateway.connections.cut_head == 1


async def test_the_next_head_has_a_limit_too() -> None:
    async with open_gateway(keepalive_s=SHORT_S) as gateway, gateway.connect() as wire:
        await wire.send(HEAD)
        assert (await wire.answer()).status == 200
        assert await dribble(wire, HEAD[:-2] + b"x-b: c\r\n" * 1000) == b""
        assert len(gateway.seen) == 1


@pytest.mark.parametrize(
    ("start", "rest"),
    [(POST, b"a" * 900), (CHUNKED, b"1\r\na\r\n" * 200), (CHUNKED, b"a00;" + b"e" * 900)],
    ids=["length", "chunks", "endless extension"],
)
async def test_a_body_that_dribbles_in_is_refused(start: bytes, rest: bytes) -> None:
    async with open_gateway(body_timeout_s=SHORT_S) as gateway, gateway.connect() as wire:
        await wire.send(start)
        wire.unread = await dribble(wire, rest)
        answer = await wire.answer()
        assert answer.status == 408
        assert b'"RequestTimeout"' in answer.body
        assert answer.get("request-id")
        assert gateway.seen == []
        await serves(gateway)


async def test_an_endless_body_is_refused_at_its_bound_not_at_its_end() -> None:
    async with open_gateway() as gateway, gateway.connect() as wire:
        await wire.send(CHUNKED)
        answering = asyncio.ensure_future(wire.answer())
        while not answering.done():
            with suppress(ConnectionError):
                await wire.send(b"400\r\n%b\r\n" % (b"a" * 1024))
            await asyncio.sleep(0)
        assert (await answering).status == 413


async def test_a_client_that_takes_nothing_is_cut_off() -> None:
    """Its answers fill the buffers of both sides; what it asked for later is not run."""
    async with open_gateway(write_stall_s=SHORT_S) as gateway:
        gateway.returns("x" * (1024 * 1024))
        request = raw_request("/http/f", host="mp-wide.fn.localhost")
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_connect(client, ("127.0.0.1", gateway.port))
            await loop.sock_sendall(client, request * 50)
            async with asyncio.timeout(20):
                while gateway.connections.cut_stalled == 0:
                    await asyncio.sleep(0.01)
        finally:
            client.close()
        assert len(gateway.seen) < 50
        await serves(gateway)


async def test_requests_are_not_read_ahead_without_bound() -> None:
    """While a function runs, a client may send on and on: the bytes stay in its own buffers."""
    async with open_gateway() as gateway:
        go = asyncio.Event()

        async def wait(_: Any) -> str:
            await go.wait()
            return "x"

        gateway.script = wait
        async with gateway.connect() as wire:
            sent = 0
            flood = raw_request("/http/f", headers=("x-a: " + "b" * 4000,)) * 50
            with suppress(TimeoutError):
                while sent < 100 * len(flood):
                    async with asyncio.timeout(0.3):
                        await wire.send(flood)
                    sent += len(flood)
            assert sent < 100 * len(flood), "20 MB were taken in"
            go.set()
            gateway.returns("x")
            answers = [await wire.answer() for _ in range(200)]
            assert {answer.status for answer in answers} == {200}


async def test_connections_beyond_the_bound_are_told() -> None:
    async with open_gateway(connections_max=2) as gateway:
        async with gateway.connect() as one, gateway.connect() as two:
            for wire in (one, two):
                await wire.send(HEAD)
                assert (await wire.answer()).status == 200
            async with gateway.connect() as third:
                [answer] = await third.rest()
        assert (answer.status, answer.get("retry-after")) == (503, "1")
        assert answer.get("request-id")
        while len(gateway.connections):
            await asyncio.sleep(0)
        await serves(gateway)


# --- many at once -----------------------------------------------------------------------------

Misdeed = Callable[[Wire], Awaitable[None]]


def reset(wire: Wire) -> None:
    """Close with a reset instead of a farewell."""
    client = wire.writer.get_extra_info("socket")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.writer.transport.abort()


async def leave_in_the_head(wire: Wire) -> None:
    await wire.send(HEAD[:20])


async def leave_in_the_body(wire: Wire) -> None:
    await wire.send(POST + b"abc")


async def leave_in_a_chunk(wire: Wire) -> None:
    await wire.send(CHUNKED + b"fff\r\nabc")


async def reset_in_the_head(wire: Wire) -> None:
    await wire.send(HEAD[:20])
    reset(wire)


async def reset_in_the_body(wire: Wire) -> None:
    await wire.send(POST + b"abc")
    reset(wire)


async def reset_before_the_answer(wire: Wire) -> None:
    await wire.send(HEAD * 3)
    reset(wire)


async def half_close_in_the_body(wire: Wire) -> None:
    await wire.send(POST + b"abc")
    wire.writer.write_eof()
    await wire.rest()


async def half_close_after_the_request(wire: Wire) -> None:
    await wire.send(HEAD)
    wire.writer.write_eof()
    await wire.rest()


async def stay_silent(wire: Wire) -> None:
    await wire.rest()


async def stop_in_the_head(wire: Wire) -> None:
    await wire.send(HEAD[:-1])
    await wire.rest()


async def dribble_a_head(wire: Wire) -> None:
    await dribble(wire, HEAD[:-2] + b"x-b: c\r\n" * 100)


async def stop_in_the_body(wire: Wire) -> None:
    await wire.send(POST + b"abc")
    assert (await wire.answer()).status == 408


async def dribble_a_body(wire: Wire) -> None:
    await wire.send(POST)
    wire.unread = await dribble(wire, b"a" * 900)
    assert (await wire.answer()).status == 408


async def promise_a_lot(wire: Wire) -> None:
    request = raw_request("/http/f", method="POST", headers=(TEXT, "content-length: 9999999999"))
    await wire.send(request + b"a" * 100_000)
    assert (await wire.answer()).status == 413


async def send_noise(wire: Wire) -> None:
    with suppress(ConnectionError):
        await wire.send(bytes(range(256)) * 200)
    assert [answer.status for answer in await wire.rest()] in ([400], [])


MISDEEDS: tuple[Misdeed, ...] = (
    leave_in_the_head,
    leave_in_the_body,
    leave_in_a_chunk,
    reset_in_the_head,
    reset_in_the_body,
    reset_before_the_answer,
    half_close_in_the_body,
    half_close_after_the_request,
    stay_silent,
    stop_in_the_head,
    dribble_a_head,
    stop_in_the_body,
    dribble_a_body,
    promise_a_lot,
    send_noise,
)


async def misbehave(gateway: TriggerGateway, clients: int) -> None:
    """So many clients at once, until the server has forgotten every one of them."""

    async def client(number: int) -> None:
        async with gateway.connect() as wire:
            await MISDEEDS[number % len(MISDEEDS)](wire)

    async with asyncio.TaskGroup() as group:
        for number in range(clients):
            group.create_task(client(number))
    async with asyncio.timeout(20):
        while len(gateway.connections) or any(map(_of_a_connection, asyncio.all_tasks())):
            await asyncio.sleep(0.01)
    gateway.seen.clear()
    gateway.small.records.clear()
    gc.collect()


def _of_a_connection(task: asyncio.Task[Any]) -> bool:
    return "RequestHandler" in repr(task.get_coro())


def descriptors() -> int:
    return len(list(FDS.iterdir()))


async def test_two_hundred_such_clients_at_once_leave_nothing_behind() -> None:
    async with open_gateway(
        head_timeout_s=CROWD_S, body_timeout_s=CROWD_S, keepalive_s=CROWD_S
    ) as gateway:
        await misbehave(gateway, CLIENTS)  # whatever is made once is made now
        open_before, tasks_before = descriptors(), len(asyncio.all_tasks())
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            await misbehave(gateway, CLIENTS)
            after, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert descriptors() == open_before
        assert len(asyncio.all_tasks()) == tasks_before
        assert after - before < 200_000, "a kilobyte for each client would be twice that"
        assert peak - before < CLIENTS * 400_000, "what a client may make us hold is bounded"
        await serves(gateway)
