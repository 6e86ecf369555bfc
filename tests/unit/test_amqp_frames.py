"""Frames out of a stream of bytes, however it is cut and whatever it holds."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp.commands import Basic, Connection
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from runtime.backends.amqp.errors import ProtocolError
from runtime.backends.amqp.frames import (
    FRAME_MIN,
    HEARTBEAT,
    UNREADABLE,
    FrameReader,
    encode,
    encode_message,
)

ALLOWED = 512
"""Frames of the tests are small, so that hypothesis finds the edges."""

bodies = st.binary(max_size=1200)
messages = st.builds(
    lambda channel, body, key: encode_message(
        channel,
        body,
        exchange="",
        routing_key=key,
        properties=Basic.Properties(message_id=key, headers={"n": len(body)}),
        mandatory=True,
        frame_max=ALLOWED,
    ),
    st.integers(1, 9),
    bodies,
    st.text("abc", max_size=20),
)
methods = st.builds(
    lambda channel, tag, multiple: encode(channel, Basic.Ack(tag, multiple)),
    st.integers(1, 9),
    st.integers(0, 2**62),
    st.booleans(),
)
streams = st.lists(st.one_of(messages, methods, st.just(HEARTBEAT)), max_size=12).map(b"".join)


def cut(data: bytes, at: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted({point % (len(data) + 1) for point in at}), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def told(frame: object) -> object:
    """A frame as something that can be compared."""
    if isinstance(frame, bytes):
        return frame
    if isinstance(frame, ContentHeader):
        return frame.body_size, dict(frame.properties)
    if isinstance(frame, Heartbeat):
        return "heartbeat"
    return type(frame).__name__, dict(frame)  # type: ignore[call-overload]


def read(pieces: Iterable[bytes]) -> tuple[list[object], str | None]:
    """All frames, and the error that ended it. What is kept never exceeds a frame."""
    reader = FrameReader(ALLOWED)
    frames: list[object] = []
    try:
        for piece in pieces:
            for channel, frame in reader.feed(piece):
                frames.append((channel, told(frame)))
            assert reader.kept_bytes < ALLOWED
    except ProtocolError as error:
        return frames, str(error)
    return frames, None


@given(streams, st.lists(st.integers(0, 10_000), max_size=30))
def test_however_the_stream_is_cut_the_frames_are_the_same(data: bytes, at: list[int]) -> None:
    whole = read([data])
    assert whole[1] is None
    assert read(cut(data, at)) == whole
    assert read(data[n : n + 1] for n in range(len(data))) == whole


@given(st.lists(bodies, min_size=1, max_size=5))
def test_a_body_comes_out_as_it_went_in(sent: list[bytes]) -> None:
    stream = b"".join(
        encode_message(
            1,
            body,
            exchange="e",
            routing_key="k",
            properties=Basic.Properties(),
            mandatory=False,
            frame_max=ALLOWED,
        )
        for body in sent
    )
    bodies_read: list[bytearray] = []
    sizes = []
    for _, frame in FrameReader(ALLOWED).feed(stream):
        if isinstance(frame, ContentHeader):
            sizes.append(frame.body_size)
            bodies_read.append(bytearray())
        elif isinstance(frame, bytes):
            bodies_read[-1] += frame
    assert [bytes(body) for body in bodies_read] == sent
    assert sizes == [len(body) for body in sent]


@given(streams, st.integers(0, 10_000), st.binary(min_size=1, max_size=600))
def test_garbage_after_frames_ends_the_same_way_however_it_is_cut(
    data: bytes, at: int, garbage: bytes
) -> None:
    stream = data + garbage
    whole = read([stream])
    assert whole[0][: len(read([data])[0])] == read([data])[0]
    pieces = read(cut(stream, [at, at // 2, len(data)]))
    assert pieces[0] == whole[0]
    assert (pieces[1] is None) == (whole[1] is None)


@given(streams.filter(bool), st.data())
def test_a_changed_byte_gives_frames_or_an_error_and_nothing_else(
    data: bytes, draw: st.DataObject
) -> None:
    at = draw.draw(st.integers(0, len(data) - 1))
    changed = data[:at] + bytes([data[at] ^ draw.draw(st.integers(1, 255))]) + data[at + 1 :]
    read([changed])


@given(streams.filter(bool), st.data())
def test_a_truncated_stream_gives_what_was_whole(data: bytes, draw: st.DataObject) -> None:
    end = draw.draw(st.integers(0, len(data) - 1))
    frames, error = read([data[:end]])
    assert error is None
    assert frames == read([data])[0][: len(frames)]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "no AMQP"),
        (b"AMQP\x00\x01\x00\x00", "another version"),
        (b"\x01\x00\x01\xff\xff\xff\xff", "allowed"),
        (b"\x03\x00\x01\x00\x00\x02\x00", "allowed"),
        (b"\x01\x00\x01\x00\x00\x00\x04abcd!", "does not end"),
        (b"\x01\x00\x01\x00\x00\x00\x04abcd\xce", "cannot be read"),
        (b"\x08\x00\x00\x00\x00\x00\x01x\xce", "allowed"),
        (b"\x02\x00\x01\x00\x00\x00\x04abcd\xce", "cannot be read"),
    ],
)
def test_what_is_no_frame_is_named(data: bytes, why: str) -> None:
    assert why in (read([data])[1] or "")


def test_the_first_byte_is_enough_to_refuse_another_protocol() -> None:
    assert "no AMQP" in (read([b"H"])[1] or "")


def test_properties_that_cannot_be_read_do_not_end_the_connection() -> None:
    """The broker passes on what a producer wrote, not only UTF-8."""
    good = encode_message(
        1,
        b"hello",
        exchange="",
        routing_key="k",
        properties=Basic.Properties(message_id="mid"),
        mandatory=False,
        frame_max=FRAME_MIN,
    )
    frames = [frame for _, frame in FrameReader().feed(good.replace(b"mid", b"\xff\xfe\xfd"))]
    header = frames[1]
    assert isinstance(header, ContentHeader)
    assert header.properties is UNREADABLE
    assert header.body_size == 5
    assert frames[2] == b"hello"


def test_a_table_nested_without_end_is_only_a_bad_message() -> None:
    table = b""
    for _ in range(600):
        inner = b"\x01kF" + len(table).to_bytes(4, "big") + table
        table = inner
    payload = b"\x00\x3c\x00\x00" + bytes(8) + b"\x20\x00" + len(table).to_bytes(4, "big") + table
    frame = b"\x02\x00\x01" + len(payload).to_bytes(4, "big") + payload + b"\xce"
    ((_, header),) = FrameReader().feed(frame)
    assert isinstance(header, ContentHeader)


def test_what_amqp_cannot_carry_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(ValueError, match="virtual_host"):
        encode(1, Connection.Open(virtual_host="x" * 256))
