"""One AMQP connection: handshake, heartbeats both ways, bytes in and out, its end.

What is written in one turn of the event loop leaves in one piece. When the peer does not read, writers wait
for room, for a bounded time. Whatever goes wrong while bytes come in ends the connection with an error that
says so; nothing is left half alive.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar, cast

import structlog
from pamqp.base import Frame as Method
from pamqp.commands import Connection as Methods
from pamqp.heartbeat import Heartbeat

from runtime.backends.amqp.channel import Channel
from runtime.backends.amqp.errors import (
    AmqpError,
    BrokerClosedError,
    ConnectionLostError,
    ProtocolError,
    StalledError,
    fresh,
)
from runtime.backends.amqp.frames import (
    FRAME_MAX,
    FRAME_MIN,
    GREETING,
    HEARTBEAT,
    Frame,
    FrameReader,
    encode,
)

_log = structlog.get_logger(__name__)

M = TypeVar("M", bound=Method)

_FLUSH_BYTES = 64 * 1024
"""So much is written at once without waiting for the end of the turn."""
_BUFFER_BYTES = 256 * 1024
"""What the transport may hold before writers have to wait."""
_SILENT_TICKS = 4
"""Half intervals of the heartbeat without a byte from the peer. Counted, not measured: a process that was
stopped for a while does not take its own silence for the peer's."""
_CLOSE_S = 2.0
_CAPABILITIES = {
    "publisher_confirms": True,
    "consumer_cancel_notify": True,
    "basic.nack": True,
    "connection.blocked": True,
    "authentication_failure_close": True,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a broker is, who we are there, and bounds. Times in seconds, sizes in bytes."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    virtual_host: str = "/"
    tls: ssl.SSLContext | None = None
    name: str = ""
    """Of the connection, for the broker's operator."""
    heartbeat_s: int = 5
    body_max: int = 64 * 1024 * 1024
    """Of a message that comes in; the body of a larger one is thrown away (`Message.body`)."""
    connect_timeout_s: float = 10.0
    answer_timeout_s: float = 10.0
    write_timeout_s: float = 5.0
    """A writer waits so long for room."""


async def connect(
    endpoint: Endpoint, *, on_blocked: Callable[[bool], None] = lambda _: None
) -> Connection:
    """`on_blocked`: the broker has an alarm and takes nothing that is published, or has no longer. Raises
    AmqpError, OSError (also of TLS), TimeoutError."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(endpoint.connect_timeout_s):
        _, connection = await loop.create_connection(
            lambda: Connection(endpoint, on_blocked),
            endpoint.host,
            endpoint.port,
            ssl=endpoint.tls,
            ssl_shutdown_timeout=_CLOSE_S if endpoint.tls else None,
        )
        try:
            await connection.shake_hands()
        except BaseException:
            connection.fail(ConnectionLostError("the handshake was not finished"))
            raise
    return connection


class Connection(asyncio.Protocol):
    """Made by `connect`."""

    def __init__(self, endpoint: Endpoint, on_blocked: Callable[[bool], None]) -> None:
        self.closed: asyncio.Future[AmqpError] = asyncio.get_running_loop().create_future()
        """Done when the connection is gone; the result says why."""
        self.frame_max = FRAME_MIN
        self.body_max = endpoint.body_max
        self.answer_timeout_s = endpoint.answer_timeout_s
        self._endpoint = endpoint
        self._on_blocked = on_blocked
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._gone = asyncio.Event()
        """The socket is closed."""
        self._reader = FrameReader()
        self._channels: dict[int, Channel] = {}
        self._channel_max = 0
        self._answer: tuple[type[Method], asyncio.Future[Method]] | None = None
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._flushing = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._heard = self._spoke = True
        """Since the last tick."""
        self._silent_ticks = 0
        self._ticker: asyncio.TimerHandle | None = None

    # --- life --------------------------------------------------------------------------------------

    async def shake_hands(self) -> None:
        """Raises AmqpError; BrokerClosedError 403 for a wrong password."""
        endpoint = self._endpoint
        self.write(GREETING)
        start = await self._answered(Methods.Start)
        if "PLAIN" not in (start.mechanisms or "").split():
            raise ProtocolError("the broker does not take a user and password (PLAIN)")
        self.write(
            encode(
                0,
                Methods.StartOk(
                    client_properties={
                        "product": "yunhan",
                        "connection_name": endpoint.name,
                        "capabilities": dict(_CAPABILITIES),
                    },
                    mechanism="PLAIN",
                    response=f"\0{endpoint.user}\0{endpoint.password}",
                ),
            )
        )
        tune = await self._answered(Methods.Tune)
        self.frame_max = max(FRAME_MIN, min(tune.frame_max or FRAME_MAX, FRAME_MAX))
        self._channel_max = tune.channel_max or 65_535
        self.write(
            encode(
                0,
                Methods.TuneOk(
                    channel_max=self._channel_max,
                    frame_max=self.frame_max,
                    heartbeat=endpoint.heartbeat_s,
                ),
            )
        )
        self._tick_later()
        self.write(encode(0, Methods.Open(virtual_host=endpoint.virtual_host)))
        await self._answered(Methods.OpenOk)

    async def channel(self, *, confirms: bool) -> Channel:
        """A new one. Raises AmqpError."""
        self._must_be_open()
        number = next((n for n in range(1, self._channel_max + 1) if n not in self._channels), None)
        if number is None:
            raise AmqpError(f"{self._channel_max} channels are open already")
        channel = self._channels[number] = Channel(self, number)
        await channel.open(confirms=confirms)
        return channel

    async def close(self) -> None:
        """In order: everything that was written before arrives. Bounded; idempotent; never raises but for
        cancellation."""
        try:
            async with asyncio.timeout(_CLOSE_S):
                if not self.closed.done():
                    self.write(encode(0, Methods.Close(200, "", 0, 0)))
                    await self._answered(Methods.CloseOk)
                self._end(ConnectionLostError("closed"), abort=False)
                await self._gone.wait()
        except (AmqpError, TimeoutError):
            pass
        finally:
            self._end(ConnectionLostError("closed"), abort=True)

    def fail(self, error: AmqpError) -> None:
        """The connection is of no use any more: drop it, tell everybody who waits. Idempotent."""
        self._end(error, abort=True)

    def _end(self, error: AmqpError, *, abort: bool) -> None:
        if not self.closed.done():
            self.flush()
            self.closed.set_result(error)
            if self._ticker is not None:
                self._ticker.cancel()
            self._writable.set()
            if self._answer is not None and not self._answer[1].done():
                self._answer[1].set_exception(fresh(error))
            for channel in self._channels.values():
                channel.fail(error)
            self._channels.clear()
        if self._transport is not None:
            if abort:
                self._transport.abort()
            else:
                self._transport.close()

    def _must_be_open(self) -> None:
        if self.closed.done():
            raise fresh(self.closed.result())

    async def _answered(self, answer: type[M]) -> M:
        """The next method on channel 0 that is not a matter of its own."""
        self._must_be_open()
        answered: asyncio.Future[Method] = self._loop.create_future()
        self._answer = (answer, answered)
        try:
            async with asyncio.timeout(self.answer_timeout_s):
                return cast("M", await answered)
        except TimeoutError:
            raise ConnectionLostError(f"the broker did not send {answer.name}") from None
        finally:
            self._answer = None

    # --- heartbeats --------------------------------------------------------------------------------

    def _tick_later(self) -> None:
        self._ticker = self._loop.call_later(self._endpoint.heartbeat_s / 2, self._tick)

    def _tick(self) -> None:
        self._silent_ticks = 0 if self._heard else self._silent_ticks + 1
        self._heard = False
        if self._silent_ticks >= _SILENT_TICKS:
            silent_s = self._endpoint.heartbeat_s / 2 * _SILENT_TICKS
            self.fail(ConnectionLostError(f"no sign of the broker for {silent_s:g} s"))
            return
        if not self._spoke:
            self.write(HEARTBEAT)
        self._spoke = False
        self._tick_later()

    # --- out ---------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Takes it in any case; who sends much waits for `wait_writable` before."""
        self._out.append(data)
        self._out_bytes += len(data)
        if self._out_bytes >= _FLUSH_BYTES:
            self.flush()
        elif not self._flushing:
            self._flushing = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Hand everything to the transport now."""
        self._flushing = False
        if not self._out:
            return
        data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
        self._out.clear()
        self._out_bytes = 0
        self._spoke = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    async def wait_writable(self) -> None:
        """Raises StalledError when there is no room for too long, the error of the end when it is gone."""
        if not self._writable.is_set():
            try:
                async with asyncio.timeout(self._endpoint.write_timeout_s):
                    while not self._writable.is_set():  # others may have been faster
                        await self._writable.wait()
            except TimeoutError:
                raise StalledError(
                    f"the broker reads nothing, {self._endpoint.write_timeout_s:g} s long"
                ) from None
        self._must_be_open()

    @property
    def unsent_bytes(self) -> int:
        """Written, and not yet given to the operating system."""
        held = 0 if self._transport is None else self._transport.get_write_buffer_size()
        return self._out_bytes + held

    def pause_writing(self) -> None:
        if not self.closed.done():
            self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # --- in ----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_BUFFER_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone.set()
        why = "the broker closed it" if exc is None else f"{type(exc).__name__}: {exc}"
        self.fail(ConnectionLostError(why))

    def data_received(self, data: bytes) -> None:
        self._heard = True
        try:
            for number, frame in self._reader.feed(data):
                if self.closed.done():
                    return
                if number == 0:
                    self._on_frame(frame)
                else:
                    self._on_channel_frame(number, frame)
        except ProtocolError as error:
            _log.error("broker_protocol_error", connection=self._endpoint.name, reason=str(error))
            self.fail(error)
        except Exception as error:  # noqa: BLE001 - nobody else would learn of it
            _log.exception("broker_message_failed", connection=self._endpoint.name)
            self.fail(AmqpError(f"a message could not be dealt with: {type(error).__name__}"))

    def _on_channel_frame(self, number: int, frame: Frame) -> None:
        channel = self._channels.get(number)
        if channel is None:
            raise ProtocolError(f"a frame for channel {number}, which is not open")
        channel.on_frame(frame)
        if channel.closed.done():
            self._channels.pop(number, None)

    def _on_frame(self, frame: Frame) -> None:
        if isinstance(frame, Heartbeat):
            return
        if isinstance(frame, Methods.Blocked | Methods.Unblocked):
            self._on_blocked(isinstance(frame, Methods.Blocked))
        elif isinstance(frame, Methods.Close):
            self.write(encode(0, Methods.CloseOk()))
            error = BrokerClosedError(frame.reply_code or 0, frame.reply_text or "")
            self._end(error, abort=False)
        elif (
            isinstance(frame, Method)
            and self._answer is not None
            and isinstance(frame, self._answer[0])
        ):
            if not self._answer[1].done():
                self._answer[1].set_result(frame)
        else:
            name = "a piece of a message" if isinstance(frame, bytes) else frame.name
            raise ProtocolError(f"{name} that nobody asked for")
