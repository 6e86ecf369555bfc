"""What is read and written by hand is what pamqp reads and writes."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import Any

import pamqp.frame
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from runtime.backends.amqp.content import read_header, read_method, write_ack, write_header

TEXTS = st.text(st.characters(codec="utf-8"), max_size=60)
NUMBERS = st.integers(-(2**63) + 1, 2**63 - 1)
PROPERTIES: dict[str, st.SearchStrategy[Any]] = {
    "content_type": TEXTS,
    "content_encoding": TEXTS,
    "headers": st.dictionaries(TEXTS, NUMBERS, max_size=3),
    "delivery_mode": st.sampled_from([1, 2]),
    "priority": st.integers(0, 255),
    "correlation_id": TEXTS,
    "reply_to": TEXTS,
    "expiration": TEXTS,
    "message_id": TEXTS,
    "message_type": TEXTS,
    "user_id": TEXTS,
    "app_id": TEXTS,
}


def payload_of(frame: bytes) -> bytes:
    return frame[7:-1]


def by_pamqp(header: ContentHeader) -> bytes:
    return payload_of(pamqp.frame.marshal(header, 1))


def framed(payload: bytes, kind: int) -> bytes:
    return struct.pack(">BHI", kind, 1, len(payload)) + payload + b"\xce"


@given(st.fixed_dictionaries({}, optional=PROPERTIES), st.integers(0, 2**40))
def test_a_header_is_read_as_it_was_written(given_values: dict[str, Any], size: int) -> None:
    properties = Basic.Properties(**given_values)
    ours = write_header(size, properties)
    assert ours is not None
    theirs = pamqp.frame.unmarshal(framed(ours, 2))[2]
    assert isinstance(theirs, ContentHeader)
    read = read_header(ours)
    assert read is not None
    present = {name: value for name, value in given_values.items() if value != ""}
    for header in (theirs, read):
        assert header.body_size == size
        found = {name: value for name, value in dict(header.properties).items() if value}
        assert found == {name: value for name, value in present.items() if value}


@given(
    st.fixed_dictionaries(
        {}, optional={name: each for name, each in PROPERTIES.items() if name != "headers"}
    ),
    st.integers(0, 2**40),
)
def test_without_a_table_the_bytes_are_those_of_pamqp(values: dict[str, Any], size: int) -> None:
    properties = Basic.Properties(**values)
    assert write_header(size, properties) == by_pamqp(ContentHeader(0, size, properties))


@given(
    TEXTS,
    st.integers(0, 2**63 - 1),
    st.booleans(),
    st.from_regex(r"[a-zA-Z0-9-_.:]{0,40}", fullmatch=True),
    TEXTS,
)
def test_a_delivery_is_read_as_pamqp_reads_it(
    consumer: str, tag: int, redelivered: bool, exchange: str, key: str
) -> None:
    deliver = Basic.Deliver(consumer, tag, redelivered, exchange, key)
    payload = payload_of(pamqp.frame.marshal(deliver, 1))
    read = read_method(payload)
    assert isinstance(read, Basic.Deliver)
    assert dict(read) == dict(deliver)


@given(st.integers(0, 2**63 - 1), st.booleans())
def test_an_acknowledgement(tag: int, multiple: bool) -> None:
    read = read_method(payload_of(pamqp.frame.marshal(Basic.Ack(tag, multiple), 1)))
    assert isinstance(read, Basic.Ack)
    assert dict(read) == {"delivery_tag": tag, "multiple": multiple}
    assert write_ack(tag) == payload_of(pamqp.frame.marshal(Basic.Ack(tag), 1))


@given(st.binary(max_size=80))
@example(b"\xff")
def test_any_method_is_left_to_pamqp_or_read_as_by_it(data: bytes) -> None:
    for payload in (data, b"\0\x3c\0\x3c" + data, b"\0\x3c\0\x50" + data):
        ours = read_method(payload)
        if ours is not None:
            theirs = pamqp.frame.unmarshal(framed(payload, 1))[2]
            assert isinstance(theirs, Basic.Deliver | Basic.Ack)
            assert dict(ours) == dict(theirs)


@given(st.binary(max_size=80))
@example(b"")
def test_any_header_is_left_to_pamqp_or_read_as_by_it(data: bytes) -> None:
    for payload in (data, b"\0\x3c\0\0" + bytes(8) + data):
        ours = read_header(payload)
        if ours is not None:
            theirs = pamqp.frame.unmarshal(framed(payload, 2))[2]
            assert isinstance(theirs, ContentHeader)
            assert dict(ours.properties) == dict(theirs.properties)


@pytest.mark.parametrize(
    "properties",
    [
        Basic.Properties(timestamp=datetime(2026, 1, 1, tzinfo=UTC)),
        Basic.Properties(headers={"why": "a text"}),
        Basic.Properties(headers={"yes": True}),
        Basic.Properties(headers={"large": 2**63}),
        Basic.Properties(message_id="x" * 256),
        Basic.Properties(message_id="\ud800"),
    ],
)
def test_what_is_not_plain_is_left_to_pamqp(properties: Basic.Properties) -> None:
    assert write_header(0, properties) is None


@pytest.mark.parametrize(
    "properties",
    [
        Basic.Properties(timestamp=datetime(2026, 1, 1, tzinfo=UTC)),
        Basic.Properties(headers={"why": "a text"}, message_id="1"),
    ],
)
def test_so_is_what_comes_in(properties: Basic.Properties) -> None:
    assert read_header(by_pamqp(ContentHeader(0, 3, properties))) is None


def test_other_methods_are_left_to_pamqp() -> None:
    assert read_method(payload_of(pamqp.frame.marshal(Basic.Nack(1), 1))) is None
