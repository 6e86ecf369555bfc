"""AMQP 0-9-1 frames: out of a stream of bytes however it is cut, and into bytes. Pure; pamqp is the codec.

type, 1 byte | channel, 2 | size, 4 | payload | 0xCE

The frames that every message needs come from `amqp.content`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import TypeAlias

import pamqp.frame
from pamqp.base import Frame as Method
from pamqp.commands import Basic
from pamqp.header import ContentHeader, ProtocolHeader
from pamqp.heartbeat import Heartbeat

from runtime.backends.amqp.content import read_header, read_method, write_ack, write_header
from runtime.backends.amqp.errors import ProtocolError

FRAME_MAX = 131_072
"""Bytes of the largest frame that we take or send, RabbitMQ's default. AMQP allows no less than 4096."""
FRAME_MIN = 4096
OVERHEAD = 8
"""Bytes of a frame beside its payload."""

GREETING: bytes = ProtocolHeader().marshal()
HEARTBEAT: bytes = Heartbeat.marshal()

Frame: TypeAlias = Method | ContentHeader | Heartbeat | bytes
"""`bytes` is a piece of a body."""

_HEAD = struct.Struct(">BHI")
_END = 0xCE
_METHOD, _HEADER, _BODY, _HEARTBEAT = 1, 2, 3, 8
_BEAT = Heartbeat()
_SIZES = struct.Struct(">xxxxQ")

UNREADABLE = Basic.Properties()
"""In place of properties that are no AMQP. The broker passes on what any producer wrote there, so it is the
message that is bad, not the connection."""


class FrameReader:
    """Keeps at most one incomplete frame."""

    def __init__(self, frame_max: int = FRAME_MAX) -> None:
        self._payload_max = frame_max - OVERHEAD
        self._rest = bytearray()
        self._needed = 0
        """Bytes that `_rest` must have before it is worth a look."""

    @property
    def kept_bytes(self) -> int:
        """Of the frame that is not complete yet."""
        return len(self._rest)

    def feed(self, data: bytes) -> Iterator[tuple[int, Frame]]:
        """Channel and frame, for every frame that is complete now. Exhaust it before the next one.

        Raises ProtocolError at the first byte that cannot be AMQP; the reader is of no use after that."""
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return
            data = bytes(self._rest)
            self._rest = bytearray()
        at, end = 0, len(data)
        needed = _HEAD.size
        while end - at >= _HEAD.size:
            kind, channel, size = _HEAD.unpack_from(data, at)
            self._check(data, at, kind, size)
            stop = at + size + OVERHEAD
            if stop > end:
                needed = size + OVERHEAD
                break
            if data[stop - 1] != _END:
                raise ProtocolError("a frame does not end as one")
            if kind == _BODY:
                yield channel, data[at + _HEAD.size : stop - 1]
            elif kind == _HEARTBEAT:
                yield channel, _BEAT
            else:
                yield channel, _decode(kind, data, at, stop)
            at = stop
        if at < end:
            self._check(data, at, data[at], 0)
            self._rest += data[at:]
            self._needed = needed

    def _check(self, data: bytes, at: int, kind: int, size: int) -> None:
        if kind not in {_METHOD, _HEADER, _BODY, _HEARTBEAT}:
            if data.startswith(b"AMQP", at):
                raise ProtocolError("the peer wants another version of AMQP")
            raise ProtocolError(f"bytes that are no AMQP: {data[at : at + 16]!r}")
        if size > (0 if kind == _HEARTBEAT else self._payload_max):
            raise ProtocolError(f"a frame of {size} bytes, {self._payload_max} are allowed")


def _decode(kind: int, data: bytes, at: int, stop: int) -> Method | ContentHeader:
    """The method or header frame that is there."""
    payload = data[at + _HEAD.size : stop - 1]
    plain = read_method(payload) if kind == _METHOD else read_header(payload)
    if plain is not None:
        return plain
    try:
        frame = pamqp.frame.unmarshal(data[at:stop])[2]
    except Exception as error:  # noqa: BLE001 - of many kinds: the bytes are the peer's
        if kind == _HEADER and len(payload) >= _SIZES.size:
            size = _SIZES.unpack_from(payload)[0]
            return ContentHeader(body_size=size, properties=UNREADABLE)
        raise ProtocolError(f"a frame that cannot be read: {type(error).__name__}") from None
    assert isinstance(frame, Method | ContentHeader)
    return frame


def encode(channel: int, method: Method) -> bytes:
    """One method. Raises ValueError or TypeError for what AMQP cannot carry."""
    return pamqp.frame.marshal(method, channel)


def encode_ack(channel: int, tag: int) -> bytes:
    """`basic.ack` of one message."""
    return _framed(_METHOD, channel, write_ack(tag))


def encode_message(
    channel: int,
    body: bytes,
    *,
    exchange: str,
    routing_key: str,
    properties: Basic.Properties,
    mandatory: bool,
    frame_max: int,
) -> bytes:
    """`basic.publish` with its content. Raises as `encode`, before anything is sent."""
    parts = [
        _publish(channel, exchange, routing_key, mandatory),
        _header(channel, len(body), properties),
    ]
    step = frame_max - OVERHEAD
    for at in range(0, len(body), step):
        piece = body[at : at + step]
        parts += (_HEAD.pack(_BODY, channel, len(piece)), piece, b"\xce")
    return b"".join(parts)


def _header(channel: int, body_size: int, properties: Basic.Properties) -> bytes:
    plain = write_header(body_size, properties)
    if plain is not None:
        return _framed(_HEADER, channel, plain)
    return pamqp.frame.marshal(ContentHeader(body_size=body_size, properties=properties), channel)


def _framed(kind: int, channel: int, payload: bytes) -> bytes:
    return _HEAD.pack(kind, channel, len(payload)) + payload + b"\xce"


@lru_cache(maxsize=1024)
def _publish(channel: int, exchange: str, routing_key: str, mandatory: bool) -> bytes:  # noqa: FBT001 - a key of the cache
    """A few queues and the addresses of some gateways: always the same ones."""
    method = Basic.Publish(exchange=exchange, routing_key=routing_key, mandatory=mandatory)
    return pamqp.frame.marshal(method, channel)
