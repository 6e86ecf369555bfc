"""The AMQP transport against a peer that the test plays: what a real broker does only when it is broken."""

from __future__ import annotations

import asyncio

import pytest
from pamqp.base import Frame as Method
from pamqp.commands import Basic
from pamqp.commands import Channel as ChannelMethods
from pamqp.commands import Connection as Methods
from pamqp.header import ContentHeader

from runtime.backends.amqp.channel import Channel, Message
from runtime.backends.amqp.connection import Endpoint, connect
from runtime.backends.amqp.errors import (
    AmqpError,
    BrokerClosedError,
    ChannelClosedError,
    ConnectionLostError,
    ProtocolError,
    RefusedError,
    ReturnedError,
    StalledError,
)
from runtime.backends.amqp.frames import HEARTBEAT, encode
from tests.harness.amqp_peer import KEYS, Peer, opened, peer, reason
from tests.harness.program import free_port

pytestmark = [pytest.mark.integration, pytest.mark.timeout(30)]


# --- handshake -----------------------------------------------------------------------------------


async def test_a_peer_that_speaks_something_else_is_told_apart() -> None:
    async def act(peer: Peer) -> None:
        peer.writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with peer(act) as endpoint:
        with pytest.raises(ProtocolError, match="no AMQP: b'HTTP"):
            await connect(endpoint)


async def test_a_refused_login_says_what_the_broker_said() -> None:
    async def act(peer: Peer) -> None:
        await peer.hear_greeting()
        peer.say(Methods.Start(server_properties={}), 0)
        await peer.until(Methods.StartOk)
        peer.say(Methods.Close(403, "ACCESS_REFUSED", 0, 0), 0)

    async with peer(act) as endpoint:
        with pytest.raises(BrokerClosedError, match="403 ACCESS_REFUSED"):
            await connect(endpoint)


@pytest.mark.parametrize("steps", [0, 1, 2])
async def test_a_peer_that_falls_silent_in_the_handshake_keeps_nobody_waiting(steps: int) -> None:
    async def act(peer: Peer) -> None:
        await peer.hear_greeting()
        if steps > 0:
            peer.say(Methods.Start(server_properties={}), 0)
        if steps > 1:
            await peer.until(Methods.StartOk)
            peer.say(Methods.Tune(9, 4096, 0), 0)

    async with peer(act) as endpoint:
        with pytest.raises(ConnectionLostError, match="did not send Connection"):
            await asyncio.wait_for(connect(endpoint), 5)


async def test_the_password_never_shows() -> None:
    assert "secret" not in repr(Endpoint(host="h", port=1, user="me", password="secret"))


# --- what ends a connection ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (b"\xff" * 64, "no AMQP"),
        (encode(7, Basic.Ack(1)), "channel 7, which is not open"),
        (encode(1, Basic.QosOk()), "nobody asked for"),
        (encode(1, Basic.Ack(5)), "never sent"),
        (encode(0, Methods.TuneOk()), "nobody asked for"),
        (b"\x03\x00\x01\x00\x00\x00\x01x\xce", "the body of no message"),
        (encode(1, Basic.Deliver("c", 1, False, "", "k")) * 2, "in the middle of a message"),
    ],
)
async def test_what_has_no_place_ends_the_connection_and_says_so(sent: bytes, why: str) -> None:
    async def act(peer: Peer) -> None:
        peer.writer.write(sent)

    async with opened(act) as (connection, channel):
        error = await reason(connection)
        assert isinstance(error, ProtocolError)
        assert why in str(error)
        with pytest.raises(ProtocolError):
            await channel.publish(b"", **KEYS)


async def test_what_the_broker_says_at_its_end_reaches_whoever_waits() -> None:
    async def act(peer: Peer) -> None:
        await peer.until(Basic.Publish)
        peer.say(Methods.Close(320, "CONNECTION_FORCED - by a test", 0, 0), 0)

    async with opened(act) as (connection, channel):
        with pytest.raises(BrokerClosedError, match="320 CONNECTION_FORCED"):
            await channel.publish(b"x", **KEYS)
        assert channel.closed.done()
        await connection.close()


async def test_a_closed_channel_leaves_the_connection() -> None:
    async def act(peer: Peer) -> None:
        await peer.until(Basic.Publish)
        peer.say(ChannelMethods.Close(404, "NOT_FOUND", 0, 0))
        await peer.until(ChannelMethods.CloseOk)
        await peer.open_channel()

    async with opened(act) as (connection, channel):
        with pytest.raises(ChannelClosedError) as raised:
            await channel.publish(b"x", **KEYS)
        assert raised.value.code == 404
        await connection.channel(confirms=True)


async def test_a_silent_broker_is_given_up() -> None:
    async def act(peer: Peer) -> None:
        await peer.until(Methods.CloseOk)

    async with opened(act, heartbeat_s=1) as (connection, _):
        assert "no sign of the broker" in str(await reason(connection))


async def test_heartbeats_go_out_and_keep_it_open() -> None:
    beats = asyncio.Event()

    async def act(peer: Peer) -> None:
        for _ in range(4):
            frame = await peer.next()
            assert not isinstance(frame, Method)
            peer.writer.write(HEARTBEAT)
        beats.set()

    async with opened(act, heartbeat_s=1) as (connection, _):
        await beats.wait()
        assert not connection.closed.done()


async def test_a_request_without_answer_ends_the_connection() -> None:
    async def act(peer: Peer) -> None:
        await peer.until(Basic.Qos)

    async with opened(act) as (connection, channel):
        with pytest.raises(AmqpError, match=r"no answer to Basic\.Qos"):
            await channel.prefetch(1)
        assert connection.closed.done()


async def test_a_consumer_that_fails_ends_the_connection_and_nobody_waits_on() -> None:
    async def act(peer: Peer) -> None:
        await peer.until(Basic.Consume)
        peer.say(Basic.ConsumeOk("c"))
        await peer.until(Basic.Publish)
        peer.deliver(b"hello")

    def fail(message: Message) -> None:
        raise KeyError(message.body)

    async with opened(act) as (connection, channel):
        await channel.consume("q", fail, tag="c")
        with pytest.raises(AmqpError, match="KeyError"):
            await channel.publish(b"x", **KEYS)
        assert connection.closed.done()


async def test_nobody_there() -> None:
    endpoint = Endpoint(host="127.0.0.1", port=free_port(), user="me", password="secret")
    with pytest.raises(OSError, match=r"refused|failed"):
        await connect(endpoint)


# --- confirmations -------------------------------------------------------------------------------


async def test_confirmations_reach_those_they_are_for() -> None:
    async def act(peer: Peer) -> None:
        for _ in range(5):
            await peer.until(Basic.Publish)
        peer.say(Basic.Nack(2))
        peer.say(Basic.Return(312, "NO_ROUTE", "", "k"))
        header = ContentHeader(body_size=0, properties=Basic.Properties(message_id="4"))
        peer.writer.write(_frame(header))
        peer.say(Basic.Ack(4))
        peer.say(Basic.Ack(3, multiple=True))
        peer.say(Basic.Ack(5, multiple=True))

    async with opened(act) as (_, channel):
        results = await asyncio.gather(
            *(
                channel.publish(
                    b"x",
                    exchange="",
                    routing_key="k",
                    properties=Basic.Properties(message_id=str(number)),
                )
                for number in range(1, 6)
            ),
            return_exceptions=True,
        )
    assert [type(result) for result in results] == [
        type(None),
        RefusedError,
        type(None),
        ReturnedError,
        type(None),
    ]


async def test_a_publisher_that_gave_up_disturbs_nobody() -> None:
    gave_up = asyncio.Event()

    async def act(peer: Peer) -> None:
        await peer.until(Basic.Publish)
        await gave_up.wait()
        peer.say(Basic.Ack(1))
        await peer.until(Basic.Publish)
        peer.say(Basic.Ack(2))

    async with opened(act) as (_, channel):
        first = asyncio.create_task(channel.publish(b"x", **KEYS))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        gave_up.set()
        await channel.publish(b"y", **KEYS)


async def test_an_answer_to_a_request_that_was_cancelled_is_not_taken_for_the_next() -> None:
    cancelled = asyncio.Event()

    async def act(peer: Peer) -> None:
        await peer.until(Basic.Qos)
        await cancelled.wait()
        peer.say(Basic.QosOk())
        await peer.until(Basic.Consume)
        peer.say(Basic.ConsumeOk("c"))

    async with opened(act) as (connection, channel):
        first = asyncio.create_task(channel.prefetch(1))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        cancelled.set()
        await channel.consume("q", lambda _: None, tag="c")
        assert not connection.closed.done()


# --- sizes ---------------------------------------------------------------------------------------


async def test_a_message_comes_in_pieces_and_one_that_is_too_large_without_its_body() -> None:
    bodies = [b"", b"a" * 100, b"b" * 10_000, b"c" * 20_001, b"d"]

    async def act(peer: Peer) -> None:
        await peer.until(Basic.Consume)
        peer.say(Basic.ConsumeOk("c"))
        for tag, body in enumerate(bodies, 1):
            peer.deliver(body, tag)

    came: asyncio.Queue[Message] = asyncio.Queue()
    async with opened(act, body_max=20_000) as (_, channel):
        await channel.consume("q", came.put_nowait, tag="c")
        messages = [await came.get() for _ in bodies]
    assert [message.size for message in messages] == [len(body) for body in bodies]
    assert [message.body for message in messages] == [*bodies[:3], None, b"d"]


async def test_a_broker_that_does_not_read_is_told_within_the_time_and_bounds_what_is_kept() -> (
    None
):
    async def act(peer: Peer) -> None:
        """Reads nothing."""

    async with opened(act) as (connection, channel):
        with pytest.raises(StalledError):
            await send_without_end(channel)
        assert connection.unsent_bytes < 1024 * 1024
        assert not connection.closed.done()


async def test_an_alarm_is_told_when_it_begins_and_when_it_ends() -> None:
    async def act(peer: Peer) -> None:
        await peer.greet()
        peer.say(Methods.Blocked("low on memory"), 0)
        peer.say(Methods.Unblocked(), 0)
        peer.say(Methods.Close(200, "", 0, 0), 0)

    told: list[bool] = []
    async with peer(act) as endpoint:
        connection = await connect(endpoint, on_blocked=told.append)
        await reason(connection)
    assert told == [True, False]


async def send_without_end(channel: Channel) -> None:
    while True:
        await channel.send(b"x" * 65_536, **KEYS)


def _frame(header: ContentHeader) -> bytes:
    payload = header.marshal()
    return b"\x02\x00\x01" + len(payload).to_bytes(4, "big") + payload + b"\xce"
