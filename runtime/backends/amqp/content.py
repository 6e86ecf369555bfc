"""The frames that every message needs, written and read by hand: pamqp takes several times as long. Pure.

`basic.deliver`, `basic.ack` and the content header. What is not plain (a table with other values than whole
numbers, a timestamp, bytes that do not fit) is None here: then pamqp reads or writes it, and says what is
wrong with it.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import attrgetter

from pamqp.commands import Basic
from pamqp.header import ContentHeader

_BASIC = 60
_DELIVER = struct.pack(">HH", _BASIC, 60)
_ACK = struct.pack(">HH", _BASIC, 80)

_TEXT, _OCTET, _TABLE, _OTHER = range(4)
_PROPERTIES = (
    (1 << 15, "content_type", _TEXT),
    (1 << 14, "content_encoding", _TEXT),
    (1 << 13, "headers", _TABLE),
    (1 << 12, "delivery_mode", _OCTET),
    (1 << 11, "priority", _OCTET),
    (1 << 10, "correlation_id", _TEXT),
    (1 << 9, "reply_to", _TEXT),
    (1 << 8, "expiration", _TEXT),
    (1 << 7, "message_id", _TEXT),
    (1 << 6, "timestamp", _OTHER),
    (1 << 5, "message_type", _TEXT),
    (1 << 4, "user_id", _TEXT),
    (1 << 3, "app_id", _TEXT),
    (1 << 2, "cluster_id", _TEXT),
)
"""Flag, name and kind, in the order of the bytes. The two lowest flags are none of a property."""
_NO_PROPERTY = 0b11
_values = attrgetter(*(name for _, name, _ in _PROPERTIES))
_HEADER = struct.Struct(">HHQH")
"""Class, weight, size of the body, flags."""
_TEXT_MAX = 255

_LENGTH = struct.Struct(">I")
_INT64 = struct.Struct(">q")
_INT64_MAX = 2**63 - 1
_NUMBERS = {ord("l"): _INT64, ord("I"): struct.Struct(">i")}
"""By the byte that says which one follows."""
_TAG = struct.Struct(">qB")
"""Delivery tag and flags; of the flags the lowest one counts."""


def read_method(payload: bytes) -> Basic.Deliver | Basic.Ack | None:
    """The payload of a method frame."""
    method = payload[:4]
    try:
        if method == _DELIVER:
            consumer_tag, at = _read_text(payload, 4)
            tag, redelivered = _TAG.unpack_from(payload, at)
            exchange, at = _read_text(payload, at + _TAG.size)
            routing_key, at = _read_text(payload, at)
            if at == len(payload):
                return Basic.Deliver(
                    consumer_tag, tag, bool(redelivered & 1), exchange, routing_key
                )
        elif method == _ACK and len(payload) == len(_ACK) + _TAG.size:
            tag, multiple = _TAG.unpack_from(payload, 4)
            return Basic.Ack(tag, bool(multiple & 1))
    except (ValueError, IndexError, struct.error):
        pass
    return None


def read_header(payload: bytes) -> ContentHeader | None:
    """The payload of a header frame."""
    try:
        class_id, weight, body_size, flags = _HEADER.unpack_from(payload)
        if class_id != _BASIC or flags & _NO_PROPERTY:
            return None
        properties = Basic.Properties()
        at = _HEADER.size
        for name, kind in _present(flags):
            value: object
            if kind == _TEXT:
                value, at = _read_text(payload, at)
            elif kind == _OCTET:
                value, at = payload[at], at + 1
            elif kind == _TABLE:
                size = _LENGTH.unpack_from(payload, at)[0]
                at += _LENGTH.size
                value = _read_table(payload, at, at + size)
                at += size
            else:
                return None
            if value is None:
                return None
            setattr(properties, name, value)
    except (ValueError, IndexError, struct.error):
        return None
    return ContentHeader(weight, body_size, properties) if at == len(payload) else None


def write_ack(tag: int) -> bytes:
    """The payload of a method frame: one message, no others."""
    return _ACK + _TAG.pack(tag, 0)


def write_header(body_size: int, properties: Basic.Properties) -> bytes | None:
    """The payload of a header frame."""
    flags = 0
    parts = [b""]
    for (flag, _, kind), value in zip(_PROPERTIES, _values(properties), strict=True):
        if value is None or value == "":
            continue
        written: bytes | None = None
        if kind == _TEXT and isinstance(value, str):
            written = _write_text(value)
        elif kind == _OCTET and type(value) is int and 0 <= value < 256:
            written = bytes((value,))
        elif kind == _TABLE:
            written = _write_table(value)
        if written is None:
            return None
        flags |= flag
        parts.append(written)
    parts[0] = _HEADER.pack(_BASIC, 0, body_size, flags)
    return b"".join(parts)


@lru_cache(maxsize=256)
def _present(flags: int) -> Sequence[tuple[str, int]]:
    """Name and kind of each property that is there: a few sets of them come again and again."""
    return [(name, kind) for flag, name, kind in _PROPERTIES if flags & flag]


def _read_text(data: bytes, at: int) -> tuple[str, int]:
    """A short text and where the next thing begins. Raises ValueError or IndexError."""
    stop = at + 1 + data[at]
    if stop > len(data):
        raise ValueError("a text is cut off")
    return data[at + 1 : stop].decode(), stop


def _read_table(data: bytes, at: int, stop: int) -> Mapping[str, int] | None:
    table: dict[str, int] = {}
    while at < stop:
        name, at = _read_text(data, at)
        number = _NUMBERS.get(data[at])
        if number is None:
            return None
        table[name] = number.unpack_from(data, at + 1)[0]
        at += 1 + number.size
    return table if at == stop else None


def _write_text(text: str) -> bytes | None:
    try:
        data = text.encode()
    except UnicodeEncodeError:
        return None
    return bytes((len(data),)) + data if len(data) <= _TEXT_MAX else None


def _write_table(table: Mapping[str, object]) -> bytes | None:
    parts = [b""]
    for name, value in table.items():
        written = _write_text(name)
        if written is None or type(value) is not int or not -_INT64_MAX <= value <= _INT64_MAX:
            return None
        parts += (written, b"l", _INT64.pack(value))
    parts[0] = _LENGTH.pack(sum(map(len, parts)))
    return b"".join(parts)
