"""A peer of the AMQP transport that a test plays: the broker's end of a connection."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from pamqp.base import Frame as Method
from pamqp.commands import Basic, Confirm
from pamqp.commands import Channel as ChannelMethods
from pamqp.commands import Connection as Methods

from runtime.backends.amqp.channel import Channel
from runtime.backends.amqp.connection import Connection, Endpoint, connect
from runtime.backends.amqp.errors import (
    AmqpError,
    ConnectionLostError,
)
from runtime.backends.amqp.frames import GREETING, FrameReader, encode, encode_message

KEYS: dict[str, Any] = {"exchange": "", "routing_key": "k", "properties": Basic.Properties()}


class Peer:
    """The broker's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.frames = FrameReader()
        self.came: list[tuple[int, object]] = []

    def say(self, method: Method, channel: int = 1) -> None:
        self.writer.write(encode(channel, method))

    def deliver(self, body: bytes, tag: int = 1, *, properties: bytes | None = None) -> None:
        message = encode_message(1, body, mandatory=False, frame_max=4096, **KEYS)
        publish = encode(1, Basic.Publish(exchange="", routing_key="k"))
        self.writer.write(encode(1, Basic.Deliver("c", tag, False, "", "k")))
        self.writer.write(message[len(publish) :])

    async def next(self) -> object:
        while not self.came:
            data = await self.reader.read(65536)
            if not data:
                raise EOFError
            self.came += self.frames.feed(data)
        return self.came.pop(0)[1]

    async def until(self, kind: type[Method]) -> Any:
        while not isinstance(frame := await self.next(), kind):
            pass
        return frame

    async def hear_greeting(self) -> None:
        assert await self.reader.readexactly(len(GREETING)) == GREETING

    async def greet(self) -> None:
        await self.hear_greeting()
        self.say(Methods.Start(server_properties={}, mechanisms="AMQPLAIN PLAIN"), 0)
        start = await self.until(Methods.StartOk)
        assert start.response == "\0me\0secret"
        self.say(Methods.Tune(9, 4096, 0), 0)
        await self.until(Methods.TuneOk)
        await self.until(Methods.Open)
        self.say(Methods.OpenOk(), 0)

    async def open_channel(self) -> None:
        await self.until(ChannelMethods.Open)
        self.say(ChannelMethods.OpenOk())
        await self.until(Confirm.Select)
        self.say(Confirm.SelectOk())


Act = Callable[[Peer], Awaitable[None]]


@asynccontextmanager
async def peer(act: Act, **changes: Any) -> AsyncIterator[Endpoint]:
    """Plays `act` with whoever connects, then keeps silent until the test ends."""
    tasks: list[asyncio.Task[None]] = []

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(EOFError, ConnectionError, asyncio.IncompleteReadError):
            await act(Peer(reader, writer))
            await asyncio.Event().wait()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(play(reader, writer))
        task.add_done_callback(lambda _: writer.close())
        tasks.append(task)

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    try:
        yield Endpoint(
            **{
                "host": "127.0.0.1",
                "port": server.sockets[0].getsockname()[1],
                "user": "me",
                "password": "secret",
                "connect_timeout_s": 2.0,
                "answer_timeout_s": 1.0,
                "write_timeout_s": 0.2,
                **changes,
            }
        )
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert outcome is None or isinstance(outcome, asyncio.CancelledError), outcome
        await server.wait_closed()


@asynccontextmanager
async def opened(act: Act, **changes: Any) -> AsyncIterator[tuple[Connection, Channel]]:
    """A connection with one channel with confirmations, to a peer that plays `act` after that."""

    async def greet_and_act(peer: Peer) -> None:
        await peer.greet()
        await peer.open_channel()
        await act(peer)

    async with peer(greet_and_act, **changes) as endpoint:
        connection = await connect(endpoint)
        try:
            yield connection, await connection.channel(confirms=True)
        finally:
            connection.fail(ConnectionLostError("the test is over"))


async def reason(connection: Connection) -> AmqpError:
    return await asyncio.wait_for(asyncio.shield(connection.closed), 5)
