"""Framing on the channel (node_bootstrap/PROTOCOL.md): frames to bytes, bytes to frames.

Pure: bytes in, typed frames out; no sockets, no clock.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from sandbox.api import Limits
from sandbox.frame_codec import SANDBOX_DECODERS, Decoder, to_wire
from sandbox.frames import Frame, FrameError
from sandbox.json_text import JsonError, load_json

HEADER_MAX_BYTES = 64 * 1024
# Beyond every setting; no header is read for such a frame.
PAYLOAD_MAX_BYTES = 256 * 1024 * 1024

CallBound: TypeAlias = Callable[[object, object], int]

_LENGTHS = struct.Struct(">II")
# JSON writes a control character as six bytes.
_JSON_GROWTH = 6
# So much of a log a sandbox gathers before it sends; the line that gets it beyond comes on top.
_LOG_BATCH_MAX_BYTES = 64 * 1024


class ResultTooLongError(FrameError):
    """A result announced a payload beyond the limit; it was not read."""

    def __init__(self, request_id: object, size: int, limit: int) -> None:
        super().__init__(
            "payload_too_long", f"the result has {size} bytes, the limit is {limit} bytes"
        )
        self.request_id = request_id


def encode(frame: Frame) -> bytes:
    """The bytes of one frame. Raises ValueError when the header is beyond its bound."""
    header, payload = to_wire(frame)
    if len(header) > HEADER_MAX_BYTES:
        raise ValueError(
            f"header of frame {type(frame).__name__} has {len(header)} bytes,"
            f" the bound is {HEADER_MAX_BYTES}"
        )
    return b"".join((_LENGTHS.pack(len(header), len(payload)), header, payload))


def sandbox_payload_bounds(limits: Limits) -> dict[str, int]:
    """The longest payload of each frame that a sandbox may send, in bytes."""
    return {
        "hello": 0,
        "bound": 0,
        "log": _LOG_BATCH_MAX_BYTES + limits.log_line_max_bytes * _JSON_GROWTH,
        "reserve": 0,
        "call": limits.call_max_bytes,
        "result": limits.result_max_bytes,
        "exiting": 0,
    }


class FrameParser:
    """Cuts a stream of bytes into frames. Holds at most one incomplete frame.

    `decoders` says which frames are expected, `payload_bounds` how long each payload may be, and
    `call_bound(id, call)` how long that of one call, asked when its header is there. After a FrameError
    the stream is lost: feed it nothing more.
    """

    def __init__(
        self,
        decoders: Mapping[str, Decoder],
        payload_bounds: Mapping[str, int],
        call_bound: CallBound | None = None,
    ) -> None:
        self._decoders = decoders
        self._payload_bounds = payload_bounds
        self._call_bound = call_bound
        self._pending = bytearray()
        self._needed = _LENGTHS.size
        self._header: dict[str, Any] | None = None
        self._header_end = 0

    @classmethod
    def for_worker(cls, limits: Limits, call_bound: CallBound) -> FrameParser:
        """A parser of what a sandbox sends."""
        return cls(SANDBOX_DECODERS, sandbox_payload_bounds(limits), call_bound)

    @property
    def truncated(self) -> bool:
        """True when the bytes so far end inside a frame."""
        return bool(self._pending)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that `data` completes, in order. Raises FrameError at the first bad one,
        after the good ones before it. Consume it fully before the next call."""
        if self._pending:
            self._pending += data
            if len(self._pending) < self._needed:
                return
            data = bytes(self._pending)
            self._pending.clear()
        start = 0
        while (end := self._frame_end(data, start)) is not None:
            frame = self._frame(data, end)
            start, self._header = end, None
            yield frame
        if start < len(data):
            self._pending += memoryview(data)[start:]

    def _frame_end(self, data: bytes, start: int) -> int | None:
        """Where the frame that begins at `start` ends; None when it is incomplete."""
        available = len(data) - start
        self._needed = _LENGTHS.size
        if available < self._needed:
            return None
        header_length, payload_length = _LENGTHS.unpack_from(data, start)
        if header_length > HEADER_MAX_BYTES:
            raise FrameError(
                "header_too_long",
                f"a frame's header has {header_length} bytes, the bound is {HEADER_MAX_BYTES}",
            )
        if payload_length > PAYLOAD_MAX_BYTES:
            raise FrameError(
                "payload_too_long",
                f"a frame's payload has {payload_length} bytes, the bound is {PAYLOAD_MAX_BYTES}",
            )
        self._header_end = start + _LENGTHS.size + header_length
        self._needed += header_length
        if available < self._needed:
            return None
        if self._header is None:
            self._header = _read_header(data[start + _LENGTHS.size : self._header_end])
            self._check_payload(self._header, payload_length)
        self._needed += payload_length
        return start + self._needed if available >= self._needed else None

    def _check_payload(self, header: dict[str, Any], length: int) -> None:
        name = header.get("t")
        if type(name) is not str or name not in self._decoders:
            raise FrameError("unknown_type", "a frame of an unknown or unexpected type")
        bound = self._payload_bounds[name]
        if length > bound:
            if name == "result":
                raise ResultTooLongError(header.get("id"), length, bound)
            raise FrameError(
                "payload_too_long",
                f"the payload of a {name} frame has {length} bytes, the bound is {bound}",
            )
        if name != "call" or self._call_bound is None:
            return
        if length > self._call_bound(header.get("id"), header.get("call")):
            # Before it is read: what nobody granted is not counted either.
            raise FrameError("bad_state", f"a service call of {length} bytes that was not granted")

    def _frame(self, data: bytes, end: int) -> Frame:
        header = self._header
        assert header is not None
        return self._decoders[header["t"]](header, data[self._header_end : end])


def _read_header(text: bytes) -> dict[str, Any]:
    try:
        header = load_json(text)
    except JsonError as error:
        code = "header_not_json" if _is_utf8(text) else "header_not_utf8"
        raise FrameError(code, f"a frame's header is not JSON text in UTF-8: {error}") from error
    if type(header) is not dict:
        raise FrameError("header_not_object", "a frame's header is not a JSON object")
    return header


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
