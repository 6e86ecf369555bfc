"""One channel of an AMQP connection: requests, consumers, messages with and without confirmation.

Everything that comes in is dealt with at once, in its order, by functions that do not wait: nothing is
buffered but the message that is not complete yet.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from itertools import takewhile
from typing import Protocol, TypeVar

from pamqp.base import Frame as Method
from pamqp.commands import Basic, Confirm, Queue
from pamqp.commands import Channel as ChannelMethods
from pamqp.common import FieldTable
from pamqp.header import ContentHeader

from runtime.backends.amqp.errors import (
    AmqpError,
    ChannelClosedError,
    ProtocolError,
    RefusedError,
    ReturnedError,
    fresh,
)
from runtime.backends.amqp.frames import Frame, encode, encode_ack, encode_message

M = TypeVar("M", bound=Method)

_WITH_CONTENT = (Basic.Deliver, Basic.Return)
_CONFIRMATIONS = (Basic.Ack, Basic.Nack)


class Message:
    """A message that came in. Acknowledge it on its channel."""

    __slots__ = ("body", "channel", "properties", "redelivered", "routing_key", "size", "tag")

    def __init__(
        self,
        channel: Channel,
        method: Basic.Deliver,
        properties: Basic.Properties,
        *,
        size: int,
        body: bytes | None,
    ) -> None:
        self.channel = channel
        self.tag: int = method.delivery_tag or 0
        self.redelivered: bool = bool(method.redelivered)
        self.routing_key: str = method.routing_key or ""
        self.properties = properties
        self.size = size
        self.body = body
        """None: it is larger than the connection's `body_max` and was not kept."""


OnMessage = Callable[[Message], None]
OnCancelled = Callable[[str], None]
"""Called with the consumer tag when the broker cancels a consumer: its queue is gone."""


def _ignore(_tag: str) -> None:
    """Nobody has to know that a consumer was cancelled."""


class Wire(Protocol):
    """What a channel needs of its connection."""

    frame_max: int
    body_max: int
    answer_timeout_s: float

    def write(self, data: bytes) -> None: ...

    async def wait_writable(self) -> None: ...

    def fail(self, error: AmqpError) -> None: ...


class Channel:
    """Made by `Connection.channel`."""

    def __init__(self, wire: Wire, number: int) -> None:
        self.closed: asyncio.Future[AmqpError] = asyncio.get_running_loop().create_future()
        """Done when the channel or its connection is gone; the result says why."""
        self._wire = wire
        self._number = number
        self._requests: deque[tuple[type[Method], asyncio.Future[Method]]] = deque()
        self._consumers: dict[str, tuple[OnMessage, OnCancelled]] = {}
        self._published: dict[int, tuple[asyncio.Future[None], str | None]] = {}
        """Future and message id of each message that waits for its confirmation, by number."""
        self._last_number = 0
        """Of what was sent, with or without somebody who waits: the broker confirms everything."""
        self._method: Basic.Deliver | Basic.Return | None = None
        """A message is coming in: first this, then `_header`, then the body."""
        self._header: ContentHeader | None = None
        self._body = bytearray()
        self._missing = 0

    async def open(self, *, confirms: bool) -> None:
        """`confirms`: `publish` may be used."""
        await self._request(ChannelMethods.Open(), ChannelMethods.OpenOk)
        if confirms:
            await self._request(Confirm.Select(), Confirm.SelectOk)

    # --- out ---------------------------------------------------------------------------------------

    async def send(
        self,
        body: bytes,
        *,
        exchange: str = "",
        routing_key: str,
        properties: Basic.Properties,
        mandatory: bool = False,
    ) -> None:
        """Publish. Returns when the connection has taken it; whether it arrives nobody tells.

        Raises AmqpError. When it is cancelled, nothing was sent."""
        await self._wire.wait_writable()
        self._send(body, exchange, routing_key, properties, mandatory=mandatory)

    async def publish(
        self, body: bytes, *, exchange: str, routing_key: str, properties: Basic.Properties
    ) -> None:
        """Publish on a channel with confirmations. Returns when the message is in a queue.

        Raises RefusedError, ReturnedError, or another AmqpError: then nobody knows where it is. Nobody does
        after a cancellation either. The caller bounds the wait."""
        await self._wire.wait_writable()
        self._send(body, exchange, routing_key, properties, mandatory=True)
        number = self._last_number
        confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._published[number] = (confirmed, properties.message_id)
        try:
            await confirmed
        finally:
            self._published.pop(number, None)

    def ack(self, message: Message) -> None:
        """Raises AmqpError when the channel is gone: the broker gives the message to somebody again."""
        self._must_be_open()
        self._wire.write(encode_ack(self._number, message.tag))

    def reject(self, message: Message, *, requeue: bool) -> None:
        """Back into its queue, or to where its queue sends what is dead. Raises as `ack`."""
        self._write(Basic.Nack(delivery_tag=message.tag, requeue=requeue))

    async def prefetch(self, count: int) -> None:
        """Unacknowledged messages for each consumer that is made after this."""
        await self._request(Basic.Qos(prefetch_count=count), Basic.QosOk)

    async def consume(
        self,
        queue: str,
        on_message: OnMessage,
        *,
        tag: str,
        on_cancelled: OnCancelled = _ignore,
        no_ack: bool = False,
    ) -> None:
        """Neither function may wait or raise: an exception ends the connection."""
        self._consumers[tag] = (on_message, on_cancelled)
        try:
            await self._request(
                Basic.Consume(queue=queue, consumer_tag=tag, no_ack=no_ack), Basic.ConsumeOk
            )
        except AmqpError:
            self._consumers.pop(tag, None)
            raise

    async def cancel(self, tag: str) -> None:
        """Returns when no message of this consumer comes any more."""
        await self._request(Basic.Cancel(consumer_tag=tag), Basic.CancelOk)
        self._consumers.pop(tag, None)

    async def declare(
        self, queue: str, *, durable: bool, exclusive: bool = False, arguments: FieldTable
    ) -> None:
        """A queue, idempotent. When there is another one of that name the broker closes the channel."""
        await self._request(
            Queue.Declare(queue=queue, durable=durable, exclusive=exclusive, arguments=arguments),
            Queue.DeclareOk,
        )

    async def bind(self, queue: str, *, exchange: str, routing_key: str) -> None:
        """What is published there under that key comes into the queue. Idempotent."""
        await self._request(
            Queue.Bind(queue=queue, exchange=exchange, routing_key=routing_key), Queue.BindOk
        )

    async def count(self, queue: str) -> int:
        """Its messages that nobody has. Without that queue the broker closes the channel."""
        answer = await self._request(Queue.Declare(queue=queue, passive=True), Queue.DeclareOk)
        return answer.message_count or 0

    def abandon(self, why: str) -> None:
        """Give up the connection: the broker gives what is not acknowledged to somebody again."""
        if not self.closed.done():
            self._wire.fail(AmqpError(why))

    def _send(
        self,
        body: bytes,
        exchange: str,
        routing_key: str,
        properties: Basic.Properties,
        *,
        mandatory: bool,
    ) -> None:
        self._must_be_open()
        self._wire.write(
            encode_message(
                self._number,
                body,
                exchange=exchange,
                routing_key=routing_key,
                properties=properties,
                mandatory=mandatory,
                frame_max=self._wire.frame_max,
            )
        )
        self._last_number += 1

    def _write(self, method: Method) -> None:
        self._must_be_open()
        self._wire.write(encode(self._number, method))

    def _must_be_open(self) -> None:
        if self.closed.done():
            raise fresh(self.closed.result())

    async def _request(self, method: Method, answer: type[M]) -> M:
        """Answers come in the order of the requests; one whose asker was cancelled is passed over."""
        self._write(method)
        answered: asyncio.Future[Method] = asyncio.get_running_loop().create_future()
        self._requests.append((answer, answered))
        try:
            async with asyncio.timeout(self._wire.answer_timeout_s):
                result = await answered
        except TimeoutError:
            error = AmqpError(f"no answer to {method.name} in {self._wire.answer_timeout_s:g} s")
            self._wire.fail(error)
            raise fresh(error) from None
        assert isinstance(result, answer)
        return result

    # --- in ----------------------------------------------------------------------------------------

    def fail(self, error: AmqpError) -> None:
        """The channel is gone: tell everybody who waits. Idempotent."""
        if self.closed.done():
            return
        self.closed.set_result(error)
        waiting: list[asyncio.Future[Method] | asyncio.Future[None]] = []
        waiting += [answered for _, answered in self._requests]
        waiting += [confirmed for confirmed, _ in self._published.values()]
        self._requests.clear()
        self._published.clear()
        self._consumers.clear()
        self._method, self._header = None, None
        self._body.clear()
        for future in waiting:
            if not future.done():
                future.set_exception(fresh(error))

    def on_frame(self, frame: Frame) -> None:
        """Raises ProtocolError, and what a consumer raises."""
        if isinstance(frame, bytes):
            self._on_body(frame)
        elif isinstance(frame, ContentHeader):
            self._on_header(frame)
        elif self._method is not None:
            raise ProtocolError(f"{frame.name} in the middle of a message")
        elif isinstance(frame, _WITH_CONTENT):
            self._method = frame
        elif isinstance(frame, _CONFIRMATIONS):
            self._on_confirmation(frame)
        elif isinstance(frame, Basic.Cancel):
            self._on_cancel(frame)
        elif isinstance(frame, ChannelMethods.Close):
            self._wire.write(encode(self._number, ChannelMethods.CloseOk()))
            self.fail(ChannelClosedError(frame.reply_code or 0, frame.reply_text or ""))
        elif isinstance(frame, Method):
            self._on_answer(frame)
        else:
            raise ProtocolError("a heartbeat on a channel")

    def _on_answer(self, frame: Method) -> None:
        if not self._requests or not isinstance(frame, self._requests[0][0]):
            raise ProtocolError(f"{frame.name} that nobody asked for")
        answered = self._requests.popleft()[1]
        if not answered.done():
            answered.set_result(frame)

    def _on_cancel(self, frame: Basic.Cancel) -> None:
        tag = frame.consumer_tag or ""
        _, on_cancelled = self._consumers.pop(tag, (None, _ignore))
        on_cancelled(tag)

    def _on_confirmation(self, frame: Basic.Ack | Basic.Nack) -> None:
        last = frame.delivery_tag or 0
        if not 0 < last <= self._last_number:
            raise ProtocolError(f"{frame.name} of a message that was never sent")
        numbers = [last]
        if frame.multiple:  # they are kept in their order
            numbers = list(takewhile(lambda number: number <= last, self._published))
        for number in numbers:
            confirmed, _ = self._published.pop(number, (None, None))
            if confirmed is None or confirmed.done():
                continue
            if isinstance(frame, Basic.Ack):
                confirmed.set_result(None)
            else:
                confirmed.set_exception(RefusedError("the queue refused it"))

    def _on_header(self, header: ContentHeader) -> None:
        if self._method is None or self._header is not None:
            raise ProtocolError("the header of no message")
        self._header = header
        self._missing = header.body_size
        if not self._missing:
            self._complete(b"")

    def _on_body(self, piece: bytes) -> None:
        header = self._header
        if header is None or len(piece) > self._missing:
            raise ProtocolError("the body of no message, or more of it than was told")
        self._missing -= len(piece)
        if len(piece) == header.body_size:
            self._complete(piece if len(piece) <= self._wire.body_max else None)
            return
        keep = header.body_size <= self._wire.body_max
        if keep:
            self._body += piece
        if not self._missing:
            self._complete(bytes(self._body) if keep else None)

    def _complete(self, body: bytes | None) -> None:
        method, header = self._method, self._header
        assert method is not None
        assert header is not None
        self._method, self._header = None, None
        self._body.clear()
        if isinstance(method, Basic.Return):
            self._on_return(header.properties.message_id)
            return
        on_message, _ = self._consumers.get(method.consumer_tag or "", (None, _ignore))
        if on_message is None:
            raise ProtocolError("a message for no consumer")
        on_message(Message(self, method, header.properties, size=header.body_size, body=body))

    def _on_return(self, message_id: str | None) -> None:
        """The broker confirms a returned message all the same, after this. It does not say which one it was:
        whoever sent one with this id at the same time is told, too."""
        for confirmed, sent_id in self._published.values():
            if sent_id == message_id and not confirmed.done():
                confirmed.set_exception(ReturnedError("there is no queue for it"))
