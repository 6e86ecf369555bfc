"""The watch over the embedded server: which silence counts, and which connections were left."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from runtime.backends.embedded.watch import left_connections, say_hello, wait_silent
from tests.harness.polling import until

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid"
TAIL = "00000000:00000000 00:00000000 00000000     0        0 1 1 0000000000000000 100 0 0 10 0"


def line(local: str, remote: str, state: str) -> str:
    return f"   0: {local} {remote} {state} {TAIL}"


def test_only_connections_that_the_other_side_alone_has_closed_are_left() -> None:
    lines = [
        HEAD,
        line("0100007F:4E20", "0100007F:C001", "08"),
        line("0100007F:4E20", "0100007F:C002", "01"),
        line("0100007F:4E20", "00000000:0000", "0A"),
        line("0100007F:4E21", "0100007F:C003", "08"),
        line("0100007F:C004", "0100007F:4E20", "08"),
        line("0100007F:4E20", "0100007F:C005", "06"),
    ]
    assert left_connections(lines, 0x4E20) == {"0100007F:C001"}
    assert left_connections([HEAD], 0x4E20) == set()


async def test_silence_counts_when_a_second_question_has_no_answer_either() -> None:
    asked = 0

    async def one_missed() -> None:
        nonlocal asked
        asked += 1
        if asked in (2, 4, 5):
            await asyncio.Event().wait()

    await asyncio.wait_for(wait_silent(one_missed, 0.02), timeout=20)
    assert asked == 5


async def test_a_refusal_is_asked_again_until_the_time_is_over() -> None:
    asked = 0

    async def refused() -> None:
        nonlocal asked
        asked += 1
        raise ConnectionRefusedError

    await asyncio.wait_for(wait_silent(refused, 0.5), timeout=20)
    assert asked > 2


async def test_the_watch_goes_on_while_there_are_answers() -> None:
    asked = 0

    async def answered() -> None:
        nonlocal asked
        asked += 1

    watch = asyncio.create_task(wait_silent(answered, 0.01))
    await until(lambda: asked > 3)
    assert not watch.done()
    watch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watch


@asynccontextmanager
async def listening(answer: bytes | None) -> AsyncIterator[int]:
    """A server that answers so and closes, or with None says nothing."""
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        if answer is None:
            await ended.wait()
        else:
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        ended.set()
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("answer", [b"", b"anything"])
async def test_any_sign_of_life_is_an_answer(answer: bytes) -> None:
    async with listening(answer) as port:
        await say_hello(port)
    with pytest.raises(ConnectionRefusedError):
        await say_hello(port)


async def test_an_open_connection_alone_is_no_answer() -> None:
    async with listening(None) as port:
        asking = asyncio.create_task(say_hello(port))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(asking), timeout=0.05)
        assert not asking.done()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
